/** The bundled operators where they meet the rest: people of several sources, and messages that the hub sends for them. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { asOrganizationId, asPluginId } from "../../src/base/brands.ts";
import { runForTest } from "../../src/edges/cli/test-cli.ts";
import { createEntities } from "../../src/entities/entities.ts";
import { type Keys, startTestHub, type TestAnswer, type TestHub, until } from "../kit/start-test-hub.ts";

const sent: { to: string; text: string }[] = [];
const service = createServer((request, response) => {
  let body = "";
  request.on("data", (chunk) => {
    body += chunk;
  });
  request.on("end", () => {
    sent.push(JSON.parse(body) as { to: string; text: string });
    response.writeHead(201, { "content-type": "application/json" }).end('{"sid": "S1"}');
  });
});

let hub: TestHub;
let acme: Keys;
before(async () => {
  await new Promise<void>((resolve) => service.listen(0, "127.0.0.1", resolve));
  const { port } = service.address() as { port: number };
  hub = await startTestHub({
    bundled: true,
    egressOverride: JSON.stringify({ "sms.example": `http://127.0.0.1:${port}` }),
  });
  acme = await hub.organization("acme");
  for (const id of ["io.madeopen.comms-rules", "io.madeopen.contact-rules"]) {
    assert.equal((await api("POST", "/api/plugins", { id, grants: "all" })).status, 201);
    assert.equal((await api("POST", `/api/plugins/${encodeURIComponent(id)}/activate`)).status, 200);
  }
  await hub.install("acme", {
    manifest: {
      id: "acme.sms",
      type: "channel",
      permissions: ["network:outbound:sms.example"],
      contributes: { channel: { types: ["sms"] } },
    },
    code: `
import { definePlugin } from "@backplane/plugin-api";
export default definePlugin({ channel: {
  async handleIncomingEvent() {},
  async sendMessage({ to, body }, ctx) {
    const { sid } = await ctx.http.post("https://sms.example/send", { to, text: body });
    return { externalId: sid };
  },
} });`,
  });
  const entities = createEntities(hub.hub);
  const write = {
    organization: asOrganizationId("acme"),
    plugin: asPluginId("acme.sms"),
    execution: null,
    traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    eventDepth: 0,
  };
  await entities.upsert(write, "contacts", [
    { id: "ada-mail", displayName: "Ada", tags: ["vip"], emails: [{ address: "ada@ada.example" }] },
    { id: "ada-phone", displayName: "Ada L.", phones: [{ number: "+15550001" }] },
    { id: "bob", displayName: "Bob", phones: [{ number: "+15550002" }] },
  ]);
  await entities.link(write, "contacts", ["ada-mail", "ada-phone"]);
  await entities.upsert(
    write,
    "calls",
    ["ada-mail", "ada-phone", "bob"].map((contactId) => ({
      externalId: `call-${contactId}`,
      contactId,
      direction: "inbound",
      missed: true,
      startedAt: new Date().toISOString(),
    })),
  );
});
after(async () => {
  await hub[Symbol.asyncDispose]();
  service.close();
  service.closeAllConnections();
});

const api = (method: string, path: string, body?: unknown): Promise<TestAnswer> =>
  hub.request(method, path, { token: acme.adminKey, ...(body === undefined ? {} : { body }) });

async function run(kind: "condition" | "action", name: string, params: object, context: object = {}): Promise<unknown> {
  const { record, error } = await hub.hub.invoker.run({
    organization: asOrganizationId("acme"),
    plugin: asPluginId(name.startsWith("contact.") ? "io.madeopen.contact-rules" : "io.madeopen.comms-rules"),
    kind,
    name,
    args: [params, { rule: { id: "r", name: "R" }, organization: "acme", ...context }],
    actor: "rule:r",
  });
  if (error) throw error;
  return record.result;
}

test("linked contacts are one person: their tags and calls count together", async () => {
  assert.equal(await run("condition", "contact.HasTag", { tag: "vip", contactId: "ada-phone" }), true);
  assert.equal(await run("condition", "contact.HasTag", { tag: "vip", contactId: "bob" }), false);
  const calls = { direction: "any", windowDays: 1, count: 1 };
  assert.equal(await run("condition", "comms.callCount", { contactId: "ada-mail", ...calls }), true);
  assert.equal(await run("condition", "comms.callCount", { contactId: "bob", ...calls }), false);
  assert.equal(await run("condition", "comms.missedCalls", { contactId: "ada-phone", count: 2 }), true);
});

test("taking a tag away takes it from the whole person", async () => {
  await run("action", "contact.AddTag", { tag: "new", contactId: "ada-mail" });
  assert.equal(await run("condition", "contact.HasTag", { tag: "new", contactId: "ada-phone" }), true);
  await run("action", "contact.RemoveTag", { tag: "new", contactId: "ada-phone" });
  assert.equal(await run("condition", "contact.HasTag", { tag: "new", contactId: "ada-mail" }), false);
});

test("sendSms reaches the person by the number of a linked contact, once per action", async () => {
  const context = { run: { id: "run1", idempotencyKey: "run1:0" } };
  const first = await run("action", "comms.sendSms", { to: "ada-mail", body: "Hi Ada" }, context);
  assert.deepEqual(await run("action", "comms.sendSms", { to: "ada-mail", body: "Hi Ada" }, context), first);
  const { messages } = await until(async () => {
    const { body } = await api("GET", "/api/messages?direction=outbound&status=sent");
    return body.messages.length > 0 ? body : undefined;
  });
  assert.deepEqual(sent, [{ to: "+15550001", text: "Hi Ada" }]);
  assert.deepEqual(
    messages.map(({ contactId, body, to }: Record<string, unknown>) => [contactId, body, to]),
    [["ada-mail", "Hi Ada", ["+15550001"]]],
  );
});

test("a run that asked for messages shows what became of each, with the reason and the message", async () => {
  const rule = {
    source: `id: tells
name: Tells
trigger: {webhook: now}
actions:
  - {id: text, operator: comms.sendSms, params: {to: "+15550001", body: Told}}
  - {id: mail, operator: comms.sendEmail, params: {to: ada@ada.example, subject: S, body: B}}`,
  };
  assert.equal((await api("POST", "/api/rules", rule)).status, 201);
  const { id } = (await api("POST", "/api/rules/tells/run", {})).body;
  const run = await until(async () => {
    const { body } = await api("GET", `/api/rules/runs/${id}`);
    const states = body.steps.map(({ message }: { message: { status: string } | null }) => message?.status);
    return states.includes("sent") && states.includes("failed") ? body : undefined;
  });
  assert.deepEqual([run.status, run.failedMessages], ["succeeded", 1]);
  const [text, mail] = run.steps;
  assert.equal((await api("GET", `/api/messages/${text.message.messageId}`)).body.body, "Told");
  assert.deepEqual([mail.message.errorCode, mail.message.messageId], ["channel_unavailable", null]);
  assert.match(mail.message.error, /no active channel of type 'email'/);
  const listed = (await api("GET", "/api/rules/tells/runs")).body.runs;
  assert.deepEqual(
    listed.map(({ failedMessages }: { failedMessages: number }) => failedMessages),
    [1],
  );
  const env = { BACKPLANE_URL: hub.url, BACKPLANE_TOKEN: acme.adminKey };
  const shown = await runForTest(["rules", "runs", id], { env });
  assert.match(shown.out, /actions\[1\]|mail/);
  assert.match(shown.out, /failed\s+There is no active channel of type 'email'/);
  assert.match(shown.out, new RegExp(`messages show ${text.message.messageId}`));
  assert.match((await runForTest(["rules", "runs"], { env })).out, /succeeded\s+2\/2\s+1 message failed/);
});

test("an operator of a bundled plugin that is not installed is answered with the plugin and what to type", async () => {
  const source = 'name: N\ntrigger: {webhook: x}\nactions: [{operator: comms.sendSms, params: {to: "+1", body: b}}]';
  const elsewhere = await hub.organization("elsewhere");
  const env = { BACKPLANE_URL: hub.url, BACKPLANE_TOKEN: elsewhere.adminKey };
  const faults = async (): Promise<string> =>
    JSON.stringify(
      (await hub.request("POST", "/api/rules/validate", { token: elsewhere.adminKey, body: { source } })).body.faults,
    );
  const command = "install io.madeopen.comms-rules --grant all --activate";
  assert.match(await faults(), new RegExp(`io\\.madeopen\\.comms-rules.*not installed: .backplane ${command}`));
  assert.equal((await runForTest(command.split(" "), { env })).code, 0);
  assert.equal(await faults(), "[]");
  await runForTest(["deactivate", "io.madeopen.comms-rules"], { env });
  assert.match(await faults(), /not active: `backplane activate io\.madeopen\.comms-rules`/);
});

test("an email that no channel carries is told as a failed message", async () => {
  const context = { run: { id: "run1", idempotencyKey: "run1:1" } };
  const asked = await run("action", "comms.sendEmail", { to: "ada-phone", subject: "S", body: "B" }, context);
  const { requestId } = asked as { requestId: string };
  const event = await until(async () => {
    const { body } = await api("GET", "/api/events?type=comms.MessageStatus");
    return body.events.find(({ data }: { data: { requestId?: string } }) => data.requestId === requestId);
  });
  assert.deepEqual(
    [event.source, event.data.status, event.data.errorCode, event.data.to],
    ["/hub/channels", "failed", "channel_unavailable", "ada@ada.example"],
  );
});
