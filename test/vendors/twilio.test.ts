/** com.twilio against Twilio's own description: every request it sends holds, and so does all it is fed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { TestCallError, TestedPlugin, TestPluginOptions, TestSyncOptions } from "../../plugin-api/src/testing.ts";
import {
  createVendorMock,
  describeVendor,
  paged,
  rawReply,
  reply,
  throttled,
  type VendorMock,
  type VendorReply,
} from "../kit/vendor-mock.ts";
import { bundledPlugin } from "../kit/vendor-mock-plugin.ts";

const file = "twilio/api_v2010.messages-calls.openapi.json";
const start = bundledPlugin("plugins/connectors/twilio");
const account = `AC${"0a".repeat(16)}`;
const base = `/2010-04-01/Accounts/${account}`;
const authToken = "token-of-twilio";
const config = { accountSid: account, authToken };
const own = "+15551230000";

const sid = (kind: string, n: number): string => `${kind}${String(n).padStart(32, "0")}`;
const rfc2822 = (minute: number): string => `Mon, 02 Mar 2026 10:${String(minute).padStart(2, "0")}:00 +0000`;

const call = (n: number, more: object = {}): object => ({
  sid: sid("CA", n),
  account_sid: account,
  parent_call_sid: null,
  direction: "inbound",
  from: "+15550001",
  to: own,
  status: "completed",
  start_time: rfc2822(n),
  end_time: rfc2822(n + 1),
  date_created: rfc2822(n),
  date_updated: rfc2822(n + 1),
  duration: "0",
  price: null,
  uri: `${base}/Calls/${sid("CA", n)}.json`,
  subresource_uris: { recordings: `${base}/Calls/${sid("CA", n)}/Recordings.json` },
  ...more,
});

const message = (n: number, more: object = {}): object => ({
  sid: sid("SM", n),
  account_sid: account,
  direction: "inbound",
  from: "+15550001",
  to: own,
  body: `Text ${n}`,
  status: "received",
  num_media: "0",
  error_code: null,
  error_message: null,
  messaging_service_sid: null,
  date_created: rfc2822(n),
  date_sent: rfc2822(n),
  date_updated: rfc2822(n),
  uri: `${base}/Messages/${sid("SM", n)}.json`,
  ...more,
});

/** A list, newest first, in pages of two whose addresses Twilio gives as paths. */
const list = (resource: "Calls" | "Messages", items: readonly object[]) =>
  paged({
    items,
    size: 2,
    mark: ({ query }) => query["PageToken"],
    answer: (rows, next, { query }) => ({
      [resource.toLowerCase()]: rows,
      page: Number(query["Page"] ?? 0),
      page_size: Number(query["PageSize"]),
      start: 0,
      end: rows.length,
      uri: `${base}/${resource}.json`,
      first_page_uri: `${base}/${resource}.json?Page=0`,
      previous_page_uri: null,
      next_page_uri:
        next === undefined
          ? null
          : `${base}/${resource}.json?PageSize=${query["PageSize"]}&Page=${Number(query["Page"] ?? 0) + 1}&PageToken=${next}`,
    }),
  });

const twilio = (): VendorMock =>
  createVendorMock({
    file,
    looseFormats: ["uri"],
    accepts: ({ user, password }) => user === account && password === authToken,
    unauthorized: reply(401, { code: 20003, message: "Authenticate", status: 401 }),
  })
    .on("ListCall", list("Calls", []))
    .on("ListMessage", list("Messages", []))
    .on("ListCallRecording", () => ({ recordings: [] }));

const plugin = (mock: VendorMock, options: TestPluginOptions = {}): Promise<TestedPlugin> =>
  start({ config, http: mock.scripts, ...options });

const newestFirst = <T>(items: T[]): T[] => items.toReversed();
const failureOf = (work: Promise<unknown>): Promise<TestCallError> =>
  work.then(
    () => assert.fail("it must fail"),
    (error: TestCallError) => error,
  );

