/** What comes in and what goes out, in the production sandbox, against Twilio's documented answers. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type HttpScript, type TestedPlugin, type TestWebhookAnswer, testPlugin } from "@backplane/plugin-api/testing";

const authToken = "0123456789abcdef0123456789abcdef";
const base = { accountSid: "AC42", authToken, from: "+15551230000" };
const ada = { id: "c-ada", displayName: "Ada", phones: [{ number: "+15550001", label: "mobile" }] };

const sent: HttpScript = {
  method: "POST",
  url: "https://api.twilio.com/2010-04-01/Accounts/AC42/Messages.json",
  answer: { status: 201, body: { sid: "SM100", status: "queued" } },
};

async function hmac(hash: "SHA-1" | "SHA-256", secret: string, data: string): Promise<string> {
  const bytes = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text);
  const key = await crypto.subtle.importKey("raw", bytes(secret), { name: "HMAC", hash }, false, ["sign"]);
  return btoa(String.fromCharCode(...new Uint8Array(await crypto.subtle.sign("HMAC", key, bytes(data)))));
}

/** A form post as Twilio signs it: the URL, then every parameter sorted by name. */
async function post(plugin: TestedPlugin, form: Record<string, string>, path = ""): Promise<TestWebhookAnswer> {
  const text = Object.keys(form)
    .sort()
    .reduce((all, name) => all + name + form[name], plugin.webhookUrl + path);
  return plugin.webhook({
    path,
    headers: {
      "content-type": "application/x-www-form-urlencoded",
      "x-twilio-signature": await hmac("SHA-1", authToken, text),
    },
    body: String(new URLSearchParams(form)),
  });
}

const types = (plugin: TestedPlugin): string[] => plugin.events.map(({ type }) => type);
const dataOf = (plugin: TestedPlugin, type: string): Record<string, unknown> =>
  plugin.events.find((event) => event.type === type)?.data as Record<string, unknown>;

test("a picture message becomes a conversation, a message and an event that name the contact; again changes nothing", async () => {
  await using plugin = await testPlugin({ config: base, data: { contacts: [ada] } });
  const form = {
    MessageSid: "MM1",
    From: "+15550001",
    To: "+15551230000",
    Body: "Look",
    NumMedia: "1",
    MediaUrl0: "https://api.twilio.com/media/1",
    MediaContentType0: "image/jpeg",
  };
  for (let i = 0; i < 2; i++) assert.equal((await post(plugin, form)).status, 200);
  const [conversation, ...moreConversations] = await plugin.rows("conversations");
  const [message, ...moreMessages] = await plugin.rows("messages");
  assert.deepEqual([moreConversations, moreMessages], [[], []]);
  assert.equal(conversation?.["contactId"], "c-ada");
  assert.deepEqual(
    [message?.["conversationId"], message?.["direction"], message?.["fromContactId"], message?.["to"]],
    [conversation?.["id"], "inbound", "c-ada", ["+15551230000"]],
  );
  assert.deepEqual(types(plugin), ["comms.MessageReceived"]);
  const event = dataOf(plugin, "comms.MessageReceived");
  assert.deepEqual(
    [event["fromContactId"], event["messageId"], event["media"]],
    ["c-ada", message?.["id"], [{ url: "https://api.twilio.com/media/1", contentType: "image/jpeg" }]],
  );
});

test("delivery states come as events in the data model's words, each once", async () => {
  await using plugin = await testPlugin({ config: base });
  for (const MessageStatus of ["sent", "delivered", "delivered", "undelivered"])
    await post(plugin, { MessageSid: "SM1", MessageStatus, To: "+15550001", From: "+15551230000" });
  assert.deepEqual(
    plugin.events.map(({ data }) => (data as { status: string }).status),
    ["sent", "delivered", "undelivered"],
  );
});

