/** The history in the production sandbox, with Twilio scripted as its documentation describes it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type HttpAnswer,
  type HttpScript,
  type TestCallError,
  type TestedPlugin,
  type TestPluginOptions,
  testPlugin,
} from "@backplane/plugin-api/testing";
import call from "./fixtures/call.json" with { type: "json" };
import message from "./fixtures/message.json" with { type: "json" };
import recording from "./fixtures/recording.json" with { type: "json" };

const accountSid = "AC0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a";
const base = `https://api.twilio.com/2010-04-01/Accounts/${accountSid}`;
const config = { accountSid, authToken: "secret-token" };

const calls = (rows: object[], next: string | null = null): HttpAnswer => ({
  body: { calls: rows, next_page_uri: next },
});
const messages = (rows: object[], next: string | null = null): HttpAnswer => ({
  body: { messages: rows, next_page_uri: next },
});
const at = (path: string, answer: HttpScript["answer"], times?: number): HttpScript => ({
  method: "GET",
  url: `${base}/${path}`,
  answer,
  ...(times === undefined ? {} : { times }),
});

const twilio = (scripts: HttpScript[], more: TestPluginOptions = {}): Promise<TestedPlugin> =>
  testPlugin({
    config,
    http: [
      ...scripts,
      at("Calls.json", calls([])),
      at("Messages.json", messages([])),
      { url: /\/Recordings\.json$/, answer: { body: { recordings: [] } } },
    ],
    ...more,
  });

const caught = (work: Promise<unknown>): Promise<TestCallError> =>
  work.then(
    () => assert.fail("it must fail"),
    (error: TestCallError) => error,
  );

const externalIds = async (plugin: TestedPlugin, type: string): Promise<unknown[]> =>
  (await plugin.rows(type)).map((row) => row["externalId"]);

test("a call and a message become rows with their conversations; every request has basic auth of the sealed token", async () => {
  await using plugin = await twilio([at("Calls.json", calls([call])), at("Messages.json", messages([message]))]);
  const { counts } = await plugin.sync();
  assert.equal(counts.created, 4);
  const [row] = await plugin.rows("calls");
  assert.deepEqual(
    [row?.["startedAt"], row?.["durationSeconds"], row?.["missed"], row?.["source"], row?.["provider"]],
    ["2026-03-02T10:00:00.000Z", 60, false, "com.twilio", "twilio"],
  );
  assert.deepEqual(
    new Set(plugin.requests.map(({ headers }) => headers["authorization"])),
    new Set([`Basic ${btoa(`${accountSid}:secret-token`)}`]),
  );
  const again = await plugin.sync();
  assert.deepEqual([again.counts.created, again.counts.updated], [0, 0]);
});

test("what the channel's webhooks have stored is not stored twice, and its conversation is shared", async () => {
  const source = "io.twilio.sms";
  await using plugin = await twilio(
    [
      at("Calls.json", calls([call, { ...call, sid: "CA00000000000000000000000000000002" }])),
      at("Messages.json", messages([message])),
    ],
    {
      data: {
        calls: [{ source, externalId: call.sid }],
        messages: [{ source, externalId: message.sid }],
        conversations: [{ id: "conv-1", source, externalId: "voice:+15551230000:+15550001" }],
      },
    },
  );
  await plugin.sync();
  const rows = await plugin.rows("calls");
  assert.deepEqual(
    rows.map((row) => [row["source"], row["externalId"], row["conversationId"] ?? null]),
    [
      [source, call.sid, null],
      ["com.twilio", "CA00000000000000000000000000000002", "conv-1"],
    ],
  );
  assert.deepEqual(
    [await externalIds(plugin, "messages"), (await plugin.rows("conversations")).length],
    [[message.sid], 1],
  );
});

test("voicemail somebody has listened to stays so when its call comes again", async () => {
  await using plugin = await twilio(
    [
      at("Calls.json", calls([call])),
      { url: `${base}/Calls/${call.sid}/Recordings.json`, answer: { body: { recordings: [recording] } } },
    ],
    { data: { voicemails: [{ source: "com.twilio", externalId: recording.sid, listened: true }] } },
  );
  await plugin.sync();
  const [voicemail] = await plugin.rows("voicemails");
  const [row] = await plugin.rows("calls");
  assert.deepEqual(
    [voicemail?.["listened"], voicemail?.["callId"], voicemail?.["recordedAt"], row?.["missed"]],
    [true, row?.["id"], "2026-03-02T10:00:30.000Z", true],
  );
});

test("recordings are not asked for when they are not wanted, nor of calls that nobody took", async () => {
  for (const [more, given] of [
    [{ voicemails: false }, call],
    [{}, { ...call, status: "no-answer", duration: "0" }],
    [{}, { ...call, direction: "outbound-api" }],
  ] as const) {
    await using plugin = await twilio([at("Calls.json", calls([given]))], { config: { ...config, ...more } });
    await plugin.sync();
    assert.ok(plugin.requests.every(({ url }) => !url.includes("Recordings")));
  }
});

test("an older item on a later page does not set its conversation back", async () => {
  const path = `/2010-04-01/Accounts/${accountSid}/Messages.json?Page=1`;
  const older = { ...message, sid: "SM00000000000000000000000000000002", date_sent: "Sun, 01 Mar 2026 09:00:00 +0000" };
  await using plugin = await twilio([
    at("Messages.json?Page=1", messages([older])),
    at("Messages.json", messages([message], path)),
  ]);
  await plugin.sync();
  const [conversation] = await plugin.rows("conversations");
  assert.equal(conversation?.["lastInboundAt"], "2026-03-02T09:00:00.000Z");
});

test("429 ends the sync; what came before is stored, and the next goes on with the page that was refused", async () => {
  const path = `/2010-04-01/Accounts/${accountSid}/Messages.json?Page=1`;
  const second = { ...message, sid: "SM00000000000000000000000000000002" };
  await using plugin = await twilio([
    at("Messages.json?Page=1", { status: 429, headers: { "retry-after": "3" }, body: { code: 20429 } }, 1),
    at("Messages.json?Page=1", messages([second])),
    at("Messages.json", messages([message], path)),
  ]);
  const error = await caught(plugin.sync());
  assert.match(error.message, /429/);
  assert.deepEqual(await externalIds(plugin, "messages"), [message.sid]);
  const { items } = await plugin.sync(error.next);
  assert.deepEqual(
    items.map(({ id }) => id),
    [second.sid],
  );
});

for (const next of [
  "https://evil.example/x",
  "@evil.example/x",
  "/2010-04-01/Accounts/AC00000000000000000000000000000000/Messages.json",
  "//evil.example",
])
  test(`a page address outside of the account is not followed: ${next}`, async () => {
    await using plugin = await twilio([at("Messages.json", messages([message], next))]);
    const error = await caught(plugin.sync({ types: ["message"] }));
    assert.match(error.message, /outside of the account/);
    assert.equal(plugin.requests.length, 1);
  });

test("an answer without the list, or that is no JSON, is an error and no empty history", async () => {
  for (const body of [{ data: [] }, "<html>"]) {
    await using plugin = await twilio([at("Calls.json", { body })]);
    assert.ok(await caught(plugin.sync()));
  }
});

test("health tells refused credentials", async () => {
  const account: HttpScript = { url: `${base}.json`, answer: { status: 401, body: { code: 20003 } } };
  await using plugin = await twilio([account]);
  assert.deepEqual(await plugin.health(), {
    status: "unhealthy",
    message: "Twilio does not accept the account SID with this auth token.",
  });
});
