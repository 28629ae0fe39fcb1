/** CONTRACT, "HTTP": events in and out, the stream, and dead letters. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { probe } from "../kit/probe-plugin.ts";
import { type Keys, startTestHub, type TestAnswer, type TestHub, until } from "../kit/start-test-hub.ts";

let hub: TestHub;
let acme: Keys;
before(async () => {
  hub = await startTestHub();
  acme = await hub.organization("acme");
  await hub.install("acme", probe());
});
after(() => hub[Symbol.asyncDispose]());

interface Listed {
  id: string;
  type: string;
  data: unknown;
}

const get = (path: string): Promise<TestAnswer> => hub.request("GET", path, { token: acme.viewerKey });
const publish = (event: object): Promise<TestAnswer> =>
  hub.request("POST", "/api/events", { token: acme.memberKey, body: event });
const listed = async (query: string): Promise<Listed[]> => (await get(`/api/events?limit=200&${query}`)).body.events;
const arrived = (id: string): Promise<Listed> => until(async () => (await listed("")).find((event) => event.id === id));

test("publishing: 202 with the id; the event is a CloudEvents 1.0 object with organisation and traceparent", async () => {
  const answer = await publish({ type: "shop.opened", data: { door: 1 }, subject: "door-1" });
  assert.equal(answer.status, 202, answer.text);
  assert.deepEqual(Object.keys(answer.body), ["id"]);
  const { time, traceparent, source, ...event } = (await arrived(answer.body.id)) as never as Record<string, string>;
  assert.match(time!, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
  assert.match(traceparent!, /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
  assert.ok(source);
  assert.deepEqual(event, {
    specversion: "1.0",
    id: answer.body.id,
    type: "shop.opened",
    subject: "door-1",
    data: { door: 1 },
    organization: "acme",
    datacontenttype: "application/json",
  });
});

test("the same id again: 202, accepted once, the first one stands", async () => {
  for (const data of [1, 2, 3]) {
    const { status, body } = await publish({ type: "shop.once", data, id: "only-once" });
    assert.deepEqual([status, body], [202, { id: "only-once" }]);
  }
  await arrived("only-once");
  assert.deepEqual(
    (await listed("type=shop.once")).map(({ data }) => data),
    [1],
  );
});

test("the same id at once from many callers is accepted once", async () => {
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, data) => publish({ type: "shop.race", data, id: "raced" })),
  );
  assert.ok(answers.every(({ status, body }) => status === 202 && body.id === "raced"));
  await arrived("raced");
  assert.equal((await listed("type=shop.race")).length, 1);
});

test("types: a name with a domain; `*` and prefixes are no types, `plugin.*` and `backplane.*` are the hub's own", async () => {
  for (const type of ["*", "order.*", "", "Order Placed", "plugin.installed", "backplane.x", "plugin", ".", "a..b"]) {
    const answer = await publish({ type, data: 1 });
    assert.equal(answer.status, 400, `${type} ${answer.text}`);
    assert.ok(answer.body.errors.length > 0);
  }
});

test("the log is read oldest first, by exact type or prefix, and onward from an id or a cursor", async () => {
  const ids: string[] = [];
  for (const [type, n] of [
    ["tea.a", 1],
    ["tea.a.b", 2],
    ["teapot.a", 3],
    ["tea.c", 4],
  ] as const)
    ids.push((await publish({ type, data: n })).body.id);
  await arrived(ids[3]!);
  const data = async (query: string): Promise<unknown[]> => (await listed(query)).map((event) => event.data);
  assert.deepEqual(await data("type=tea.*"), [1, 2, 4]);
  assert.deepEqual(await data("type=tea.a"), [1]);
  assert.deepEqual(await data(`type=tea.*&after=${ids[0]}`), [2, 4]);
  assert.deepEqual(await data(`after=${ids[1]}`), [3, 4]);
  const first = await get("/api/events?type=tea.*&limit=2");
  assert.deepEqual(
    first.body.events.map((event: Listed) => event.data),
    [1, 2],
  );
  const next = await get(`/api/events?type=tea.*&limit=2&cursor=${first.body.nextCursor}`);
  assert.deepEqual(
    next.body.events.map((event: Listed) => event.data),
    [4],
  );
  assert.equal((await get("/api/events?after=no-such-event")).body.code, "invalid_cursor");
  assert.equal((await get("/api/events?type=*.x")).status, 400);
});

test("a published event reaches the plugin that subscribes, and what that emits is in the log under one trace", async () => {
  const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
  const { body } = await hub.request("POST", "/api/events", {
    token: acme.memberKey,
    body: { type: "order.placed", data: { total: 5 } },
    headers: { traceparent: `00-${traceId}-00f067aa0ba902b7-01` },
  });
  const seen = (await arrived(`plugin:acme.probe#seen:${body.id}`)) as Listed & { traceparent: string; source: string };
  assert.equal(seen.traceparent.split("-")[1], traceId);
  assert.match(seen.source, /acme\.probe/);
  // The event is out before the call that emitted it has ended and is recorded.
  const found = await until(async () => {
    const { body: page } = await get(`/api/executions?traceId=${traceId}`);
    return page.executions.length > 0 && page.executions;
  });
  assert.deepEqual(
    found.map(({ contribution }: { contribution: string }) => contribution),
    ["order.*"],
  );
});

interface Message {
  id: string;
  event: { type: string; data: unknown };
}

/** Opens the stream; `next` waits for a message. */
async function listen(
  query: string,
  headers: Record<string, string> = {},
): Promise<{
  next(): Promise<Message>;
  status: number;
  type: string | null;
  headers: Headers;
  close(): Promise<void>;
}> {
  const abort = new AbortController();
  const answer = await fetch(`${hub.url}/api/events/stream${query}`, {
    headers: { authorization: `Bearer ${acme.viewerKey}`, ...headers },
    signal: abort.signal,
  });
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  return {
    status: answer.status,
    type: answer.headers.get("content-type"),
    headers: answer.headers,
    async next() {
      for (;;) {
        const match = /id: (.*)\ndata: (.*)\n\n/.exec(text);
        if (match) {
          text = text.slice(match.index + match[0].length);
          return { id: match[1]!, event: JSON.parse(match[2]!) };
        }
        const { value, done } = await reader.read();
        assert.ok(!done, `the stream ended: ${text}`);
        text += value;
      }
    },
    async close() {
      abort.abort();
      await reader.cancel().catch(() => {});
    },
  };
}

