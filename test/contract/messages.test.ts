/** Messages end to end: over HTTP and the command line, through a channel plugin in the sandbox, to a service and back by its webhooks. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { runForTest } from "../../src/edges/cli/test-cli.ts";
import {
  type Keys,
  type PluginSource,
  startTestHub,
  type TestAnswer,
  type TestHub,
  until,
} from "../kit/start-test-hub.ts";

/** A service that takes messages, answers as told, and reports nothing by itself. */
const service = createServer((request, response) => {
  let body = "";
  request.on("data", (chunk) => {
    body += chunk;
  });
  request.on("end", () => {
    const message = JSON.parse(body) as { text: string; id: string; webhook: string };
    received.push(message);
    const status = message.text === "refuse me" ? 400 : message.text === "slower" && received.length === 1 ? 429 : 201;
    response
      .writeHead(status, { "content-type": "application/json", ...(status === 429 ? { "retry-after": "1" } : {}) })
      .end(JSON.stringify({ sid: `S${received.length}`, status: "queued" }));
  });
});
const received: { text: string; id: string; webhook: string }[] = [];

const channel = (id: string, types: string[]): PluginSource => ({
  manifest: {
    id,
    type: "channel",
    permissions: ["network:inbound", "network:outbound:sms.example", "event:publish:comms.*"],
    contributes: { channel: { types, ratePerSecond: 100 }, webhook: {} },
  },
  code: `
import { definePlugin } from "@backplane/plugin-api";
export default definePlugin({
  async webhook({ rawBody }) {
    const report = JSON.parse(rawBody);
    return { status: 200, accept: [{ id: report.sid + ":" + report.status, ...report }] };
  },
  channel: {
    async handleIncomingEvent({ id, sid, status }, ctx) {
      await ctx.emitEvent("comms.MessageStatus", { channel: "sms", provider: "example", externalId: sid, status }, { id, subject: sid });
    },
    async sendMessage({ id, to, body, webhookUrl }, ctx) {
      const { sid, status } = await ctx.http.post("https://sms.example/send", { id, to, text: body, webhook: webhookUrl });
      return { externalId: sid, status };
    },
    ${
      types.includes("voice")
        ? `async placeCall({ to, webhookUrl }) { return { id: "call-" + to, status: webhookUrl ? "ringing" : "lost" }; },
    generateAccessToken: (userId) => "token-of-" + userId,`
        : ""
    }
  },
});`,
});

let hub: TestHub;
let acme: Keys;
let globex: Keys;
before(async () => {
  await new Promise<void>((resolve) => service.listen(0, "127.0.0.1", resolve));
  const { port } = service.address() as { port: number };
  hub = await startTestHub({ egressOverride: JSON.stringify({ "sms.example": `http://127.0.0.1:${port}` }) });
  acme = await hub.organization("acme");
  globex = await hub.organization("globex");
  await hub.install("acme", channel("acme.sms", ["sms", "voice"]));
  await hub.install("globex", channel("acme.sms", ["sms"]));
});
after(async () => {
  await hub[Symbol.asyncDispose]();
  service.close();
  service.closeAllConnections();
});

const as = (token: string, method: string, path: string, body?: unknown): Promise<TestAnswer> =>
  hub.request(method, path, { token, ...(body === undefined ? {} : { body }) });
const send = (body: object, token = acme.memberKey): Promise<TestAnswer> =>
  as(token, "POST", "/api/messages", { channel: "sms", to: "+15550001", body: "hello", ...body });
// biome-ignore lint/suspicious/noExplicitAny: what a test looks into
const show = async (id: string, token = acme.viewerKey): Promise<any> =>
  (await as(token, "GET", `/api/messages/${id}`)).body;
const reaches = (id: string, status: string): Promise<unknown> =>
  until(async () => (await show(id)).status === status || undefined);

