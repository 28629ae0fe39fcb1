/**
 * What a newcomer sees: the demo organisation answers at once; a Twilio-signed SMS becomes an event, the Slack notifier
 * reacts to it through the guarded way out, and the execution log shows the whole chain under one trace.
 */
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { startTestHub, type TestAnswer, type TestHub, until } from "../kit/start-test-hub.ts";

interface Received {
  method: string;
  path: string;
  host: string;
  authorization: string;
  body: unknown;
}

const authToken = "twilio-canary-3f9a";
const slackToken = "xoxb-canary-77c1";
const received: Received[] = [];
const slack = createServer((req, res) => {
  let text = "";
  req.on("data", (chunk) => {
    text += chunk;
  });
  req.on("end", () => {
    const { host = "", authorization = "" } = req.headers;
    if (req.url === "/api/chat.postMessage")
      received.push({ method: req.method!, path: req.url, host, authorization, body: JSON.parse(text) });
    res.setHeader("content-type", "application/json");
    res.end(JSON.stringify({ ok: true, channel: "#alerts", ts: "1.2" }));
  });
});

let hub: TestHub;
before(async () => {
  await new Promise<void>((resolve) => slack.listen(0, "127.0.0.1", resolve));
  const { port } = slack.address() as { port: number };
  hub = await startTestHub({
    bundled: true,
    egressOverride: JSON.stringify({ "slack.com": `http://127.0.0.1:${port}` }),
  });
});
after(async () => {
  await hub[Symbol.asyncDispose]();
  slack.close();
  slack.closeAllConnections();
});

const api = (method: string, path: string, body?: unknown): Promise<TestAnswer> =>
  hub.request(method, path, { org: "demo", ...(body === undefined ? {} : { body }) });

const message = { MessageSid: "SM1", From: "+15550001", To: "+15550002", Body: "Hi <there> & co" };
const url = (): string => `${hub.url}/webhooks/demo/io.twilio.sms`;
const sign = (parameters: Record<string, string>): string =>
  createHmac("sha1", authToken)
    .update(
      url() +
        Object.keys(parameters)
          .sort()
          .map((name) => name + parameters[name])
          .join(""),
    )
    .digest("base64");
const vendorPosts = (parameters: Record<string, string>, signature = sign(parameters)): Promise<TestAnswer> =>
  hub.request("POST", "/webhooks/demo/io.twilio.sms", {
    token: null,
    body: String(new URLSearchParams(parameters)),
    headers: { "content-type": "application/x-www-form-urlencoded", "x-twilio-signature": signature },
  });

test("the demo organisation has the greeter installed and active, and it answers", async () => {
  const { body } = await api("GET", "/api/plugins");
  assert.deepEqual(
    body.plugins.map(({ id, status }: Record<string, string>) => [id, status]),
    [["backplane.greeter", "active"]],
  );
  const answer = await api("POST", "/api/plugins/backplane.greeter", { function: "hello", parameters: { who: "Ada" } });
  assert.deepEqual([answer.status, answer.body.result], [200, { text: "Hello, Ada" }]);
});

test("Twilio and the Slack notifier are installed, configured and activated; their secrets come back masked", async () => {
  for (const [id, config] of [
    ["io.twilio.sms", { accountSid: "AC123", authToken }],
    ["mlebotics/slack-notifier", { channel: "#alerts", token: slackToken }],
  ] as const) {
    const installed = await api("POST", "/api/plugins", { id, grants: "all" });
    assert.deepEqual([installed.status, installed.body.status], [201, "pending_config"]);
    assert.equal((await api("POST", `/api/plugins/${encodeURIComponent(id)}/activate`)).status, 409);
    const configured = await api("PUT", `/api/plugins/${encodeURIComponent(id)}/config`, config);
    assert.equal(configured.status, 200, configured.text);
    assert.equal(Object.values(configured.body.config).filter((value) => value === "********").length, 1);
    assert.equal((await api("POST", `/api/plugins/${encodeURIComponent(id)}/activate`)).body.status, "active");
  }
});

test("a flipped byte: 403, and nothing comes of it", async () => {
  const signature = sign(message);
  const flipped = await vendorPosts({ ...message, Body: "Hi <there> & cp" }, signature);
  assert.equal(flipped.status, 403);
  const other = (signature.startsWith("A") ? "B" : "A") + signature.slice(1);
  assert.equal((await vendorPosts(message, other)).status, 403);
  assert.equal((await vendorPosts(message, "")).status, 403);
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.deepEqual((await api("GET", "/api/events?type=comms.*")).body.events, []);
  assert.deepEqual(received, []);
});

test("a signed SMS: 200 TwiML, an event, one post to Slack with its token filled in, and one trace over all", async () => {
  const answer = await vendorPosts(message);
  assert.equal(answer.status, 200, answer.text);
  assert.match(answer.headers.get("content-type") ?? "", /^text\/xml/);
  assert.match(answer.text, /<Response\/>/);
  await until(() => received.length > 0);
  assert.deepEqual(received[0], {
    method: "POST",
    path: "/api/chat.postMessage",
    host: "slack.com",
    authorization: `Bearer ${slackToken}`,
    body: { channel: "#alerts", text: "New sms from +15550001: Hi &lt;there&gt; &amp; co" },
  });

  const { body: events } = await api("GET", "/api/events?type=comms.*");
  assert.equal(events.events.length, 1);
  const [event] = events.events;
  assert.equal(event.type, "comms.MessageReceived");
  assert.equal(event.data.body, message.Body);
  const traceId = event.traceparent.split("-")[1];
  const chain = await until(async () => {
    const { body } = await api("GET", `/api/executions?traceId=${traceId}`);
    return (
      body.executions.length >= 3 &&
      body.executions.every(({ status }: { status: string }) => status === "succeeded") &&
      body.executions
    );
  });
  assert.deepEqual(chain.map(({ plugin, contribution }: Record<string, string>) => [plugin, contribution]).reverse(), [
    ["io.twilio.sms", "webhook"],
    ["io.twilio.sms", "handleIncomingEvent"],
    ["mlebotics/slack-notifier", "comms.MessageReceived"],
  ]);
});

test("the same SMS again, as Twilio does: answered, and nothing happens twice", async () => {
  assert.equal((await vendorPosts(message)).status, 200);
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.equal(received.length, 1);
  assert.equal((await api("GET", "/api/events?type=comms.*")).body.events.length, 1);
});

test("the secrets are nowhere in what the API shows or the store holds in plain", async () => {
  for (const path of [
    "/api/plugins",
    "/api/events?limit=200",
    "/api/executions?limit=200",
    "/api/audit?limit=200",
    "/api/plugins/io.twilio.sms/logs",
    "/api/plugins/mlebotics%2Fslack-notifier/logs",
  ]) {
    const { text, status } = await api("GET", path);
    assert.equal(status, 200);
    assert.ok(!text.includes(authToken) && !text.includes(slackToken), path);
  }
  for (const table of ["installations", "executions", "execution_logs", "events", "deliveries", "audit_log"] as const) {
    const rows = JSON.stringify(await hub.hub.store.db.selectFrom(table).selectAll().execute());
    assert.ok(!rows.includes(authToken) && !rows.includes(slackToken), table);
  }
});
