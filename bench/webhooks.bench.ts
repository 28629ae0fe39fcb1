/**
 * From an accepted webhook to its event, at 200 signed requests a second for a minute: the bundled Twilio channel in its wall
 * verifies, answers, writes conversation and message, and publishes. Beside it a bare server on the same kind of store, which
 * verifies in the hub's own process and inserts the request and one event.
 */
import { execFile } from "node:child_process";
import { createHmac } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { sql } from "kysely";
import { createEventLog } from "../src/bus/event-log.ts";
import { startHub } from "../src/main.ts";
import { openStore } from "../src/store/open-store.ts";
import type { Store } from "../src/store/store.ts";
import type { BenchContext, Benchmark, Measured } from "./benchmark.ts";
import { sleep } from "./parts/engine.ts";
import { freshDatabase } from "./parts/fresh-database.ts";
import { percentile } from "./statistics.ts";

const authToken = "0123456789abcdef0123456789abcdef";
const sender = fileURLToPath(new URL("parts/webhook-sender.ts", import.meta.url));

interface Place {
  goal: "webhook-pglite" | "webhook-postgres";
  server: string | undefined;
}

export const benchmark: Benchmark = {
  name: "webhooks",
  goals: ["webhook-pglite", "webhook-postgres"],
  async run(context) {
    const server = process.env["TEST_DATABASE_URL"];
    return [
      await measure({ goal: "webhook-pglite", server: undefined }, context),
      server === undefined
        ? { goal: "webhook-postgres", note: "needs TEST_DATABASE_URL" }
        : await measure({ goal: "webhook-postgres", server }, context),
    ];
  },
};

interface Sent {
  accepted: number;
  refused: number;
  answerMs: number[];
}

async function measure(place: Place, { quick, log }: BenchContext): Promise<Measured> {
  const perSecond = 200;
  const send = async (url: string, seconds: number): Promise<Sent> => {
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [sender, url, authToken, String(perSecond), String(seconds)],
      { maxBuffer: 64 * 1024 * 1024 },
    );
    return JSON.parse(stdout) as Sent;
  };
  // What does not queue needs no minute to show its pace.
  const bare = await measureBare(place, (url) => send(url, 5));
  const hub = await measureHub(place, (url) => send(url, quick ? 5 : 60));
  if (hub.sent.accepted !== hub.events.length)
    throw new Error(`${hub.sent.accepted} webhooks were accepted, ${hub.events.length} events came`);
  const p99 = (events: readonly Timed[]): number =>
    percentile(
      events.map(({ ms }) => ms),
      0.99,
    );
  const p50 = percentile(
    hub.events.map(({ ms }) => ms),
    0.5,
  );
  const [all, bareP99] = [p99(hub.events), p99(bare.events)];
  // What the hub cannot keep up with waits longer the later it came.
  const third = Math.max(...hub.events.map(({ at }) => at)) / 3;
  const [first, last] = [
    p99(hub.events.filter(({ at }) => at <= third)),
    p99(hub.events.filter(({ at }) => at >= 2 * third)),
  ];
  log(
    `${place.goal}: accepted → event p50 ${p50.toFixed(1)} ms, p99 ${all.toFixed(1)} ms, of the first third ${first.toFixed(0)}, of the last ${last.toFixed(0)} (bare ${bareP99.toFixed(1)} ms); ` +
      `${hub.sent.accepted} accepted, ${hub.sent.refused} refused, answered p99 ${percentile(hub.sent.answerMs, 0.99).toFixed(1)} ms`,
  );
  return {
    goal: place.goal,
    value: all,
    text: `${all.toFixed(0)} ms`,
    parts: {
      "p50 ms": p50,
      "p99 ms": all,
      "p99 of the first third ms": first,
      "p99 of the last third ms": last,
      "bare p99 ms": bareP99,
      "against bare": all / bareP99,
      "answer p99 ms": percentile(hub.sent.answerMs, 0.99),
      accepted: hub.sent.accepted,
      refused: hub.sent.refused,
      lost: hub.sent.accepted - hub.events.length,
    },
  };
}

interface Timed {
  /** From the stored request to the published event. */
  ms: number;
  /** When the request came, seconds after the first. */
  at: number;
}