test("the stream gives events as they come, by type, and goes on after Last-Event-ID without gap or repetition", async () => {
  const stream = await listen("?type=live.*");
  assert.equal(stream.status, 200);
  assert.match(stream.type ?? "", /^text\/event-stream/);
  assert.equal(stream.headers.get("x-content-type-options"), "nosniff");
  await publish({ type: "live.one", data: 1 });
  await publish({ type: "dead.one", data: 0 });
  const first = await stream.next();
  assert.deepEqual([first.event.type, first.event.data], ["live.one", 1]);
  await stream.close();
  for (const n of [2, 3, 4]) await publish({ type: "live.more", data: n });
  const resumed = await listen("?type=live.*", { "last-event-id": first.id });
  const got: unknown[] = [];
  for (let n = 0; n < 3; n += 1) got.push((await resumed.next()).event.data);
  assert.deepEqual(got, [2, 3, 4]);
  await publish({ type: "live.last", data: 5 });
  assert.equal((await resumed.next()).event.data, 5);
  await resumed.close();
});

test("a wrong cursor or type is answered as a problem, before the stream begins", async () => {
  for (const [query, headers] of [
    ["?after=nonsense", {}],
    ["", { "last-event-id": "nonsense" }],
    ["?type=a.*.b", {}],
    ["?colour=red", {}],
  ] as const) {
    const answer = await hub.request("GET", `/api/events/stream${query}`, { token: acme.viewerKey, headers });
    assert.equal(answer.status, 400, query);
    assert.match(answer.headers.get("content-type") ?? "", /^application\/problem\+json/);
  }
});

test("a hundred listeners that leave take nothing of the hub with them", async () => {
  const streams = await Promise.all(Array.from({ length: 100 }, () => listen("")));
  await Promise.all(streams.map((stream) => stream.close()));
  assert.equal((await get("/api/events?limit=1")).status, 200);
});

test("what a plugin fails on becomes a dead letter with its reason, and a retry delivers it when the fault is gone", async () => {
  // The plugin is asked twelve times with backoff before that; here the last attempt is brought forward.
  const { body } = await publish({ type: "order.poison", data: { poison: true } });
  await until(async () => {
    await hub.hub.store.db
      .updateTable("deliveries")
      .set({ attempts: 11, due: new Date(0) })
      .where("item_id", "=", body.id)
      .where("state", "=", "pending")
      .where("claimed_by", "is", null)
      .where("error", "is not", null)
      .execute();
    return (await get("/api/dead-letters")).body.deadLetters.length > 0;
  });
  const { body: list } = await get("/api/dead-letters");
  const [letter] = list.deadLetters;
  assert.equal(list.nextCursor, null);
  assert.match(JSON.stringify(letter), /poisoned/);
  assert.match(JSON.stringify(letter), /order\.\*/);
  const retried = await hub.request("POST", `/api/dead-letters/${letter.id}/retry`, { token: acme.memberKey });
  assert.equal(retried.status, 202, retried.text);
  assert.equal(
    (await hub.request("POST", `/api/dead-letters/${letter.id}/retry`, { token: acme.memberKey })).status,
    404,
  );
  assert.equal((await hub.request("POST", "/api/dead-letters/none/retry", { token: acme.memberKey })).status, 404);
  const all = await hub.request("POST", "/api/dead-letters/retry", { token: acme.memberKey, body: {} });
  assert.equal(all.status, 202);
});

test("consumers are listed with their lag", async () => {
  const { body } = await get("/api/consumers");
  const [consumer] = body.consumers;
  assert.deepEqual([consumer.plugin, consumer.pattern, consumer.active], ["acme.probe", "order.*", true]);
  assert.equal(typeof consumer.pending, "number");
});