test("a message goes out once per key, and the service's reports raise its state", async () => {
  const first = await send({ idempotencyKey: "k1" });
  assert.equal(first.status, 202, first.text);
  assert.deepEqual(Object.keys(first.body), ["id"]);
  assert.deepEqual((await send({ idempotencyKey: "k1" })).body, first.body);
  assert.equal((await send({ idempotencyKey: "k1", body: "else" })).status, 409);
  const { id } = first.body;
  await reaches(id, "sent");
  const message = await show(id);
  const { externalId } = message.attempts[0];
  assert.equal(received.filter((one) => one.id === id).length, 1);
  assert.equal(received[0]!.webhook, `${hub.url}/webhooks/acme/acme.sms`);
  for (const status of ["read", "delivered", "sent", "read"])
    assert.equal(
      (await hub.request("POST", "/webhooks/acme/acme.sms", { token: null, body: { sid: externalId, status } })).status,
      200,
    );
  await reaches(id, "read");
  assert.ok((await show(id)).readAt);
});

test("429 with Retry-After is obeyed without losing a try", async () => {
  received.length = 0;
  const { id } = (await send({ body: "slower" })).body;
  await reaches(id, "sent");
  assert.equal((await show(id)).attempts[0].tries, 1);
  assert.equal(received.length, 2);
});

test("what the service refuses has failed, with the reason, and another channel has its turn", async () => {
  await hub.install("acme", channel("acme.mail", ["email"]));
  const { id } = (await send({ body: "refuse me", fallback: [{ channel: "email", to: "a@b.example" }] })).body;
  await until(async () => (await show(id)).attempts.length === 2 || undefined);
  const { attempts } = await show(id);
  assert.deepEqual(
    attempts.map(({ plugin, errorCode }: { plugin: string; errorCode: string }) => [plugin, errorCode]).slice(0, 1),
    [["acme.sms", "plugin_error"]],
  );
  assert.match(attempts[0].error, /answered 400/);
  assert.equal(attempts[1].plugin, "acme.mail");
});

test("wrong requests are told by field; what there is no channel for is 409", async () => {
  for (const [body, path] of [
    [{ body: undefined }, "body"],
    [{ to: "x".repeat(400) }, "to"],
    [{ body: "\ud800" }, "body"],
    [{ media: [{ url: "file:///etc/passwd" }] }, "media.0.url"],
    [{ sendAt: "tomorrow" }, "sendAt"],
    [{ surprise: 1 }, ""],
    [{ metadata: { big: "x".repeat(20_000) } }, "metadata"],
  ] as const) {
    const answer = await send(body);
    assert.equal(answer.status, 400, answer.text);
    assert.equal(answer.body.code, "invalid_input");
    assert.ok(answer.text.includes(path), `${path}: ${answer.text}`);
  }
  assert.equal((await send({ channel: "pigeon" })).body.code, "channel_unavailable");
  assert.equal((await send({ to: undefined, contactId: "nobody" })).status, 404);
});

test("roles: a viewer reads, a member sends and cancels, an admin says which channel is the default", async () => {
  assert.equal((await send({}, acme.viewerKey)).status, 403);
  const later = (await send({ sendAt: new Date(Date.now() + 86_400_000).toISOString() })).body;
  assert.equal((await as(acme.viewerKey, "POST", `/api/messages/${later.id}/cancel`)).status, 403);
  const cancelled = await as(acme.memberKey, "POST", `/api/messages/${later.id}/cancel`);
  assert.equal(cancelled.body.attempts[0].state, "cancelled", cancelled.text);
  assert.equal((await as(acme.memberKey, "PUT", "/api/channels/acme.sms/default", { channel: "sms" })).status, 403);
  assert.equal((await as(acme.adminKey, "PUT", "/api/channels/acme.sms/default", { channel: "sms" })).status, 204);
  const { channels } = (await as(acme.viewerKey, "GET", "/api/channels")).body;
  assert.deepEqual(
    channels.map((one: { id: string; defaultFor: string[]; inbound: boolean }) => [
      one.id,
      one.defaultFor,
      one.inbound,
    ]),
    [
      ["acme.mail", [], true],
      ["acme.sms", ["sms"], true],
    ],
  );
});

