/**
 * Made Open's two example rules, word for word, against the bundled plugins: missed calls of a VIP, told by Twilio's signed
 * webhooks, lead to a mail over Microsoft Graph; a phone that arrives at the office sends the follow-ups as text messages.
 */
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { officeRule, vipRule } from "../../src/rules/language/rules.fixture.ts";
import { startTestHub, type TestAnswer, type TestHub, until } from "../kit/start-test-hub.ts";

interface Received {
  host: string;
  method: string;
  path: string;
  authorization: string;
  body: string;
}

const authToken = "twilio-auth-token-of-this-test";
const received: Received[] = [];
const to = (host: string, path: RegExp): Received[] =>
  received.filter((request) => request.host === host && path.test(request.path));

/** All three vendors: the hub is led here for each of their hosts. */
const vendors = createServer(async (request, response) => {
  const { host = "", authorization = "" } = request.headers;
  const body = await text(request);
  const { method = "", url: path = "" } = request;
  received.push({ host, method, path, authorization, body });
  const answer = (status: number, json?: object): void => {
    response.writeHead(status, { "content-type": "application/json" }).end(json && JSON.stringify(json));
  };
  if (host === "login.microsoftonline.com")
    return answer(200, { access_token: "graph-token", refresh_token: "r-1", token_type: "Bearer", expires_in: 3600 });
  if (host === "api.twilio.com") {
    if (method === "POST") return answer(201, { sid: `SM${received.length}`, status: "queued" });
    return answer(200, { status: "active" });
  }
  if (path.startsWith("/v1.0/subscriptions"))
    return answer(201, { id: "sub-1", expirationDateTime: new Date(Date.now() + 3_600_000).toISOString() });
  if (path.endsWith("/sendMail")) return answer(202);
  answer(200, { value: [], "@odata.deltaLink": `https://graph.microsoft.com${path.split("?")[0]}?$deltatoken=x` });
});

let hub: TestHub;
before(async () => {
  await new Promise<void>((resolve) => vendors.listen(0, "127.0.0.1", resolve));
  const origin = `http://127.0.0.1:${(vendors.address() as AddressInfo).port}`;
  hub = await startTestHub({
    bundled: true,
    egressOverride: JSON.stringify({
      "api.twilio.com": origin,
      "graph.microsoft.com": origin,
      "login.microsoftonline.com": origin,
    }),
  });
});
after(async () => {
  await hub[Symbol.asyncDispose]();
  vendors.close();
  vendors.closeAllConnections();
});

const api = (method: string, path: string, body?: unknown): Promise<TestAnswer> =>
  hub.request(method, path, { org: "demo", ...(body === undefined ? {} : { body }) });

async function ok(method: string, path: string, body?: unknown): Promise<TestAnswer["body"]> {
  const answer = await api(method, path, body);
  assert.ok(answer.status < 300, `${method} ${path}: ${answer.status} ${answer.text}`);
  return answer.body;
}

const twilioPosts = (parameters: Record<string, string>): Promise<TestAnswer> => {
  const signed = Object.keys(parameters)
    .sort()
    .reduce((all, name) => all + name + parameters[name], `${hub.url}/webhooks/demo/io.twilio.sms`);
  return hub.request("POST", "/webhooks/demo/io.twilio.sms", {
    token: null,
    body: String(new URLSearchParams(parameters)),
    headers: {
      "content-type": "application/x-www-form-urlencoded",
      "x-twilio-signature": createHmac("sha1", authToken).update(signed).digest("base64"),
    },
  });
};

const missedCall = (sid: string, from: string): Record<string, string> => ({
  CallSid: sid,
  From: from,
  To: "+15551230000",
  Direction: "inbound",
  CallStatus: "no-answer",
  CallbackSource: "call-progress-events",
});

test("the bundled plugins are installed and active, and the Microsoft account is connected", async () => {
  for (const [id, config] of [
    ["io.twilio.sms", { accountSid: "AC42", authToken, from: "+15551230000" }],
    ["com.microsoft.graph", { clientId: "app-1", tenantId: "contoso", clientSecret: "graph-secret" }],
    ["io.madeopen.device", {}],
    ["io.madeopen.comms-rules", {}],
    ["io.madeopen.contact-rules", {}],
    ["io.madeopen.location-rules", {}],
  ] as const) {
    await ok("POST", "/api/plugins", { id, grants: "all", config });
    assert.equal((await ok("POST", `/api/plugins/${id}/activate`)).status, "active");
  }
  const { url } = await ok("POST", "/api/plugins/com.microsoft.graph/connections/accessToken/authorize", {});
  const asked = new URL(url);
  assert.equal(asked.hostname, "login.microsoftonline.com");
  // The user agrees: Microsoft sends the browser back.
  const back = await hub.request(
    "GET",
    `/oauth/callback?${new URLSearchParams({ code: "code-1", state: asked.searchParams.get("state")! })}`,
    { token: null },
  );
  assert.equal(back.status, 200, back.text);
  const { connections } = await ok("GET", "/api/plugins/com.microsoft.graph/connections");
  assert.equal(connections[0].status, "connected");
});

