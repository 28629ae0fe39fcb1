/** The handshake, the signature, what comes in and what goes out, in the production sandbox. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type HttpScript, type TestedPlugin, type TestWebhookAnswer, testPlugin } from "@backplane/plugin-api/testing";
import fixtures from "./fixtures/webhooks.json" with { type: "json" };

const base = { phoneNumberId: "100200300", accessToken: "EAAtoken", appSecret: "app-secret", verifyToken: "my-token" };
const customer = { id: "c-1", displayName: "Sam", phones: [{ number: "+15557770001" }] };

const messagesUrl = "https://graph.facebook.com/v23.0/100200300/messages";
const sent: HttpScript = {
  method: "POST",
  url: messagesUrl,
  answer: {
    body: {
      messaging_product: "whatsapp",
      contacts: [{ input: "15557770001", wa_id: "15557770001" }],
      messages: [{ id: "wamid.OUT1", message_status: "accepted" }],
    },
  },
};

const payloadOf = (value: object): string =>
  JSON.stringify({
    object: "whatsapp_business_account",
    entry: [
      {
        id: "1",
        changes: [{ field: "messages", value: { messaging_product: "whatsapp", metadata: fixtures.number, ...value } }],
      },
    ],
  });

async function hmac(secret: string, data: string): Promise<string> {
  const bytes = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text);
  const key = await crypto.subtle.importKey("raw", bytes(secret), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  const signature = new Uint8Array(await crypto.subtle.sign("HMAC", key, bytes(data)));
  return [...signature].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

const post = async (plugin: TestedPlugin, body: string, secret = base.appSecret): Promise<TestWebhookAnswer> =>
  plugin.webhook({
    headers: { "content-type": "application/json", "x-hub-signature-256": `sha256=${await hmac(secret, body)}` },
    body,
  });

const receive = (plugin: TestedPlugin, ...messages: object[]): Promise<TestWebhookAnswer> =>
  post(plugin, payloadOf({ contacts: [{ wa_id: "15557770001", profile: { name: "Sam" } }], messages }));

/** A conversation in which the customer wrote `hours` ago. */
const conversation = (hours: number): object => ({
  source: "com.whatsapp.cloud",
  externalId: "whatsapp:+15557770001",
  channel: "whatsapp",
  lastInboundAt: new Date(Date.now() - hours * 3_600_000).toISOString(),
});

test("the handshake gives the challenge back as plain text, and only for the right token", async () => {
  await using plugin = await testPlugin({ config: base });
  const ask = (query: Record<string, string>): Promise<TestWebhookAnswer> =>
    plugin.webhook({ method: "GET", path: `?${new URLSearchParams(query)}` });
  const good = { "hub.mode": "subscribe", "hub.verify_token": "my-token", "hub.challenge": "1158201444" };
  const answer = await ask(good);
  assert.deepEqual([answer.status, answer.body, answer.headers["content-type"]], [200, "1158201444", "text/plain"]);
  for (const wrong of [
    { ...good, "hub.verify_token": "my-tokeN" },
    { ...good, "hub.mode": "unsubscribe" },
    { ...good, "hub.challenge": "<script>" },
    {},
  ])
    assert.equal((await ask(wrong)).status, 403);
});

for (const { secret, body, header } of fixtures.signatures) {
  test(`a published signature verifies, and no flipped byte of it or of the body does: ${body}`, async () => {
    await using plugin = await testPlugin({ config: { ...base, appSecret: secret } });
    const judge = async (signature: string, text: string): Promise<number> => {
      try {
        return (await plugin.webhook({ headers: { "x-hub-signature-256": signature }, body: text })).status;
      } catch (error) {
        // The signature verified; the vector's body is no JSON.
        assert.match(String(error), /JSON/);
        return 200;
      }
    };
    assert.equal(await judge(header, body), 200);
    assert.equal(
      await judge(
        header.replace(/.$/, (last) => (last === "0" ? "1" : "0")),
        body,
      ),
      403,
    );
    assert.equal(await judge(header, `${body} `), 403);
    assert.equal(await judge(header.toUpperCase(), body), 403);
    assert.equal(await judge("", body), 403);
  });
}

test("messages of every kind become rows and events that name the contact; again changes nothing", async () => {
  await using plugin = await testPlugin({ config: base, data: { contacts: [customer] } });
  const { text, image, location, button, unsupported, system } = fixtures.messages;
  for (let i = 0; i < 2; i++) await receive(plugin, text, image, location, button, unsupported, system);
  const rows = await plugin.rows("messages");
  assert.deepEqual(
    rows.map(({ body }) => body),
    ["Is it still there?", "This one", "Office\n52.52, 13.405", "Yes, please", ""],
  );
  assert.deepEqual(new Set(rows.map(({ fromContactId }) => fromContactId)), new Set(["c-1"]));
  assert.equal(rows[0]?.["sentAt"], "2025-10-09T08:53:20.000Z");
  const [talk, ...others] = await plugin.rows("conversations");
  assert.equal(others.length, 0);
  assert.equal(talk?.["lastInboundAt"], "2025-10-09T08:54:00.000Z");
  assert.equal(plugin.events.length, 5);
  const [first, picture, , choice] = plugin.events.map(({ data }) => data as Record<string, unknown>);
  assert.deepEqual([first?.["from"], first?.["fromContactId"]], ["+15557770001", "c-1"]);
  assert.deepEqual(picture?.["media"], [
    { url: "https://graph.facebook.com/v23.0/900800700", contentType: "image/png" },
  ]);
  assert.equal(choice?.["choice"], "yes");
});