test("a call that is forwarded and not taken goes to voicemail, is missed once, and leaves a transcript", async () => {
  await using plugin = await testPlugin({
    config: { ...base, forwardTo: "+15557", voicemail: true, transcribe: true, voiceGreeting: "Leave <word> & go" },
    data: { contacts: [ada] },
  });
  const call = { CallSid: "CA1", From: "+15550001", To: "+15551230000", Direction: "inbound" };
  const first = await post(plugin, { ...call, CallStatus: "ringing" });
  assert.match(String(first.body), /<Dial timeout="20" action="[^"]*\?step=dialed">\+15557<\/Dial>/);
  const dialed = await post(
    plugin,
    { ...call, CallStatus: "in-progress", DialCallStatus: "no-answer" },
    "?step=dialed",
  );
  assert.match(
    String(dialed.body),
    /<Say>Leave &#60;word&#62; &#38; go<\/Say><Record [^>]*action="[^"]*\?step=recorded"/,
  );
  await post(
    plugin,
    {
      ...call,
      CallStatus: "in-progress",
      RecordingSid: "RE1",
      RecordingUrl: "https://api.twilio.com/RE1",
      RecordingDuration: "7",
    },
    "?step=recorded",
  );
  await post(
    plugin,
    { ...call, RecordingSid: "RE1", TranscriptionText: "Call me", TranscriptionStatus: "completed" },
    "?step=transcribed",
  );
  await post(plugin, { ...call, CallStatus: "completed", CallDuration: "30", CallbackSource: "call-progress-events" });
  assert.deepEqual(types(plugin), ["comms.CallReceived", "comms.CallMissed", "comms.VoicemailReceived"]);
  const [row] = await plugin.rows("calls");
  assert.deepEqual(
    [row?.["missed"], row?.["status"], row?.["durationSeconds"], row?.["contactId"]],
    [true, "no-answer", 30, "c-ada"],
  );
  const [voicemail] = await plugin.rows("voicemails");
  assert.deepEqual(
    [voicemail?.["callId"], voicemail?.["listened"], voicemail?.["transcript"], voicemail?.["contactId"]],
    [row?.["id"], false, "Call me", "c-ada"],
  );
});

test("a call that was put through is not missed", async () => {
  await using plugin = await testPlugin({ config: { ...base, forwardTo: "+15557", voicemail: true } });
  const call = { CallSid: "CA2", From: "+15550009", To: "+15551230000", Direction: "inbound" };
  await post(plugin, { ...call, CallStatus: "ringing" });
  const done = await post(plugin, { ...call, CallStatus: "in-progress", DialCallStatus: "completed" }, "?step=dialed");
  assert.equal(String(done.body).includes("<Record"), false);
  assert.deepEqual(types(plugin), ["comms.CallReceived"]);
});

test("a caller who hangs up while it rings has missed us", async () => {
  await using plugin = await testPlugin({ config: base });
  const call = { CallSid: "CA3", From: "+15550001", To: "+15551230000", Direction: "inbound" };
  await post(plugin, { ...call, CallStatus: "ringing" });
  for (let i = 0; i < 2; i++)
    await post(plugin, { ...call, CallStatus: "no-answer", CallbackSource: "call-progress-events" });
  assert.deepEqual(types(plugin), ["comms.CallReceived", "comms.CallMissed"]);
});

test("messages are sent with their pictures and the address for their states; a messaging service is named as such", async () => {
  await using plugin = await testPlugin({ config: { ...base, from: "MG7" }, http: [sent] });
  const receipt = await plugin.channel("sendMessage", {
    id: "m1",
    to: "+15550001",
    body: "Hi",
    attachments: [{ url: "https://x.example/a.png" }, { url: "https://x.example/b.png" }],
    webhookUrl: "https://hub.test/webhooks/o/io.twilio.sms",
  });
  assert.deepEqual(receipt, { externalId: "SM100", status: "queued" });
  const form = new URLSearchParams(plugin.requests[0]!.body);
  assert.deepEqual(form.getAll("MediaUrl"), ["https://x.example/a.png", "https://x.example/b.png"]);
  assert.equal(form.get("MessagingServiceSid"), "MG7");
  assert.equal(form.get("StatusCallback"), "https://hub.test/webhooks/o/io.twilio.sms");
});