interface Outcome {
  sent: Sent;
  /** One for each event. */
  events: Timed[];
}

async function measureHub({ server }: Place, send: (url: string) => Promise<Sent>): Promise<Outcome> {
  await using opened = new AsyncDisposableStack();
  const dataDir = await mkdtemp(join(tmpdir(), "backplane-bench-"));
  opened.defer(() => rm(dataDir, { recursive: true, force: true }));
  const { hub, url, close } = await startHub({
    port: 0,
    dataDir,
    logLevel: "error",
    ...(server === undefined
      ? {}
      : {
          databaseUrl: await freshDatabase(server, opened),
          masterKey: Buffer.alloc(32, 7).toString("base64"),
        }),
  });
  opened.defer(() => close({ drainMs: 0 }));
  const plugin = "io.twilio.sms" as never;
  const context = { organization: "demo" as never, actor: "system" };
  await hub.lifecycle.install(context, {
    id: plugin,
    grants: "all",
    config: { accountSid: "AC1", authToken, from: "+15551230000" },
  });
  await hub.lifecycle.activate(context, plugin);
  const sent = await send(`${url}/webhooks/demo/io.twilio.sms`);
  // Matched by hash: a join on what a regular expression finds would compare each request with each event.
  const rows = async (): Promise<Timed[]> => {
    const { rows: found } = await sql<Timed>`
      with requests as materialized (
        select received_at, substring(convert_from(body, 'UTF8') from 'MessageSid=(SM[0-9]+)') as sid
        from webhook_requests where organization_id = 'demo'
      ), received as materialized (
        select accepted_at, data ->> 'externalId' as sid from events where organization_id = 'demo' and type = 'comms.MessageReceived'
      )
      select (extract(epoch from accepted_at - received_at) * 1000)::float8 as ms,
        extract(epoch from received_at - min(received_at) over ())::float8 as at
      from requests join received using (sid)`.execute(hub.store.db);
    return found;
  };
  const until = Date.now() + 120_000;
  for (;;) {
    const { count } = await hub.store.db
      .selectFrom("events")
      .select((e) => e.fn.countAll<number>().as("count"))
      .where("type", "=", "comms.MessageReceived")
      .executeTakeFirstOrThrow();
    if (Number(count) >= sent.accepted || Date.now() > until) break;
    await sleep(250);
  }
  return { sent, events: await rows() };
}

/** Verifies, stores the request and publishes one event in the same transaction: what any server would have to do. */
async function measureBare({ server }: Place, send: (url: string) => Promise<Sent>): Promise<Outcome> {
  await using opened = new AsyncDisposableStack();
  const dataDir = await mkdtemp(join(tmpdir(), "backplane-bench-"));
  opened.defer(() => rm(dataDir, { recursive: true, force: true }));
  const store: Store = await openStore(
    server === undefined ? { dataDir } : { databaseUrl: await freshDatabase(server, opened) },
  );
  opened.defer(() => store.close());
  const eventLog = createEventLog({ store });
  const events: Timed[] = [];
  const begun = performance.now();
  let base = "";
  const bare = createServer(async (request, response) => {
    const body = await text(request);
    const from = performance.now();
    const parameters = Object.fromEntries(new URLSearchParams(body));
    const signed = Object.keys(parameters)
      .sort()
      .reduce((all, name) => all + name + parameters[name], `${base}${request.url}`);
    const signature = createHmac("sha1", authToken).update(signed).digest("base64");
    if (signature !== request.headers["x-twilio-signature"]) return void response.writeHead(403).end();
    await eventLog.accept({
      organization: "demo",
      type: "comms.MessageReceived",
      source: "/bare",
      id: parameters["MessageSid"]!,
      data: parameters as never,
    });
    events.push({ ms: performance.now() - from, at: (from - begun) / 1000 });
    response.writeHead(200, { "content-type": "text/xml" }).end("<Response/>");
  });
  await new Promise<void>((resolve) => bare.listen(0, "127.0.0.1", resolve));
  opened.defer(() => void bare.close());
  base = `http://127.0.0.1:${(bare.address() as AddressInfo).port}`;
  return { sent: await send(`${base}/webhooks/demo/io.twilio.sms`), events };
}