describeVendor("com.twilio and Twilio's description", [file], () => {
  test("calls, messages, pictures and voicemail of the past, page after page", async () => {
    const recording = {
      sid: sid("RE", 1),
      call_sid: sid("CA", 2),
      source: "RecordVerb",
      status: "completed",
      start_time: rfc2822(3),
      duration: "12",
      uri: `${base}/Calls/${sid("CA", 2)}/Recordings/${sid("RE", 1)}.json`,
    };
    const mock = twilio()
      .on(
        "ListCall",
        list(
          "Calls",
          newestFirst([
            call(1, { status: "no-answer" }),
            call(2, { duration: "30" }),
            call(3, { direction: "outbound-api", from: own, to: "+15550002" }),
            call(4, { direction: "outbound-dial", to: "+15559999", parent_call_sid: sid("CA", 2) }),
            call(5, { duration: "60" }),
          ]),
        ),
      )
      .on("ListCallRecording", ({ path }) => ({
        recordings:
          path["CallSid"] === sid("CA", 2) ? [recording, { ...recording, sid: sid("RE", 2), source: "DialVerb" }] : [],
      }))
      .on(
        "ListMessage",
        list(
          "Messages",
          newestFirst([
            message(1),
            message(2, {
              direction: "outbound-api",
              from: own,
              to: "+15550001",
              status: "undelivered",
              error_code: 30003,
              error_message: "Unreachable",
            }),
            message(3, { sid: sid("MM", 3), num_media: "1" }),
            message(4, { from: "whatsapp:+15550001", to: `whatsapp:${own}` }),
          ]),
        ),
      )
      .on("ListMedia", ({ path }) => ({
        media_list: [
          {
            sid: sid("ME", 1),
            parent_sid: path["MessageSid"],
            content_type: "image/jpeg",
            uri: `${base}/Messages/${path["MessageSid"]}/Media/${sid("ME", 1)}.json`,
          },
        ],
      }));
    const ada = { id: "ada", displayName: "Ada", phones: [{ number: "+15550001" }] };
    await using history = await plugin(mock, { data: { contacts: [ada] } });
    const { counts } = await history.sync();
    mock.assertClean();
    assert.equal(counts.deleted, 0);

    const calls = (await history.rows("calls")).sort((a, b) =>
      String(a["externalId"]).localeCompare(String(b["externalId"])),
    );
    assert.deepEqual(
      calls.map(({ externalId, direction, missed, status, contactId }) => [
        externalId,
        direction,
        missed,
        status,
        contactId,
      ]),
      [
        [sid("CA", 1), "inbound", true, "no-answer", "ada"],
        [sid("CA", 2), "inbound", true, "completed", "ada"],
        [sid("CA", 3), "outbound", false, "completed", null],
        [sid("CA", 5), "inbound", false, "completed", "ada"],
      ],
    );
    assert.equal(calls[0]?.["startedAt"], "2026-03-02T10:01:00.000Z");
    const [voicemail, ...others] = await history.rows("voicemails");
    assert.deepEqual(others, []);
    assert.deepEqual(
      [voicemail?.["callId"], voicemail?.["durationSeconds"], voicemail?.["listened"], voicemail?.["recordingUrl"]],
      [calls[1]?.["id"], 12, false, `https://api.twilio.com${base}/Calls/${sid("CA", 2)}/Recordings/${sid("RE", 1)}`],
    );
    const messages = await history.rows("messages");
    assert.deepEqual(
      messages.map(({ channel, status, errorCode }) => [channel, status, errorCode]),
      [
        ["whatsapp", "received", null],
        ["sms", "received", null],
        ["sms", "undelivered", "30003"],
        ["sms", "received", null],
      ],
    );
    assert.deepEqual(messages[1]?.["media"], [
      {
        url: `https://api.twilio.com${base}/Messages/${sid("MM", 3)}/Media/${sid("ME", 1)}`,
        contentType: "image/jpeg",
      },
    ]);
    const conversations = await history.rows("conversations");
    assert.deepEqual(conversations.map(({ externalId, lastMessageAt }) => [externalId, lastMessageAt]).sort(), [
      [`sms:${own}:+15550001`, "2026-03-02T10:03:00.000Z"],
      [`voice:${own}:+15550001`, "2026-03-02T10:05:00.000Z"],
      [`voice:${own}:+15550002`, "2026-03-02T10:03:00.000Z"],
      [`whatsapp:${own}:+15550001`, "2026-03-02T10:04:00.000Z"],
    ]);
  });

  test("the next sync lists from a day before the last one ended, inclusive; what comes again changes nothing", async () => {
    const mock = twilio().on("ListMessage", list("Messages", [message(1)]));
    await using history = await plugin(mock, { config: { ...config, since: "2026-01-01", settleMinutes: 30 } });
    const { next } = await history.sync();
    const { counts } = await history.sync(next);
    mock.assertClean();
    assert.deepEqual([counts.created, counts.updated], [0, 0]);
    const [first, second] = mock.calls.filter(({ operation }) => operation === "ListMessage").map(({ query }) => query);
    assert.equal(first?.["DateSent>"], "2026-01-01T00:00:00Z");
    const to = Date.parse(String(first?.["DateSent<"]));
    assert.ok(Math.abs(Date.now() - 30 * 60_000 - to) < 60_000);
    assert.equal(Date.parse(String(second?.["DateSent>"])), to - 86_400_000);
  });

  test("429 in the middle of the list: the next sync goes on with the page that was refused", async () => {
    const pages = list("Messages", newestFirst([1, 2, 3, 4, 5].map((n) => message(n))));
    let refused = 0;
    const mock = twilio().on("ListMessage", (call) =>
      call.query["PageToken"] === "page-at-2" && refused++ === 0
        ? throttled(5, { code: 20429, status: 429 })
        : pages(call),
    );
    await using history = await plugin(mock);
    const error = await failureOf(history.sync({ types: ["message"] }));
    assert.match(error.message, /429/);
    const { items } = await history.sync(error.next);
    mock.assertClean();
    assert.deepEqual(
      items.map(({ id }) => id),
      [sid("SM", 3), sid("SM", 2), sid("SM", 1)],
    );
    assert.equal((await history.rows("messages")).length, 5);
  });

  test("credentials that Twilio takes back in the middle end the sync; with new ones it goes on", async () => {
    const mock = twilio().on("ListMessage", list("Messages", newestFirst([1, 2, 3].map((n) => message(n)))));
    mock.accepts = ({ password }, { query }) => password === "new" || query["PageToken"] === undefined;
    await using history = await plugin(mock);
    const error = await failureOf(history.sync());
    assert.match(error.message, /401/);
    await history.configure({ ...config, authToken: "new" });
    await history.sync(error.next);
    mock.assertClean();
    assert.equal((await history.rows("messages")).length, 3);
  });

  test("a page whose address does not hold any more is begun again from the first", async () => {
    const pages = list("Messages", newestFirst([1, 2, 3].map((n) => message(n))));
    const answers: VendorReply[] = [reply(500, {}), reply(400, { code: 20006, status: 400 })];
    const mock = twilio().on("ListMessage", (call) =>
      call.query["PageToken"] === undefined ? pages(call) : (answers.shift() ?? pages(call)),
    );
    await using history = await plugin(mock);
    const error = await failureOf(history.sync({ types: ["message"] }));
    const { items } = await history.sync(error.next);
    mock.assertClean();
    assert.equal(items.length, 3);
  });

  test("health asks for the account", async () => {
    let status = "active";
    const mock = twilio().on("FetchAccount", () => ({ sid: account, status }));
    await using history = await plugin(mock);
    assert.deepEqual(await history.health(), { status: "healthy" });
    status = "suspended";
    assert.deepEqual(await history.health(), { status: "unhealthy", message: "The Twilio account is suspended." });
    mock.accepts = () => false;
    assert.equal(((await history.health()) as { status: string }).status, "unhealthy");
    mock.assertClean();
  });

  test("equal times, any page size, faults anywhere: the rows end as Twilio's list is", {
    timeout: 240_000,
  }, async () => {
    const fault = fc.constantFrom("none", "none", "429", "500", "json", "stale", "401");
    // Whole seconds of few values, so that many are equal.
    const texts = fc.array(
      fc.record({ second: fc.integer({ min: 0, max: 2 }), state: fc.constantFrom("received", "receiving") }),
      { maxLength: 6 },
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ texts, faults: fc.array(fault, { maxLength: 6 }) }), { minLength: 1, maxLength: 3 }),
        fc.integer({ min: 1, max: 3 }),
        async (rounds, size) => {
          const inbox = createInbox(size);
          const mock = twilio().on("ListMessage", inbox.handler);
          await using history = await plugin(mock);
          let next: TestSyncOptions = { types: ["message"] };
          for (const round of [...rounds, { texts: [], faults: [] }]) {
            for (const one of round.texts) inbox.add(one);
            inbox.faults = [...round.faults];
            for (let tries = 0, done = false; !done; tries++) {
              assert.ok(tries < 20, "it never ends");
              mock.accepts = () => inbox.faults[0] !== "401" || inbox.faults.shift() === undefined;
              const outcome = await history.sync(next).catch((error: TestCallError) => error);
              done = !(outcome instanceof Error);
              next = { ...outcome.next, types: ["message"] };
            }
          }
          mock.assertClean();
          const rows = await history.rows("messages");
          assert.deepEqual(
            rows.map(({ externalId, sentAt, providerStatus }) => [externalId, sentAt, providerStatus]).sort(),
            inbox.items.map(({ id, at, state }) => [id, new Date(at).toISOString(), state]).sort(),
          );
        },
      ),
      {
        numRuns: 12,
        examples: [
          [
            [
              { texts: [0, 0, 0].map((second) => ({ second, state: "receiving" })), faults: ["none", "429"] },
              { texts: [{ second: 0, state: "received" }], faults: ["none", "stale"] },
            ],
            1,
          ],
        ],
      },
    );
  });
});