test("calls and tokens are the plugin's, a token is not recorded, and what a channel cannot do is said clearly", async () => {
  const call = await as(acme.memberKey, "POST", "/api/channels/acme.sms/calls", { to: "+15550001" });
  assert.deepEqual([call.status, call.body], [201, { id: "call-+15550001", status: "ringing", startedAt: null }]);
  const token = await as(acme.memberKey, "POST", "/api/channels/acme.sms/tokens", { userId: "ada" });
  assert.deepEqual([token.status, token.body], [201, { token: "token-of-ada" }]);
  const executions = await until(async () => {
    const { text, body } = await as(acme.adminKey, "GET", "/api/executions?contribution=generateAccessToken");
    return body.executions.length > 0 ? text : undefined;
  });
  assert.ok(!executions.includes("token-of-ada"));
  assert.ok(executions.includes("omitted"));
  for (const [path, body] of [
    ["/api/channels/acme.sms/faxes", { to: "+1", mediaUrl: "https://x.example/f.pdf" }],
    ["/api/channels/acme.mail/calls", { to: "+1" }],
  ] as const) {
    const answer = await as(acme.memberKey, "POST", path, body);
    assert.deepEqual([answer.status, answer.body.code], [404, "function_not_found"], answer.text);
  }
  assert.equal((await as(acme.memberKey, "POST", "/api/channels/nobody.here/calls", { to: "+1" })).status, 404);
  assert.equal((await as(acme.memberKey, "POST", "/api/channels/acme.sms/tokens", {})).status, 400);
});

test("another organisation sees nothing: not the message, its list, nor a state by its own plugin's webhook", async () => {
  const { id } = (await send({ body: "only-acme" })).body;
  await reaches(id, "sent");
  const { externalId } = (await show(id)).attempts[0];
  await hub.request("POST", "/webhooks/globex/acme.sms", { token: null, body: { sid: externalId, status: "failed" } });
  assert.equal((await as(globex.adminKey, "GET", `/api/messages/${id}`)).status, 404);
  assert.equal((await as(globex.adminKey, "POST", `/api/messages/${id}/cancel`)).status, 404);
  assert.ok(!(await as(globex.adminKey, "GET", "/api/messages?limit=200")).text.includes("only-acme"));
  const theirs = (await send({ body: "theirs", idempotencyKey: "k1" }, globex.memberKey)).body;
  assert.equal((await show(theirs.id, globex.viewerKey)).body, "theirs");
  assert.equal((await show(id)).status, "sent");
});

test("the hub's own consumers are nobody's business: not listed, not replayed, gone with the organisation", async () => {
  const { consumers } = (await as(acme.viewerKey, "GET", "/api/consumers?limit=200")).body;
  assert.deepEqual(
    consumers.filter(({ consumer }: { consumer: string }) => consumer.startsWith("hub:")),
    [],
  );
  const replay = { consumer: "hub:channels#comms.MessageRequested", from: "2020-01-01T00:00:00Z" };
  assert.equal((await as(acme.adminKey, "POST", "/api/consumers/replay", replay)).status, 404);
  await hub.organization("brief");
  assert.equal((await hub.hub.consumers.list("brief")).length > 0, true);
  await hub.hub.access.removeOrganization({ id: "brief", actor: "test" });
  assert.deepEqual(await hub.hub.consumers.list("brief"), []);
});

test("the command line sends, lists and shows", async () => {
  const cli = (...args: string[]): ReturnType<typeof runForTest> =>
    runForTest(["messages", ...args], { env: { BACKPLANE_URL: hub.url, BACKPLANE_TOKEN: acme.memberKey } });
  const sent = await cli("send", "+15550042", "from the shell", "--channel", "sms", "--key", "shell", "--json");
  assert.equal(sent.code, 0, sent.err);
  const { id } = sent.json<{ id: string }>();
  await reaches(id, "sent");
  const list = await cli("list", "--direction", "outbound");
  assert.match(list.out, new RegExp(`${id}\\s+out\\s+sms\\s+sent\\s+\\+15550042\\s+from the shell`));
  const one = await cli("show", id);
  assert.match(one.out, /from the shell/);
  assert.match(one.out, /acme\.sms\s+\+15550042\s+sent\s+1\s+S\d+/);
  assert.equal((await cli("send", "+1", "x", "--at", "whenever")).code, 2);
  assert.equal((await cli("show", "none")).code, 1);
});
