/** com.microsoft.graph against Microsoft's description of Graph: every request it sends holds, and so does all it is fed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { TestCallError, TestedPlugin, TestPluginOptions, TestSyncOptions } from "../../plugin-api/src/testing.ts";
import { packPlugin } from "../../src/packages/pack.ts";
import { startTestHub, until } from "../kit/start-test-hub.ts";
import {
  createVendorMock,
  describeVendor,
  inTurn,
  paged,
  rawReply,
  reply,
  serveVendors,
  throttled,
  type VendorMock,
} from "../kit/vendor-mock.ts";
import type { Json } from "../kit/vendor-mock-description.ts";
import { bundledPlugin } from "../kit/vendor-mock-plugin.ts";

const file = "microsoft-graph/graph-v1.0.subset.openapi.json";
const samples = "microsoft-graph/samples";
const start = bundledPlugin("plugins/connectors/ms-graph");
const root = "https://graph.microsoft.com/v1.0";
const context = { "@odata.context": `${root}/$metadata#Collection(any)` };
const error = (code: string): object => ({ error: { code, message: `It is ${code}.` } });

const graph = (): VendorMock => {
  const mock = createVendorMock({
    file,
    enums: "ignore case",
    unauthorized: reply(401, error("InvalidAuthenticationToken")),
    accepts: ({ bearer }) => bearer === "tok-1",
    patch(document) {
      // The derived file gives `attachments` the base type, whose file attachments have more fields.
      const schemas = (document["components"] as Json)["schemas"] as Record<string, Json>;
      const message = schemas["microsoft.graph.message"]!["properties"] as Record<string, Json>;
      message["attachments"]!["items"] = { $ref: "#/components/schemas/microsoft.graph.fileAttachment" };
    },
  });
  return mock
    .on("get_me_contacts", () => ({ ...context, value: [{ id: "c-1", parentFolderId: "folder-1" }] }))
    .on("get_me_contactFolders_contactFolder_id_contacts_delta", () => ends([], "contacts"))
    .on("get_me_calendarView_delta", () => ends([], "calendarView"))
    .on("get_me_mailFolders_mailFolder_id_messages_delta", () => ends([], "messages"));
};

const links: Record<string, string> = {
  contacts: "me/contactFolders/folder-1/contacts/delta",
  calendarView: "me/calendarView/delta",
  messages: "me/mailFolders/inbox/messages/delta",
};

const ends = (value: object[], collection: string, token = "d-1"): object => ({
  ...context,
  value,
  "@odata.deltaLink": `${root}/${links[collection]}?$deltatoken=${token}`,
});

/** A round in pages of `size`, which ends with a delta link; what comes after it is `changes`. */
const delta = (collection: string, items: readonly object[], changes: readonly object[] = [], size = 2) =>
  paged({
    items,
    size,
    mark: ({ query }) => (query["$deltatoken"] === undefined ? query["$skiptoken"] : `page-at-${items.length}`),
    answer: (value, next, { query }) =>
      query["$deltatoken"] !== undefined
        ? ends([...changes], collection, "d-2")
        : next === undefined
          ? ends(value, collection)
          : { ...context, value, "@odata.nextLink": `${root}/${links[collection]}?$skiptoken=${next}` },
  });

const config = { clientId: "app-1", tenantId: "contoso.example" };

const plugin = (mock: VendorMock, options: TestPluginOptions = {}): Promise<TestedPlugin> =>
  start({ config, connections: { accessToken: "tok-1" }, http: mock.scripts, ...options });

const person = (n: number): object => ({
  "@odata.etag": `W/"${n}"`,
  id: `contact-${n}`,
  displayName: `Person ${n}`,
  givenName: "Person",
  surname: String(n),
  emailAddresses: [{ name: "P", address: `P${n}@Contoso.example` }],
  mobilePhone: `+44 20 7946 00${String(n).padStart(2, "0")}`,
  businessPhones: ["020 7946 0999"],
  homePhones: [],
  companyName: "Contoso",
  birthday: "1974-07-22T00:00:00Z",
  homeAddress: { street: "1 Street", city: "Town", state: null, countryOrRegion: "UK", postalCode: "AB1" },
  businessAddress: {},
  otherAddress: {},
  categories: ["vip"],
  lastModifiedDateTime: `2026-01-0${n}T10:00:00Z`,
});