/** Messages of an hour ago, newest first, filtered as Twilio does; fails as it is told, one fault a request. */
function createInbox(size: number) {
  const begin = Math.floor(Date.now() / 1000) * 1000 - 3_600_000;
  const items: { id: string; at: number; state: string }[] = [];
  const inbox = {
    items,
    faults: [] as string[],
    add({ second, state }: { second: number; state: string }): void {
      // States of older ones change too.
      for (const item of items) item.state = state;
      items.push({ id: sid("SM", items.length + 1), at: begin + second * 1000, state });
    },
    handler({ query }: { query: Record<string, unknown> }): unknown {
      const token = query["PageToken"] as string | undefined;
      const fault = inbox.faults.shift();
      if (fault === "429") return throttled(1, { code: 20429, status: 429 });
      if (fault === "500") return reply(500, {});
      if (fault === "json") return rawReply(200, '{"messages":[{', { "content-type": "application/json" });
      if (fault === "stale" && token !== undefined) return reply(400, { code: 20006, status: 400 });
      const [from, to, at] = token?.split("|") ?? [query["DateSent>"] ?? "", query["DateSent<"], "0"];
      const found = items
        .filter((item) => (from === "" || item.at >= Date.parse(String(from))) && item.at <= Date.parse(String(to)))
        .sort((a, b) => b.at - a.at);
      const end = Number(at) + size;
      const rows = found.slice(Number(at), end).map((item) => {
        const time = new Date(item.at).toUTCString().replace("GMT", "+0000");
        return { ...message(1), sid: item.id, status: item.state, date_sent: time, date_updated: time };
      });
      return {
        messages: rows,
        next_page_uri:
          end < found.length
            ? `${base}/Messages.json?PageSize=100&PageToken=${encodeURIComponent(`${from}|${to}|${end}`)}`
            : null,
      };
    },
  };
  return inbox;
}