test("what is for another number, or signed with another secret, causes nothing", async () => {
  await using plugin = await testPlugin({ config: base });
  const { text } = fixtures.messages;
  await post(plugin, payloadOf({ metadata: { phone_number_id: "999" }, messages: [text] }));
  assert.equal((await post(plugin, payloadOf({ messages: [text] }), "another")).status, 403);
  assert.deepEqual([plugin.events, await plugin.rows("messages")], [[], []]);
});

test("delivery states come as events, each once, with the reason of a failure", async () => {
  await using plugin = await testPlugin({ config: base });
  const state = (status: string, more: object = {}): object => ({
    id: "wamid.OUT1",
    status,
    timestamp: "1760000100",
    recipient_id: "15557770001",
    ...more,
  });
  for (let i = 0; i < 2; i++)
    await post(
      plugin,
      payloadOf({ statuses: [state("delivered"), state("read"), state("failed", { errors: [{ code: 131026 }] })] }),
    );
  assert.deepEqual(
    plugin.events.map(({ data }) => {
      const { status, errorCode } = data as { status: string; errorCode: string | null };
      return [status, errorCode];
    }),
    [
      ["delivered", null],
      ["read", null],
      ["failed", "131026"],
    ],
  );
});

test("within 24 hours text and files are sent, answering the message that is named by its row", async () => {
  const asked = { id: "m-1", source: "com.whatsapp.cloud", externalId: "wamid.TEXT1" };
  await using plugin = await testPlugin({
    config: base,
    data: { conversations: [conversation(23)], messages: [asked] },
    http: [sent],
  });
  const receipt = await plugin.channel("sendMessage", {
    id: "o1",
    to: "+15557770001",
    body: "Yes",
    replyToMessageId: "m-1",
  });
  assert.deepEqual(receipt, { externalId: "wamid.OUT1", status: "accepted" });
  await plugin.channel("sendMessage", {
    id: "o2",
    to: "+15557770001",
    body: "The offer",
    attachments: [{ url: "https://x.example/offer.pdf", contentType: "application/pdf", filename: "offer.pdf" }],
  });
  const [textRequest, fileRequest] = plugin.requests;
  assert.equal(textRequest?.headers["authorization"], "Bearer EAAtoken");
  assert.deepEqual(textRequest?.json, {
    messaging_product: "whatsapp",
    recipient_type: "individual",
    to: "15557770001",
    context: { message_id: "wamid.TEXT1" },
    type: "text",
    text: { body: "Yes", preview_url: false },
  });
  assert.deepEqual((fileRequest!.json as { document: unknown }).document, {
    link: "https://x.example/offer.pdf",
    caption: "The offer",
    filename: "offer.pdf",
  });
});

test("after 24 hours a text goes as the reopening template, or fails with the reason", async () => {
  const data = { conversations: [conversation(25)] };
  await using without = await testPlugin({ config: base, data, http: [sent] });
  await assert.rejects(without.channel("sendMessage", { id: "o1", to: "+15557770001", body: "Hi" }), /24 hours/);
  assert.equal(without.requests.length, 0);
  await using plugin = await testPlugin({
    config: { ...base, reopeningTemplate: "hello_again", reopeningLanguage: "de" },
    data,
    http: [sent],
  });
  await plugin.channel("sendMessage", { id: "o2", to: "+15557770001", body: "Line\none" });
  assert.deepEqual((plugin.requests[0]!.json as { template: unknown }).template, {
    name: "hello_again",
    language: { code: "de" },
    components: [{ type: "body", parameters: [{ type: "text", text: "Line one" }] }],
  });
});

test("a template may open a conversation; functions send, list and mark", async () => {
  await using plugin = await testPlugin({
    config: { ...base, businessAccountId: "55" },
    http: [
      { ...sent, times: 1 },
      { method: "POST", url: messagesUrl, answer: { body: { success: true } } },
      {
        url: "https://graph.facebook.com/v23.0/55/message_templates",
        answer: { body: { data: [{ name: "order_update" }], paging: { cursors: { after: "x" } } } },
      },
    ],
  });
  await plugin.call("sendTemplate", { to: "+15557770001", name: "order_update" });
  assert.deepEqual(await plugin.call("markRead", { messageId: "wamid.TEXT1" }), { success: true });
  assert.deepEqual(await plugin.call("listTemplates"), { templates: [{ name: "order_update" }], after: null });
  assert.deepEqual((plugin.requests[0]!.json as { template: unknown }).template, {
    name: "order_update",
    language: { code: "en_US" },
  });
});

test("what Meta refuses is told; what it throttles is told as 429", async () => {
  const refuse = (code: number): HttpScript => ({
    ...sent,
    answer: { status: 400, body: { error: { message: "no", type: "OAuthException", code } } },
    times: 1,
  });
  await using plugin = await testPlugin({
    config: base,
    data: { conversations: [conversation(1)] },
    http: [refuse(131026), refuse(131056)],
  });
  const send = (): Promise<unknown> => plugin.channel("sendMessage", { id: "o1", to: "+15557770001", body: "Hi" });
  await assert.rejects(send(), /400/);
  await assert.rejects(send());
  await assert.rejects(
    plugin.channel("sendMessage", {
      id: "o2",
      to: "+15557770001",
      body: "",
      attachments: [{ url: "https://a" }, { url: "https://b" }],
    }),
    /one attachment/,
  );
});

test("health tells of a low rating", async () => {
  const url = "https://graph.facebook.com/v23.0/100200300";
  await using plugin = await testPlugin({
    config: base,
    http: [
      { url, answer: { body: { quality_rating: "GREEN" } }, times: 1 },
      { url, answer: { body: { quality_rating: "RED" } } },
    ],
  });
  assert.deepEqual(await plugin.health(), { status: "healthy" });
  assert.equal(((await plugin.health()) as { status: string }).status, "degraded");
});
