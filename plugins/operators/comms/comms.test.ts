/** The operators as the document tables them, in the production sandbox. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type TestedPlugin, testPlugin } from "@backplane/plugin-api/testing";

const ago = (days: number): string => new Date(Date.now() - days * 86_400_000).toISOString();
const ada = {
  id: "ada",
  displayName: "Ada",
  phones: [{ number: "+15550001" }],
  emails: [{ address: "old@ada.example" }, { address: "ada@ada.example", primary: true }],
};
const bob = { id: "bob", displayName: "Bob" };
const call = (id: string, fields: object): object => ({
  id,
  direction: "inbound",
  missed: false,
  startedAt: ago(1),
  ...fields,
});

const withData = (data: Record<string, readonly object[]>, config?: Record<string, unknown>): Promise<TestedPlugin> =>
  testPlugin({ data: { contacts: [ada, bob], ...data }, ...(config ? { config } : {}) });
const run = { run: { id: "r1", idempotencyKey: "r1:1" } };

test("callCount: more calls than the threshold, in the window, in the direction", async () => {
  await using plugin = await withData({
    calls: [
      call("1", { contactId: "ada" }),
      call("2", { contactId: "ada", direction: "outbound", startedAt: ago(3) }),
      call("3", { contactId: "ada", startedAt: ago(40) }),
      call("4", { contactId: "bob" }),
      call("5", { from: "+15550001", startedAt: ago(2) }),
    ],
  });
  const count = (direction: string, windowDays: number, more: object = {}): Promise<boolean> =>
    plugin.condition("comms.callCount", { contactId: "ada", direction, windowDays, ...more });
  assert.equal(await count("any", 7), true);
  assert.equal(await count("any", 7, { count: 2 }), true, "three: one of them only by its number");
  assert.equal(await count("any", 7, { count: 3 }), false);
  assert.equal(await count("any", 90, { count: 3 }), true);
  assert.equal(await count("outbound", 7, { count: 1 }), false);
  assert.equal(await count("outbound", 7), true);
  assert.equal(await plugin.condition("comms.callCount", { contactId: null, direction: "any", windowDays: 7 }), false);
  assert.equal(
    await plugin.condition("comms.callCount", { contactId: "nobody", direction: "any", windowDays: 7 }),
    false,
  );
});

test("lastContact: by channel, and messages that never arrived do not count", async () => {
  await using plugin = await withData({
    messages: [
      { id: "1", channel: "sms", direction: "inbound", contactId: "ada", sentAt: ago(2), status: "received" },
      { id: "2", channel: "email", direction: "outbound", contactId: "ada", sentAt: ago(1), status: "failed" },
      { id: "3", channel: "email", direction: "outbound", to: ["ada@ada.example"], sentAt: ago(10), status: "sent" },
    ],
  });
  const last = (channelType: string, withinDays: number, contactId: string | null = "ada"): Promise<boolean> =>
    plugin.condition("comms.lastContact", { contactId, channelType, withinDays });
  assert.equal(await last("sms", 3), true);
  assert.equal(await last("sms", 1), false);
  assert.equal(await last("email", 3), false);
  assert.equal(await last("email", 11), true, "found by the address it went to");
  assert.equal(await last("voice", 30), false);
  assert.equal(await last("any", 3), true);
  assert.equal(await last("any", 3, "bob"), false);
  assert.equal(await last("any", 3, null), false);
});

test("lastContact: a call is contact by voice; a conversation tells of messages that are not stored one by one", async () => {
  await using plugin = await withData({
    calls: [call("1", { contactId: "bob", startedAt: ago(1) })],
    conversations: [{ id: "c", channel: "email", contactId: "ada", lastMessageAt: ago(1) }],
  });
  const last = (contactId: string, channelType: string): Promise<boolean> =>
    plugin.condition("comms.lastContact", { contactId, channelType, withinDays: 2 });
  assert.equal(await last("bob", "voice"), true);
  assert.equal(await last("bob", "any"), true);
  assert.equal(await last("bob", "sms"), false);
  assert.equal(await last("ada", "email"), true);
  assert.equal(await last("ada", "voice"), false);
});

test("hasVoicemail: what nobody has listened to, of a contact or of anybody", async () => {
  await using plugin = await withData({
    voicemails: [
      { id: "1", contactId: "ada", listened: true },
      { id: "2", from: "+15559999", recordedAt: ago(1) },
    ],
  });
  assert.equal(await plugin.condition("comms.hasVoicemail"), true);
  assert.equal(await plugin.condition("comms.hasVoicemail", { contactId: "ada" }), false);
  assert.equal(await plugin.condition("comms.hasVoicemail", { contactId: null }), false);
});

test("missedCalls: so many or more, of a contact or of anybody", async () => {
  await using plugin = await withData({
    calls: ["1", "2", "3"]
      .map((id) => call(id, { contactId: "ada", missed: true }))
      .concat(call("4", { missed: true })),
  });
  const missed = (params: object): Promise<boolean> => plugin.condition("comms.missedCalls", params);
  assert.equal(await missed({ contactId: "ada", count: 3 }), true);
  assert.equal(await missed({ contactId: "ada", count: 4 }), false);
  assert.equal(await missed({ count: 4 }), true);
  assert.equal(await missed({ count: 5 }), false);
  assert.equal(await missed({ contactId: null, count: 1 }), false, "an unknown caller is not everybody");
});

test("sendSms asks for a message, once per action of a run; a contact id becomes the contact's number", async () => {
  await using plugin = await withData({}, { smsPlugin: "io.twilio.sms" });
  await plugin.action("comms.sendSms", { to: "ada", body: "Hi" }, run);
  await plugin.action("comms.sendSms", { to: "ada", body: "Hi" }, run);
  await plugin.action("comms.sendSms", { to: "+15557777", body: "Hi" }, { run: { id: "r1", idempotencyKey: "r1:2" } });
  assert.deepEqual(
    plugin.events.map(({ id, type, data }) => ({ id, type, data })),
    [
      {
        id: "plugin:io.madeopen.comms-rules#r1:1",
        type: "comms.MessageRequested",
        data: { channel: "sms", plugin: "io.twilio.sms", to: "+15550001", contactId: "ada", body: "Hi" },
      },
      {
        id: "plugin:io.madeopen.comms-rules#r1:2",
        type: "comms.MessageRequested",
        data: { channel: "sms", plugin: "io.twilio.sms", to: "+15557777", body: "Hi" },
      },
    ],
  );
});

test("sendEmail asks for an email to the contact's primary address", async () => {
  await using plugin = await withData({});
  await plugin.action("comms.sendEmail", { to: "ada", subject: "S", body: "B", replyToMessageId: "m1" }, run);
  assert.deepEqual(plugin.events[0]!.data, {
    channel: "email",
    to: "ada@ada.example",
    contactId: "ada",
    subject: "S",
    body: "B",
    replyToMessageId: "m1",
  });
});

test("what cannot be sent says why", async () => {
  await using plugin = await withData({});
  const send = (to: string): Promise<unknown> => plugin.action("comms.sendSms", { to, body: "Hi" }, run);
  await assert.rejects(send("bob"), /Contact 'Bob' has no phone number/);
  await assert.rejects(send("nobody"), /neither a phone number nor the id of a contact/);
  await assert.rejects(send(""), /`to` is empty/);
  await assert.rejects(
    plugin.action("comms.sendEmail", { to: "bob", subject: "S", body: "B" }, run),
    /has no email address/,
  );
  await assert.rejects(plugin.action("comms.createFollowUp", { contactId: "ada", dueAt: "soon" }, run), /no time/);
  await assert.rejects(plugin.action("comms.createFollowUp", { contactId: "x", dueAt: ago(0) }, run), /no contact 'x'/);
  assert.deepEqual(plugin.events, []);
});

test("createFollowUp creates one task, and a second try does not open it again", async () => {
  await using plugin = await withData({});
  const due = "2026-12-24T18:00:00+01:00";
  const params = { contactId: "ada", dueAt: due, note: "about the roof" };
  const first = await plugin.action<{ taskId: string }>("comms.createFollowUp", params, run);
  assert.deepEqual(await plugin.action("comms.createFollowUp", params, run), first);
  const tasks = await plugin.rows("tasks");
  assert.equal(tasks.length, 1);
  const { kind, status, contactId, dueAt, notes, title } = tasks[0]!;
  assert.deepEqual(
    { kind, status, contactId, dueAt, notes, title },
    {
      kind: "follow_up",
      status: "open",
      contactId: "ada",
      dueAt: "2026-12-24T17:00:00.000Z",
      notes: "about the roof",
      title: "Follow up with Ada",
    },
  );
});

test("followUp lists open follow-ups, those due first at the front", async () => {
  await using plugin = await withData({
    tasks: [
      { id: "late", kind: "follow_up", status: "open", contactId: "bob", dueAt: ago(1), notes: "n" },
      { id: "later", kind: "follow_up", status: "open", contactId: "ada", dueAt: ago(-1) },
      { id: "done", kind: "follow_up", status: "done", contactId: "ada", dueAt: ago(3) },
      { id: "other", kind: "errand", status: "open", contactId: "ada", dueAt: ago(3) },
      { id: "nobody", kind: "follow_up", status: "open", dueAt: ago(3) },
    ],
  });
  const values = await plugin.variable("followUp");
  assert.deepEqual(
    values.map(({ taskId, contactId, note }) => [taskId, contactId, note]),
    [
      ["late", "bob", "n"],
      ["later", "ada", null],
    ],
  );
});