const mail = (n: number, more: object = {}): object => ({
  id: `mail-${n}`,
  subject: `Subject ${n}`,
  body: { contentType: "text", content: `Body ${n}` },
  from: { emailAddress: { name: "P", address: "p1@contoso.example" } },
  toRecipients: [{ emailAddress: { name: "Me", address: "me@contoso.example" } }],
  ccRecipients: [],
  conversationId: "thread-1",
  internetMessageId: `<${n}@contoso.example>`,
  receivedDateTime: `2026-01-0${n}T10:00:00Z`,
  sentDateTime: `2026-01-0${n}T09:59:59Z`,
  lastModifiedDateTime: `2026-01-0${n}T10:00:01Z`,
  isDraft: false,
  categories: [],
  ...more,
});

const appointment = (n: number, more: object = {}): object => ({
  id: `event-${n}`,
  type: "singleInstance",
  subject: `Meeting ${n}`,
  body: { contentType: "text", content: "Agenda" },
  start: { dateTime: `2026-02-0${n}T10:00:00.0000000`, timeZone: "UTC" },
  end: { dateTime: `2026-02-0${n}T11:00:00.0000000`, timeZone: "UTC" },
  isAllDay: false,
  isCancelled: false,
  showAs: "busy",
  originalStartTimeZone: "Pacific Standard Time",
  location: { displayName: "Room" },
  organizer: { emailAddress: { name: "Me", address: "me@contoso.example" } },
  attendees: [
    {
      type: "required",
      status: { response: "accepted", time: "2026-01-01T00:00:00Z" },
      emailAddress: { name: "P", address: "P1@contoso.example" },
    },
  ],
  categories: [],
  webLink: "https://outlook.office365.com/x",
  ...more,
});

