/**
 * Sends Twilio-signed messages at a fixed rate from a process of its own, whatever the hub answers, and tells how the hub
 * took them. Arguments: URL, auth token, requests a second, seconds. Prints `{accepted, refused, answerMs: number[]}`.
 */
import { createHmac } from "node:crypto";
import { Pool } from "undici";

const [url = "", authToken = "", perSecond = "1", seconds = "1"] = process.argv.slice(2);
const { origin, pathname } = new URL(url);
const pool = new Pool(origin, { connections: 64 });
const total = Number(perSecond) * Number(seconds);
const answerMs: number[] = [];
let accepted = 0;
let refused = 0;

async function send(n: number): Promise<void> {
  const form: Record<string, string> = {
    Body: `Message ${n}`,
    From: `+1555${String(n % 500).padStart(7, "0")}`,
    MessageSid: `SM${n}`,
    To: "+15551230000",
  };
  const signed = url + Object.keys(form).reduce((text, name) => text + name + form[name], "");
  const from = performance.now();
  const { statusCode, body } = await pool.request({
    method: "POST",
    path: pathname,
    headers: {
      "content-type": "application/x-www-form-urlencoded",
      "x-twilio-signature": createHmac("sha1", authToken).update(signed).digest("base64"),
    },
    body: String(new URLSearchParams(form)),
  });
  await body.dump();
  answerMs.push(performance.now() - from);
  if (statusCode === 200) accepted += 1;
  else refused += 1;
}

const start = performance.now();
const sending: Promise<void>[] = [];
for (let n = 0; n < total; n++) {
  const due = start + (n * 1000) / Number(perSecond);
  const wait = due - performance.now();
  if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
  sending.push(
    send(n).catch(() => {
      refused += 1;
    }),
  );
}
await Promise.all(sending);
await pool.close();
process.stdout.write(JSON.stringify({ accepted, refused, answerMs }));