test("the third missed call of a VIP sends one mail, however often the webhooks come; others' calls send none", async () => {
  const rule = await ok("POST", "/api/rules", { source: vipRule });
  await ok("POST", "/api/entities/contacts", [
    {
      externalId: "ada",
      displayName: "Ada",
      phones: [{ number: "+15550001" }],
      emails: [{ address: "ada@example.org", primary: true }],
      tags: ["vip"],
    },
    {
      externalId: "bob",
      displayName: "Bob",
      phones: [{ number: "+15550002" }],
      emails: [{ address: "bob@example.org" }],
    },
  ]);
  const ended = (count: number): Promise<unknown[]> =>
    until(async () => {
      const { runs } = await ok("GET", `/api/rules/${rule.id}/runs`);
      return (
        runs.length >= count && runs.every(({ status }: { status: string }) => !/queued|running/.test(status)) && runs
      );
    }, 30_000);
  // One after the other: a run looks at the calls as they are when it runs.
  for (const n of [1, 2, 3])
    for (const [i, from] of ["+15550001", "+15550002"].entries()) {
      assert.equal((await twilioPosts(missedCall(`CA-${from}-${n}`, from))).status, 200);
      await ended(n * 2 - 1 + i);
    }

  const mails = (): Received[] => to("graph.microsoft.com", /\/sendMail$/);
  await until(() => mails().length > 0, 30_000);
  const [mail] = mails();
  assert.equal(mail?.authorization, "Bearer graph-token");
  const { message } = JSON.parse(mail!.body);
  assert.equal(message.subject, "Sorry we missed you");
  assert.equal(message.toRecipients[0].emailAddress.address, "ada@example.org");

  for (const n of [1, 2, 3]) await twilioPosts(missedCall(`CA-+15550001-${n}`, "+15550001"));
  await new Promise((resolve) => setTimeout(resolve, 500));
  const runs = await ended(6);
  assert.equal(runs.length, 6);
  assert.equal(mails().length, 1);
});

test("arriving at the office sends a text message for each open follow-up, and the trace tells why", async () => {
  const rule = await ok("POST", "/api/rules", { source: officeRule });
  const { entities } = await ok("GET", "/api/entities/contacts?orderBy=displayName");
  const followUp = (contactId: string, status = "open"): object => ({
    externalId: `${contactId}-${status}`,
    title: "Call back",
    kind: "follow_up",
    status,
    contactId,
    dueAt: new Date().toISOString(),
  });
  const [ada, bob] = entities as { id: string }[];
  await ok("POST", "/api/entities/tasks", [followUp(ada!.id), followUp(bob!.id), followUp(ada!.id, "done")]);

  const { result: device } = await ok("POST", "/api/plugins/io.madeopen.device", {
    function: "registerDevice",
    parameters: { name: "Phone", platform: "android" },
  });
  const arrive = (id: string, placeType: string): Promise<TestAnswer> =>
    hub.request("POST", "/webhooks/demo/io.madeopen.device", {
      token: device.token,
      body: {
        samples: [{ id, type: "place_arrived", at: new Date().toISOString(), place: { id: placeType, placeType } }],
      },
    });
  assert.equal((await arrive("s1", "home")).status, 202);
  await until(async () => {
    const { runs } = await ok("GET", `/api/rules/${rule.id}/runs`);
    return runs.length === 1 && !/queued|running/.test(runs[0].status);
  }, 30_000);
  assert.equal((await arrive("s2", "work")).status, 202);

  const texts = (): string[] =>
    to("api.twilio.com", /\/Messages\.json$/).map(({ body }) => new URLSearchParams(body).get("To")!);
  await until(() => texts().length >= 2, 30_000);
  const run = await until(async () => {
    const { runs } = await ok("GET", `/api/rules/${rule.id}/runs`);
    return runs.length === 2 && runs[0].status === "succeeded" && ok("GET", `/api/rules/runs/${runs[0].id}`);
  }, 30_000);
  assert.deepEqual(texts().toSorted(), ["+15550001", "+15550002"]);
  assert.match(JSON.stringify(run), /location\.IsUserAtPlace/);
  assert.match(JSON.stringify(run), /happy to connect/);
});

test("what was sent is in the data model, and its delivery state follows Twilio's word", async () => {
  const { messages } = await ok("GET", "/api/messages?direction=outbound&channel=sms");
  assert.equal(messages.length, 2);
  const [{ id, providerMessageId }] = messages;
  await twilioPosts({
    MessageSid: providerMessageId,
    MessageStatus: "delivered",
    To: "+15550001",
    From: "+15551230000",
  });
  await until(async () => (await ok("GET", `/api/messages/${id}`)).status === "delivered", 30_000);
});