describeVendor("com.microsoft.graph and Graph's description", [file, `${samples}/messages.delta.page1.json`], () => {
  test("a first sync follows every link, maps contacts, events and mail, and knows people by their addresses", async () => {
    const mock = graph()
      .on("get_me_contactFolders_contactFolder_id_contacts_delta", delta("contacts", [1, 2, 3].map(person)))
      .on(
        "get_me_calendarView_delta",
        delta(
          "calendarView",
          [1, 2, 3].map((n) => appointment(n)),
        ),
      )
      .on("get_me_mailFolders_mailFolder_id_messages_delta", delta("messages", [mail(2), mail(3), mail(1)]));
    await using graphPlugin = await plugin(mock, { config: { ...config, countryCode: "44" } });
    const first = await graphPlugin.sync();
    mock.assertClean();
    assert.deepEqual(
      first.items.map(({ id }) => id),
      [..."123"].flatMap((n) => `contact-${n}`).concat(["event-1", "event-2", "event-3", "mail-2", "mail-3", "mail-1"]),
    );
    const [contact] = await graphPlugin.rows("contacts");
    const { displayName, emails, phones, birthday, addresses, tags, jobTitle } = contact!;
    assert.deepEqual(
      { displayName, emails, phones, birthday, addresses, tags, jobTitle },
      {
        displayName: "Person 1",
        emails: [{ address: "p1@contoso.example", primary: true }],
        phones: [
          { number: "+442079460001", label: "mobile" },
          { number: "+442079460999", label: "work" },
        ],
        birthday: "1974-07-22",
        addresses: [{ street: "1 Street", city: "Town", postalCode: "AB1", country: "UK", label: "home" }],
        tags: ["vip"],
        jobTitle: null,
      },
    );
    const [event] = await graphPlugin.rows("calendar_events");
    assert.equal(event?.["startsAt"], "2026-02-01T10:00:00.000Z");
    assert.deepEqual(event?.["attendees"], [
      { name: "P", address: "p1@contoso.example", status: "accepted", contactId: contact?.["id"] },
    ]);

    mock.on("get_me_mailFolders_mailFolder_id_messages_delta", delta("messages", [], [mail(4)]));
    const second = await graphPlugin.sync(first.next);
    mock.assertClean();
    assert.deepEqual(
      second.items.map(({ id }) => id),
      ["mail-4"],
    );
    const messages = await graphPlugin.rows("messages");
    const [conversation, ...others] = await graphPlugin.rows("conversations");
    assert.deepEqual(others, []);
    assert.deepEqual(new Set(messages.map(({ conversationId }) => conversationId)), new Set([conversation?.["id"]]));
    assert.equal(conversation?.["lastMessageAt"], "2026-01-04T10:00:00.000Z");
    assert.equal(messages.at(-1)?.["fromContactId"], contact?.["id"]);
    assert.deepEqual(messages.at(-1)?.["to"], ["me@contoso.example"]);
    assert.ok(
      mock.calls.every(({ headers }) => headers["prefer"] === undefined || headers["prefer"].includes("ImmutableId")),
    );
  });

  test("removed items are deleted; mail that was only moved is kept", async () => {
    const mock = graph()
      .on(
        "get_me_contactFolders_contactFolder_id_contacts_delta",
        delta("contacts", [person(1), person(2)], [{ id: "contact-1", "@removed": { reason: "deleted" } }]),
      )
      .on(
        "get_me_mailFolders_mailFolder_id_messages_delta",
        delta(
          "messages",
          [mail(1), mail(2)],
          [
            { id: "mail-1", "@removed": { reason: "deleted" } },
            { id: "mail-2", "@removed": { reason: "deleted" } },
          ],
        ),
      )
      .on("get_me_messages_message_id", ({ path }) =>
        path["message-id"] === "mail-1" ? reply(404, error("ErrorItemNotFound")) : { id: "mail-2" },
      );
    await using graphPlugin = await plugin(mock);
    const { next } = await graphPlugin.sync();
    const changed = await graphPlugin.sync(next);
    mock.assertClean();
    assert.equal(changed.counts.deleted, 2);
    assert.deepEqual(
      (await graphPlugin.rows("contacts")).map(({ externalId }) => externalId),
      ["contact-2"],
    );
    assert.deepEqual(
      (await graphPlugin.rows("messages")).map(({ externalId }) => externalId),
      ["mail-2"],
    );
  });

  test("410: the round starts over at once, and what Graph does not show any more is deleted", async () => {
    let lost = false;
    const before = delta("contacts", [1, 2, 3].map(person));
    const after = delta("contacts", [2, 3, 4].map(person));
    const mock = graph().on("get_me_contactFolders_contactFolder_id_contacts_delta", (call) =>
      !lost ? before(call) : call.query["$deltatoken"] === "d-1" ? reply(410, error("syncStateNotFound")) : after(call),
    );
    await using graphPlugin = await plugin(mock);
    const { next } = await graphPlugin.sync();
    lost = true;
    const again = await graphPlugin.sync({ ...next, types: ["contact"] });
    mock.assertClean();
    assert.deepEqual(again.counts, { created: 1, updated: 0, deleted: 1, unchanged: 2 });
    assert.deepEqual((await graphPlugin.rows("contacts")).map(({ externalId }) => externalId).sort(), [
      "contact-2",
      "contact-3",
      "contact-4",
    ]);
  });

  test("429 in the middle: the time to wait is told, and the next sync goes on behind the pages that were stored", async () => {
    const pages = delta("contacts", [1, 2, 3, 4, 5].map(person));
    const mock = graph().on(
      "get_me_contactFolders_contactFolder_id_contacts_delta",
      inTurn(pages, throttled(17, error("TooManyRequests")), pages),
    );
    await using graphPlugin = await plugin(mock);
    const failure = await graphPlugin.sync().then(
      () => assert.fail("429 must not be swallowed"),
      (caught: TestCallError) => caught,
    );
    assert.match(failure.message, /429/);
    assert.equal((await graphPlugin.rows("contacts")).length, 2);
    const { items } = await graphPlugin.sync(failure.next);
    mock.assertClean();
    assert.deepEqual(
      items.map(({ id }) => id),
      ["contact-3", "contact-4", "contact-5"],
    );
  });

  test("a token that expires between two pages ends the sync without loss; broken JSON does too", async () => {
    for (const fault of ["expiry", "json"] as const) {
      const pages = delta("contacts", [1, 2, 3].map(person));
      const mock = graph().on("get_me_contactFolders_contactFolder_id_contacts_delta", (call) =>
        fault === "json" && call.count === 1
          ? rawReply(200, '{"value": [', { "content-type": "application/json" })
          : pages(call),
      );
      if (fault === "expiry")
        mock.accepts = (_, { operation, count }) => !operation.includes("contactFolders") || count !== 1;
      await using graphPlugin = await plugin(mock);
      const failure = await graphPlugin.sync().then(
        () => assert.fail("must fail"),
        (caught: TestCallError) => caught,
      );
      mock.accepts = () => true;
      await graphPlugin.sync(failure.next);
      mock.assertClean();
      assert.equal((await graphPlugin.rows("contacts")).length, 3, fault);
    }
  });

  test("occurrences take from their series what they do not say; the series itself is no event", async () => {
    const occurrence = (n: number, master: string): object => ({
      id: `occ-${n}`,
      type: "occurrence",
      seriesMasterId: master,
      start: { dateTime: `2026-03-0${n}T10:00:00.0000000`, timeZone: "UTC" },
      end: { dateTime: `2026-03-0${n}T11:00:00.0000000`, timeZone: "UTC" },
    });
    const mock = graph()
      .on(
        "get_me_calendarView_delta",
        delta("calendarView", [
          appointment(1, { id: "m-1", type: "seriesMaster" }),
          occurrence(1, "m-1"),
          occurrence(2, "m-2"),
          occurrence(3, "m-2"),
        ]),
      )
      .on("get_me_events_event_id", () => appointment(9, { id: "m-2", type: "seriesMaster", subject: "Asked for" }));
    await using graphPlugin = await plugin(mock);
    await graphPlugin.sync({ types: ["event"] });
    mock.assertClean();
    assert.deepEqual(
      (await graphPlugin.rows("calendar_events")).map(({ title, seriesId, startsAt }) => [title, seriesId, startsAt]),
      [
        ["Meeting 1", "m-1", "2026-03-01T10:00:00.000Z"],
        ["Asked for", "m-2", "2026-03-02T10:00:00.000Z"],
        ["Asked for", "m-2", "2026-03-03T10:00:00.000Z"],
      ],
    );
    assert.equal(mock.calls.filter(({ operation }) => operation === "get_me_events_event_id").length, 1);
  });

  test("Microsoft's own sample pages are read", async () => {
    const { default: page1 } = await import(`../../../shared/specs/${samples}/messages.delta.page1.json`, {
      with: { type: "json" },
    });
    const { default: last } = await import(`../../../shared/specs/${samples}/messages.delta.lastpage.json`, {
      with: { type: "json" },
    });
    const mock = graph().undescribed("GET", /^\/v1\.0\/me\/mailfolders\('/, ({ query }) =>
      query["$skiptoken"] ? last : {},
    );
    mock.on("get_me_mailFolders_mailFolder_id_messages_delta", () => page1);
    // The samples show some fields only, as a change does: the whole message is asked for.
    mock.on("get_me_messages_message_id", ({ path }) => mail(1, { id: path["message-id"] }));
    await using graphPlugin = await plugin(mock);
    const { items, next } = await graphPlugin.sync({ types: ["message:inbox"] });
    mock.assertClean();
    assert.equal(items.length, 3);
    assert.match(JSON.stringify(next.cursors), /deltatoken=GwcBoTmPuoGNlgXgF1nyUNMXY/);
  });

  test("subscriptions are made for each type, renewed, made again when they are gone, and ended when the address changes", async () => {
    let made = 0;
    const known = new Set<string>();
    const at = "2026-12-01T00:00:00.1234567Z";
    const entity = (id: string, body: unknown): object => ({ ...(body as object), id, expirationDateTime: at });
    const mock = graph()
      .on("post_subscriptions", ({ body }) => {
        const id = `sub-${++made}`;
        known.add(id);
        return entity(id, body);
      })
      .on("patch_subscriptions_subscription_id", ({ path, body }) =>
        known.has(path["subscription-id"]!)
          ? {
              ...entity(path["subscription-id"]!, body),
              resource: "r",
              changeType: "created",
              notificationUrl: "https://hub.test/x",
            }
          : reply(404, error("ResourceNotFound")),
      )
      .on("delete_subscriptions_subscription_id", ({ path }) => void known.delete(path["subscription-id"]!));
    await using graphPlugin = await plugin(mock);
    const url = graphPlugin.webhookUrl;
    const first = await graphPlugin.connector<{ expiresAt: string }>("registerRealtimeListener", url);
    assert.equal(first.expiresAt, "2026-12-01T00:00:00.123Z");
    const bodies = mock.calls.map(({ body }) => body as Record<string, string>);
    assert.deepEqual(
      bodies.map(({ resource }) => resource),
      ["me/mailFolders('inbox')/messages", "me/events", "me/contacts"],
    );
    for (const { clientState, notificationUrl, lifecycleNotificationUrl, expirationDateTime } of bodies) {
      assert.match(clientState!, /^[0-9a-f]{64}$/);
      assert.deepEqual([notificationUrl, lifecycleNotificationUrl], [url, url]);
      const minutes = (Date.parse(expirationDateTime!) - Date.now()) / 60_000;
      assert.ok(minutes > 60 && minutes < 10_080, String(minutes));
    }
    known.delete("sub-2");
    await graphPlugin.connector("registerRealtimeListener", url);
    assert.deepEqual([...known], ["sub-1", "sub-3", "sub-4"]);
    await graphPlugin.connector("registerRealtimeListener", `${url}/moved`);
    assert.deepEqual([...known], ["sub-5", "sub-6", "sub-7"]);
    mock.assertClean();
  });

  test("mail is sent as text or HTML, with a file that may be fetched and a link to one that may not", async () => {
    const mock = graph().on("post_me_sendMail", () => reply(202));
    const grants = [
      "network:outbound:graph.microsoft.com",
      "network:outbound:login.microsoftonline.com",
      "network:outbound:files.acme.example",
      "network:outbound",
      ...["network:inbound", "event:publish:connector.*", "event:publish:data.*", "event:publish:comms.*"],
      ...["contacts", "conversations", "messages", "calendar_events"].flatMap((type) => [
        `data:read:${type}`,
        `data:write:${type}`,
      ]),
      ...["storage:read", "storage:write"],
    ];
    await using graphPlugin = await plugin(mock, {
      grants,
      http: [
        ...mock.scripts,
        { url: "https://files.acme.example/a.txt", answer: { body: "abc", headers: { "content-type": "text/plain" } } },
      ],
    });
    const receipt = await graphPlugin.channel("sendMessage", {
      id: "out-1",
      to: "ada@example.com",
      subject: "Hello",
      body: "Text",
      html: "<p>Text</p>",
      attachments: [
        { url: "https://files.acme.example/a.txt" },
        { url: "https://other.example/b.pdf", filename: "<b>" },
      ],
    });
    assert.deepEqual(receipt, { status: "sent" });
    await graphPlugin.channel("sendMessage", { id: "out-2", to: "ada@example.com", body: "Only text" });
    mock.assertClean();
    const [html, text] = mock.calls.map(({ body }) => (body as { message: Record<string, unknown> }).message);
    assert.deepEqual(html?.["body"], {
      contentType: "html",
      content: '<p>Text</p><p><a href="https://other.example/b.pdf">&#60;b&#62;</a></p>',
    });
    assert.deepEqual(html?.["attachments"], [
      {
        "@odata.type": "#microsoft.graph.fileAttachment",
        name: "a.txt",
        contentType: "text/plain",
        contentBytes: "YWJj",
      },
    ]);
    assert.deepEqual(text?.["body"], { contentType: "text", content: "Only text" });
    assert.deepEqual(text?.["internetMessageHeaders"], [{ name: "x-backplane-message-id", value: "out-2" }]);
  });

  test("an answer goes to the message it answers, named by its row or by Graph's id", async () => {
    const answered: string[] = [];
    const mock = graph()
      .on("get_me_mailFolders_mailFolder_id_messages_delta", delta("messages", [mail(1)]))
      .undescribed("POST", /^\/v1\.0\/me\/messages\/[^/]+\/reply$/, ({ operation }) => {
        answered.push(operation);
        return reply(202);
      });
    await using graphPlugin = await plugin(mock);
    await graphPlugin.sync();
    const [row] = await graphPlugin.rows("messages");
    for (const replyToMessageId of [row?.["id"], "mail-9"])
      await graphPlugin.channel("sendMessage", { id: "o", to: "a@b.example", body: "Yes", replyToMessageId });
    assert.deepEqual(answered, ["POST /v1.0/me/messages/mail-1/reply", "POST /v1.0/me/messages/mail-9/reply"]);
    assert.deepEqual(mock.violations, []);
  });

  test("actions write events and contacts; an event is made once for one action id", async () => {
    const mock = graph()
      .on("post_me_sendMail", () => reply(202))
      .on("post_me_events", ({ body }) => ({ ...(body as object), id: "new-event" }))
      .on("patch_me_events_event_id", ({ body, path }) => ({ ...(body as object), id: path["event-id"] }))
      .on("post_me_contacts", ({ body }) => ({ ...(body as object), id: "new-contact" }))
      .on("patch_me_contacts_contact_id", () => reply(404, error("ErrorItemNotFound")));
    await using graphPlugin = await plugin(mock);
    const run = (type: string, parameters: object): Promise<unknown> =>
      graphPlugin.connector("executeAction", { id: "act-1", type, parameters });
    const times = { startsAt: "2026-05-01T10:00:00+02:00", endsAt: "2026-05-01T11:00:00+02:00" };
    assert.deepEqual(
      await run("createEvent", { title: "Lunch", ...times, attendees: ["ada@example.com"], location: "Café" }),
      {
        success: true,
        data: { id: "new-event" },
      },
    );
    assert.deepEqual(await run("updateEvent", { id: "e-1", title: "Late lunch" }), {
      success: true,
      data: { id: "e-1" },
    });
    assert.deepEqual(
      await run("createContact", { displayName: "Ada", emails: ["ada@example.com"], mobilePhone: "+441" }),
      {
        success: true,
        data: { id: "new-contact" },
      },
    );
    assert.deepEqual(await run("updateContact", { id: "nobody", company: "X" }), {
      success: false,
      error: "Graph has no nobody in contacts.",
    });
    assert.deepEqual(await run("sendMail", { to: ["a@b.example"], cc: ["c@d.example"], subject: "S", body: "B" }), {
      success: true,
      data: { status: "sent" },
    });
    assert.deepEqual(await run("fly", {}), { success: false, error: "There is no action 'fly'." });
    mock.assertClean();
    const event = mock.calls.find(({ operation }) => operation === "post_me_events")?.body as Record<string, unknown>;
    assert.equal(event["transactionId"], "act-1");
    assert.deepEqual(event["start"], { dateTime: "2026-05-01T08:00:00", timeZone: "UTC" });
  });

  test("another mailbox is asked by its address, for everything", async () => {
    const mock = graph()
      .on("get_users_user_id_contacts", () => ({ value: [] }))
      .on("get_users_user_id_calendarView_delta", () => ends([], "calendarView"))
      .on("get_users_user_id_mailFolders_mailFolder_id_messages_delta", ({ path }) => {
        assert.equal(path["user-id"], "shared@contoso.example");
        return ends([mail(1)], "messages");
      });
    await using graphPlugin = await plugin(mock, { config: { ...config, mailbox: "shared@contoso.example" } });
    await graphPlugin.sync();
    mock.assertClean();
    assert.equal((await graphPlugin.rows("messages")).length, 1);
  });

  test("whatever changes and fails between and within syncs, the rows end as the folder is", {
    timeout: 240_000,
  }, async () => {
    const change = fc.record({
      n: fc.integer({ min: 1, max: 5 }),
      removed: fc.boolean(),
      name: fc.integer({ min: 0, max: 9 }),
    });
    const fault = fc.constantFrom("none", "none", "none", "429", "500", "json", "410", "401");
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({ changes: fc.array(change, { maxLength: 4 }), faults: fc.array(fault, { maxLength: 6 }) }),
          { minLength: 1, maxLength: 4 },
        ),
        fc.integer({ min: 1, max: 3 }),
        async (rounds, size) => {
          const folder = createFolder(size);
          const mock = graph();
          mock.on("get_me_contactFolders_contactFolder_id_contacts_delta", folder.handler);
          await using graphPlugin = await plugin(mock);
          let next: TestSyncOptions = { types: ["contact"] };
          for (const { changes, faults } of [...rounds, { changes: [], faults: [] }]) {
            for (const one of changes) folder.change(one);
            folder.faults = [...faults];
            // As the hub does: a failed sync is tried again from what it stored.
            for (let tries = 0, done = false; !done; tries++) {
              assert.ok(tries < 20, "it never ends");
              mock.accepts = () => folder.faults[0] !== "401" || folder.faults.shift() === undefined;
              const outcome = await graphPlugin.sync(next).catch((error: TestCallError) => error);
              done = !(outcome instanceof Error);
              next = { ...outcome.next, types: ["contact"] };
            }
          }
          mock.assertClean();
          const rows = await graphPlugin.rows("contacts");
          assert.deepEqual(
            rows.map(({ externalId, displayName }) => [externalId, displayName]).sort(),
            [...folder.people].map(([n, name]) => [`contact-${n}`, `Name ${name}`]).sort(),
          );
        },
      ),
      {
        numRuns: 12,
        // Gone while the state was lost.
        examples: [
          [
            [
              { changes: [1, 2, 3].map((n) => ({ n, removed: false, name: n })), faults: [] },
              { changes: [{ n: 2, removed: true, name: 0 }], faults: ["410", "none", "429"] },
            ],
            1,
          ],
        ],
      },
    );
  });

  test("in a hub: subscribed with the handshake, synced through a token that expires between pages, told of new mail", async () => {
    const pages = delta("messages", [mail(1), mail(2), mail(3)]);
    const mock = graph().on("get_me_mailFolders_mailFolder_id_messages_delta", pages);
    const tokens = createVendorMock({ file: tokenEndpoint }).on("token", ({ body }) => {
      assert.equal((body as Record<string, string>)["refresh_token"], "refresh-1");
      return { token_type: "Bearer", access_token: "tok-2", refresh_token: "refresh-2", expires_in: 3600 };
    });
    await using served = await serveVendors(mock, tokens);
    await using hub = await startTestHub({ egressOverride: served.egressOverride });
    const states: Record<string, { id: string; clientState: string }> = {};
    mock.on("post_subscriptions", async ({ body, count }) => {
      const { resource, notificationUrl, clientState, ...rest } = body as Record<string, string>;
      const question = await fetch(`${notificationUrl}?validationToken=are%20you%20there%3F`, {
        method: "POST",
        headers: { "content-type": "text/plain" },
      });
      if (question.status !== 200 || (await question.text()) !== "are you there?")
        return reply(400, error("ValidationError"));
      assert.match(question.headers.get("content-type")!, /^text\/plain/);
      states[resource!] = { id: `sub-${count}`, clientState: clientState! };
      return { ...rest, id: `sub-${count}`, resource, notificationUrl };
    });

    const { adminKey: token, id: org } = await hub.organization("acme");
    const { tgz } = await packPlugin(`${import.meta.dirname}/../../plugins/connectors/ms-graph`);
    const published = await hub.request("POST", "/api/packages", {
      token,
      body: tgz,
      headers: { "content-type": "application/gzip" },
    });
    assert.equal(published.status, 201, published.text);
    const id = "com.microsoft.graph";
    const installed = await hub.request("POST", "/api/plugins", { token, body: { id, grants: "all", config } });
    assert.equal(installed.status, 201, installed.text);
    const installation = await hub.hub.installations.get(org as never, id as never);
    await hub.hub.connections.adopt({ organization: org as never, actor: "test" }, installation, "accessToken", {
      accessToken: "tok-1",
      refreshToken: "refresh-1",
      expiresIn: 3600,
    });
    // The first page is answered; from then on Graph knows only the next token.
    mock.accepts = ({ bearer }, { operation, count }) =>
      bearer === "tok-2" || !operation.includes("mailFolders") || count === 0;
    assert.equal((await hub.request("POST", `/api/plugins/${id}/activate`, { token })).status, 200);

    await hub.request("POST", `/api/connectors/${id}/sync`, { token });
    const messages = async (): Promise<Record<string, unknown>[]> =>
      (await hub.request("GET", "/api/entities/messages", { token })).body.entities;
    await until(async () => (await messages()).length === 3, 30_000);
    await until(() => Object.keys(states).length === 3, 30_000);
    assert.equal(tokens.calls.length, 1);

    mock.accepts = ({ bearer }) => bearer === "tok-2";
    mock.on("get_me_messages_message_id", () => mail(4));
    const { id: subscriptionId, clientState } = states["me/mailFolders('inbox')/messages"]!;
    const notification = {
      subscriptionId,
      clientState,
      changeType: "created",
      resource: "me/messages/mail-4",
      resourceData: { id: "mail-4" },
    };
    assert.deepEqual(
      mock.check("#/components/schemas/microsoft.graph.changeNotification", {
        ...notification,
        subscriptionId: crypto.randomUUID(),
        resourceData: { "@odata.type": "#microsoft.graph.message" },
      }),
      [],
    );
    const answer = await hub.request("POST", `/webhooks/${org}/${id}`, {
      token: null,
      body: { value: [notification] },
    });
    assert.equal(answer.status, 202, answer.text);
    const stored = await until(
      async () => (await messages()).find(({ externalId }) => externalId === "mail-4"),
      30_000,
    );
    const events = await until(async () => {
      const { events: items } = (await hub.request("GET", "/api/events?type=comms.MessageReceived", { token })).body;
      return items?.length > 0 && (items as { data: Record<string, unknown> }[]);
    }, 30_000);
    assert.equal(events[0]!.data["messageId"], stored["id"]);

    mock.on("post_me_sendMail", () => reply(202));
    mock.on("post_me_events", ({ body }) => ({ ...(body as object), id: "event-new" }));
    const body = { channel: "email", to: "ada@example.com", subject: "Hello", body: "Hello Ada" };
    const queued = await hub.request("POST", "/api/messages", { token, body });
    assert.equal(queued.status, 202, queued.text);
    await until(async () => {
      const { status } = (await hub.request("GET", `/api/messages/${queued.body.id}`, { token })).body;
      return status === "sent";
    }, 30_000);
    const acted = await hub.request("POST", `/api/connectors/${id}/actions/createEvent`, {
      token,
      body: { parameters: { title: "Lunch", startsAt: "2026-05-01T10:00:00Z", endsAt: "2026-05-01T11:00:00Z" } },
    });
    assert.equal(acted.status, 200, acted.text);
    assert.match(acted.text, /event-new/);
    mock.assertClean();
    tokens.assertClean();
  });
});

