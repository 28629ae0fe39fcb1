import assert from "node:assert/strict";
import { test } from "node:test";
import { type HttpScript, testPlugin } from "@backplane/plugin-api/testing";
// Answers as Slack documents them: https://api.slack.com/methods/chat.postMessage, https://api.slack.com/methods/auth.test
import authTest from "./fixtures/auth-test.json" with { type: "json" };
import channelNotFound from "./fixtures/channel-not-found.json" with { type: "json" };
import invalidAuth from "./fixtures/invalid-auth.json" with { type: "json" };
import posted from "./fixtures/post-message.json" with { type: "json" };

const config = { channel: "#alerts", token: "xoxb-1234-secret" };
const slack = (
  method: string,
  body: unknown,
  rest: { status?: number; headers?: Record<string, string> } = {},
): HttpScript => ({
  method: "POST",
  url: `https://slack.com/api/${method}`,
  answer: { body, ...rest },
});

test("notify posts to the configured channel with the sealed token", async () => {
  await using plugin = await testPlugin({ config, http: [slack("chat.postMessage", posted)] });
  assert.deepEqual(await plugin.call("notify", { text: "Hello" }), { channel: posted.channel, ts: posted.ts });
  const [request] = plugin.requests;
  assert.equal(request?.headers["authorization"], `Bearer ${config.token}`);
  assert.deepEqual(request?.json, { channel: "#alerts", text: "Hello" });
  assert.ok(!JSON.stringify(plugin.logs).includes(config.token));
});

test("notify posts to another channel when one is named", async () => {
  await using plugin = await testPlugin({ config, http: [slack("chat.postMessage", posted)] });
  await plugin.call("notify", { text: "Hello", channel: "C99" });
  assert.deepEqual(plugin.requests[0]?.json, { channel: "C99", text: "Hello" });
});

test("an empty text never reaches Slack", async () => {
  await using plugin = await testPlugin({ config });
  await assert.rejects(plugin.call("notify", { text: "" }), { code: "invalid_parameters" });
  assert.deepEqual(plugin.requests, []);
});

test("a refusal of Slack, which comes as HTTP 200, fails the call with Slack's word", async () => {
  await using plugin = await testPlugin({ config, http: [slack("chat.postMessage", channelNotFound)] });
  await assert.rejects(plugin.call("notify", { text: "Hello" }), {
    code: "plugin_error",
    message: /channel_not_found/,
  });
});

test("too many requests fail the call with the time to wait, so that an event comes again later", async () => {
  const limited = slack("chat.postMessage", "", { status: 429, headers: { "retry-after": "30" } });
  await using plugin = await testPlugin({ config, http: [limited] });
  await assert.rejects(plugin.deliver({ type: "comms.MessageReceived", data: { from: "Ada", body: "Hi" } }), {
    code: "plugin_error",
    message: /wait 30 s/,
  });
});

test("a message that came in is posted, and its text cannot act as Slack markup", async () => {
  await using plugin = await testPlugin({ config, http: [slack("chat.postMessage", posted)] });
  await plugin.deliver({
    type: "comms.MessageReceived",
    data: { channel: "sms", from: "+15550001", body: "<!channel> & <https://evil.example|free>" },
  });
  assert.deepEqual(plugin.requests[0]?.json, {
    channel: "#alerts",
    text: "New sms from +15550001: &lt;!channel&gt; &amp; &lt;https://evil.example|free&gt;",
  });
});

test("health is what auth.test says of the token", async () => {
  await using good = await testPlugin({ config, http: [slack("auth.test", authTest)] });
  assert.deepEqual(await good.health(), { status: "healthy" });
  await using bad = await testPlugin({ config, http: [slack("auth.test", invalidAuth)] });
  assert.deepEqual(await bad.health(), { status: "unhealthy", message: "Slack refuses the token: invalid_auth" });
});

test("without a token it is not activated", async () => {
  await assert.rejects(testPlugin({ config: { channel: "#alerts" } }), {
    code: "activation_blocked",
    message: /token/,
  });
});
