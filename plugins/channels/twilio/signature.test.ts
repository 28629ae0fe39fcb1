/** Twilio's own vectors, judged by the packed plugin in the production sandbox with the auth token sealed. */
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { packPlugin } from "../../../src/packages/pack.ts";
import { type Keys, startTestHub, type TestAnswer, type TestHub } from "../../../test/kit/start-test-hub.ts";

interface Vector {
  name: string;
  url: string;
  form?: Record<string, string>;
  json?: string;
  signature: string;
  valid: boolean;
}

const here = fileURLToPath(new URL(".", import.meta.url));
const { authToken, requests } = JSON.parse(await readFile(`${here}fixtures/signatures.json`, "utf8")) as {
  authToken: string;
  requests: Vector[];
};
const plugin = "io.twilio.sms";
let hub: TestHub;
let acme: Keys;
const sent: { url: string; authorization: string | undefined; body: string }[] = [];
const twilio = createServer((req, res) => {
  let body = "";
  req.on("data", (chunk) => {
    body += chunk;
  });
  req.on("end", () => {
    sent.push({ url: req.url!, authorization: req.headers.authorization, body });
    res.writeHead(201, { "content-type": "application/json" }).end(JSON.stringify({ sid: "SM42", status: "queued" }));
  });
});

before(async () => {
  await new Promise<void>((resolve) => twilio.listen(0, "127.0.0.1", resolve));
  const { port } = twilio.address() as { port: number };
  hub = await startTestHub({ egressOverride: JSON.stringify({ "api.twilio.com": `http://127.0.0.1:${port}` }) });
  acme = await hub.organization("acme");
  const { tgz } = await packPlugin(here);
  const published = await hub.request("POST", "/api/packages", {
    token: acme.memberKey,
    body: tgz,
    headers: { "content-type": "application/gzip" },
  });
  assert.equal(published.status, 201, published.text);
  await api("POST", "/api/plugins", {
    id: plugin,
    grants: "all",
    config: { accountSid: "AC123", authToken, from: "+15551230000" },
  });
  assert.equal((await api("POST", `/api/plugins/${plugin}/activate`)).status, 200);
});
after(async () => {
  await hub[Symbol.asyncDispose]();
  twilio.close();
  twilio.closeAllConnections();
});

const api = (method: string, path: string, body?: unknown): Promise<TestAnswer> =>
  hub.request(method, path, { token: acme.adminKey, ...(body === undefined ? {} : { body }) });

/** The plugin's `webhook` handler, called as the hub does it, with a vendor's URL instead of ours. */
async function judge({ url, form, json, signature }: Vector): Promise<number> {
  const { record, error } = await hub.hub.invoker.run({
    organization: acme.id as never,
    plugin: plugin as never,
    kind: "webhook",
    name: "webhook",
    args: [
      {
        method: "POST",
        url,
        headers: {
          "x-twilio-signature": signature,
          "content-type": form ? "application/x-www-form-urlencoded; charset=UTF-8" : "application/json",
        },
        rawBody: form ? String(new URLSearchParams(form)) : json!,
      },
    ],
    actor: "test",
  });
  assert.equal(error, undefined, error?.message);
  return (record.result as { status: number }).status;
}

for (const vector of requests) {
  test(`${vector.name}: ${vector.valid ? "accepted" : "403"}`, async () => {
    assert.equal(await judge(vector), vector.valid ? 200 : 403);
  });
}

const sign = (text: string): string => createHmac("sha1", authToken).update(text).digest("base64");

test("several values of one name are signed unique and sorted; a port in our URL may be left out of the signature", async () => {
  const url = "https://mycompany.com:8443/in";
  const raw = "MediaUrl=b&MediaUrl=a&MediaUrl=b&Body=x";
  const signed = (base: string): string => sign(`${base}BodyxMediaUrlaMediaUrlb`);
  for (const base of [url, "https://mycompany.com/in"]) {
    const { record } = await hub.hub.invoker.run({
      organization: acme.id as never,
      plugin: plugin as never,
      kind: "webhook",
      name: "webhook",
      args: [
        {
          method: "POST",
          url,
          headers: { "x-twilio-signature": signed(base), "content-type": "application/x-www-form-urlencoded" },
          rawBody: raw,
        },
      ],
      actor: "test",
    });
    assert.equal((record.result as { status: number }).status, 200, base);
  }
});

test("each of many single flipped characters is refused", async () => {
  const good = requests[0]!;
  for (const [at, name] of Object.keys(good.form!).entries()) {
    const value = good.form![name]!;
    const changed = `${value.slice(0, -1)}${value.endsWith("1") ? "2" : "1"}`;
    assert.equal(await judge({ ...good, form: { ...good.form, [name]: changed } }), 403, name);
    assert.equal(await judge({ ...good, url: good.url.replace(/.$/, String(at + 3)) }), 403);
  }
});

test("a signature that differs in any one place is refused, also in the last, where base64 has bits to spare", async () => {
  const good = requests[0]!;
  for (let at = 0; at < good.signature.length; at += 1) {
    for (const letter of ["A", "B", "="]) {
      const signature = good.signature.slice(0, at) + letter + good.signature.slice(at + 1);
      if (signature !== good.signature) assert.equal(await judge({ ...good, signature }), 403, signature);
    }
  }
});

test("sendMessage posts the form Twilio documents with basic auth of the sealed token", async () => {
  const answer = await api("POST", `/api/plugins/${plugin}`, {
    function: "sendMessage",
    parameters: { to: "+15550001", body: "Grüß & co" },
  });
  assert.equal(answer.status, 200, answer.text);
  assert.deepEqual(answer.body.result, { externalId: "SM42", status: "queued" });
  const [request] = sent;
  assert.equal(request?.url, "/2010-04-01/Accounts/AC123/Messages.json");
  assert.equal(request?.authorization, `Basic ${Buffer.from(`AC123:${authToken}`).toString("base64")}`);
  assert.deepEqual(Object.fromEntries(new URLSearchParams(request?.body)), {
    To: "+15550001",
    Body: "Grüß & co",
    From: "+15551230000",
  });
});