test("what Twilio refuses is told with its status and reason", async () => {
  await using plugin = await testPlugin({
    config: base,
    http: [
      { ...sent, answer: { status: 400, body: { code: 21211, message: "Invalid 'To' Phone Number", status: 400 } } },
    ],
  });
  await assert.rejects(plugin.channel("sendMessage", { id: "m1", to: "nobody", body: "Hi" }), /400/);
});

test("a call is placed with what to say, and is in the data model", async () => {
  await using plugin = await testPlugin({
    config: base,
    data: { contacts: [ada] },
    http: [
      {
        method: "POST",
        url: "https://api.twilio.com/2010-04-01/Accounts/AC42/Calls.json",
        answer: { status: 201, body: { sid: "CA9", status: "queued" } },
      },
    ],
  });
  const session = await plugin.channel("placeCall", { id: "c1", to: "+15550001", message: "Hello & <bye>" });
  assert.deepEqual(session, { id: "CA9", status: "queued" });
  const form = new URLSearchParams(plugin.requests[0]!.body);
  assert.match(form.get("Twiml") ?? "", /<Say>Hello &#38; &#60;bye&#62;<\/Say>/);
  const [call] = await plugin.rows("calls");
  assert.deepEqual([call?.["direction"], call?.["contactId"], call?.["status"]], ["outbound", "c-ada", "queued"]);
});

test("an access token is Twilio's JWT, signed with the sealed key", async () => {
  await using plugin = await testPlugin({
    config: { ...base, apiKeySid: "SK7", apiKeySecret: "key-secret", twimlAppSid: "AP1" },
  });
  const token = await plugin.channel<string>("generateAccessToken", "ada_1");
  const [header, payload, signature] = token.split(".");
  const read = (part: string): Record<string, unknown> =>
    JSON.parse(atob(part.replaceAll("-", "+").replaceAll("_", "/")));
  assert.deepEqual(read(header!), { typ: "JWT", alg: "HS256", cty: "twilio-fpa;v=1" });
  const claims = read(payload!) as { iss: string; sub: string; iat: number; exp: number; grants: unknown };
  assert.deepEqual(
    [claims.iss, claims.sub, claims.exp - claims.iat, claims.grants],
    [
      "SK7",
      "AC42",
      3600,
      { identity: "ada_1", voice: { incoming: { allow: true }, outgoing: { application_sid: "AP1" } } },
    ],
  );
  const expected = await hmac("SHA-256", "key-secret", `${header}.${payload}`);
  assert.equal(signature, expected.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, ""));
  await assert.rejects(plugin.channel("generateAccessToken", "ada lovelace"), /letters, digits/);
});

test("access tokens without an API key, and faxes, say what is wrong", async () => {
  await using plugin = await testPlugin({ config: base });
  await assert.rejects(plugin.channel("generateAccessToken", "ada"), /apiKeySid/);
  await assert.rejects(
    plugin.channel("sendFax", { id: "f", to: "+1555", mediaUrl: "https://x.example" }),
    /ended its fax/,
  );
});

test("health asks Twilio for the account", async () => {
  const url = "https://api.twilio.com/2010-04-01/Accounts/AC42.json";
  await using plugin = await testPlugin({
    config: base,
    http: [
      { url, answer: { body: { status: "active" } }, times: 1 },
      { url, answer: { body: { status: "suspended" } } },
    ],
  });
  assert.deepEqual(await plugin.health(), { status: "healthy" });
  assert.deepEqual(await plugin.health(), { status: "unhealthy", message: "The Twilio account is suspended." });
});
