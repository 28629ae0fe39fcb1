/** Tags and being known, with contacts that are one person, in the production sandbox. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type TestedPlugin, testPlugin } from "@backplane/plugin-api/testing";

const open = (): Promise<TestedPlugin> =>
  testPlugin({
    data: {
      contacts: [
        { id: "ada", displayName: "Ada", tags: ["vip"], emails: [{ address: "ada@ada.example" }] },
        { id: "bob", displayName: "Bob", phones: [{ number: "+15550002" }] },
      ],
    },
  });
const from = (fromContactId: string | null, more: object = {}): object => ({
  event: { type: "comms.CallMissed", data: { fromContactId, ...more } },
});

test("HasTag: of a named contact, or of the one the event is from; nobody has no tags", async () => {
  await using plugin = await open();
  const has = (params: object, context?: object): Promise<boolean> =>
    plugin.condition("contact.HasTag", { tag: "vip", ...params }, context);
  assert.equal(await has({ contactId: "ada" }), true);
  assert.equal(await has({ contactId: "bob" }), false);
  assert.equal(await has({}, from("ada")), true);
  assert.equal(await has({ contactId: "bob" }, from("ada")), false);
  assert.equal(await has({ contactId: null }, from("ada")), false);
  assert.equal(await has({}, from(null)), false);
  assert.equal(await has({}), false);
  assert.equal(await has({ contactId: "nobody" }), false);
});

test("AddTag and RemoveTag change the contact once and tell whether they did", async () => {
  await using plugin = await open();
  const act = (id: string, params: object, context?: object): Promise<unknown> => plugin.action(id, params, context);
  assert.deepEqual(await act("contact.AddTag", { tag: "new" }, from("ada")), { contactId: "ada", added: true });
  assert.deepEqual(await act("contact.AddTag", { tag: "new", contactId: "ada" }), { contactId: "ada", added: false });
  assert.deepEqual(await act("contact.RemoveTag", { tag: "vip", contactId: "ada" }), {
    contactId: "ada",
    removed: true,
  });
  assert.deepEqual(await act("contact.RemoveTag", { tag: "vip", contactId: "ada" }), {
    contactId: "ada",
    removed: false,
  });
  const ada = (await plugin.rows("contacts")).find(({ id }) => id === "ada")!;
  assert.deepEqual([ada["tags"], ada["displayName"]], [["new"], "Ada"]);
});

test("an action without a contact says so", async () => {
  await using plugin = await open();
  await assert.rejects(plugin.action("contact.AddTag", { tag: "x" }, from(null)), /No contact is named/);
  await assert.rejects(plugin.action("contact.AddTag", { tag: "x", contactId: "nobody" }), /no contact 'nobody'/);
});

test("IsKnown: by contact, by address, or by whom the event is from", async () => {
  await using plugin = await open();
  const known = (params: object, context?: object): Promise<boolean> =>
    plugin.condition("contact.IsKnown", params, context);
  assert.equal(await known({ contactId: "ada" }), true);
  assert.equal(await known({ contactId: "nobody" }), false);
  assert.equal(await known({ contactId: null }), false);
  assert.equal(await known({ address: "ADA@ada.example" }), true);
  assert.equal(await known({ address: "+15550002" }), true);
  assert.equal(await known({ address: "+15550003" }), false);
  assert.equal(await known({}, from("bob")), true);
  assert.equal(await known({}, from(null, { from: "+15550002" })), true);
  assert.equal(await known({}, from(null, { from: "+15550003" })), false);
  assert.equal(await known({}), false);
});