/** A folder of contacts that answers delta queries, and fails as it is told, one fault a request. */
function createFolder(size: number) {
  const people = new Map<number, number>();
  const log: number[] = [];
  const answer = (from: number, to: number, at: number): object => {
    // A first round shows what there is; later ones what changed, with what is gone.
    const ids = from === 0 ? [...people.keys()] : [...new Set(log.slice(from, to))];
    const value = ids.slice(at, at + size).map((n) => {
      const name = people.get(n);
      return name === undefined
        ? { id: `contact-${n}`, "@removed": { reason: "deleted" } }
        : { ...person(n), displayName: `Name ${name}` };
    });
    const link = (kind: string, token: string): object => ({
      [`@odata.${kind}Link`]: `${root}/${links["contacts"]}?$${kind === "next" ? "skip" : "delta"}token=${token}`,
    });
    return {
      ...context,
      value,
      ...(at + size < ids.length ? link("next", `${from}-${to}-${at + size}`) : link("delta", `${to}`)),
    };
  };
  const folder = {
    people,
    faults: [] as string[],
    change({ n, removed, name }: { n: number; removed: boolean; name: number }): void {
      if (removed) people.delete(n);
      else people.set(n, name);
      // Position 0 means a first round.
      if (log.length === 0) log.push(n);
      log.push(n);
    },
    handler({ query }: { query: Record<string, unknown> }): unknown {
      const token = query["$skiptoken"] ?? query["$deltatoken"];
      const fault = folder.faults.shift();
      if (fault === "429") return throttled(1, error("TooManyRequests"));
      if (fault === "500") return reply(500, error("generalException"));
      if (fault === "json") return rawReply(200, '{"value":[{"id":', { "content-type": "application/json" });
      if (fault === "410" && token !== undefined) return reply(410, error("resyncRequired"));
      if (token === undefined) return answer(0, log.length, 0);
      const [from = 0, to = log.length, at = 0] = String(token).split("-").map(Number);
      return query["$skiptoken"] === undefined ? answer(from, log.length, 0) : answer(from, to, at);
    },
  };
  return folder;
}

/** https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow#refresh-the-access-token */
const tokenEndpoint: Json = {
  openapi: "3.0.3",
  servers: [{ url: "https://login.microsoftonline.com" }],
  paths: {
    "/{tenant}/oauth2/v2.0/token": {
      post: {
        operationId: "token",
        parameters: [{ name: "tenant", in: "path", required: true, schema: { type: "string" } }],
        requestBody: {
          required: true,
          content: {
            "application/x-www-form-urlencoded": {
              schema: {
                type: "object",
                required: ["client_id", "grant_type", "refresh_token"],
                properties: {
                  client_id: { type: "string" },
                  grant_type: { type: "string", enum: ["refresh_token"] },
                  refresh_token: { type: "string" },
                  scope: { type: "string" },
                },
              },
            },
          },
        },
        responses: { 200: { description: "", content: { "application/json": { schema: { type: "object" } } } } },
      },
    },
  },
};
