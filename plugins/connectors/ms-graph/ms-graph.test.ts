/** The connector and its webhooks in the production sandbox, with Graph scripted as its documentation describes it. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  type HttpAnswer,
  type HttpScript,
  type TestCallError,
  type TestedPlugin,
  type TestPluginOptions,
  type TestSyncOptions,
  type TestWebhookAnswer,
  testPlugin,
} from "@backplane/plugin-api/testing";
import contact from "./fixtures/contact.json" with { type: "json" };
import failure from "./fixtures/error.json" with { type: "json" };
import event from "./fixtures/event.json" with { type: "json" };
import message from "./fixtures/message.json" with { type: "json" };

const root = "https://graph.microsoft.com/v1.0";
const config = { clientId: "app", tenantId: "contoso.example" };

const get = (path: string, answer: HttpScript["answer"], times?: number): HttpScript => ({
  method: "GET",
  url: `${root}/${path}`,
  answer,
  ...(times === undefined ? {} : { times }),
});
const page = (value: object[], link: object): HttpAnswer => ({ body: { value, ...link } });
const end = (path: string, value: object[] = [], token = "1"): HttpAnswer =>
  page(value, { "@odata.deltaLink": `${root}/${path}?$deltatoken=${token}` });

const contactsPath = "me/contactFolders/f1/contacts/delta";
const calendarPath = "me/calendarView/delta";
const inboxPath = "me/mailFolders/inbox/messages/delta";
const folder = get("me/contacts", { body: { value: [{ id: "x", parentFolderId: "f1" }] } });
const quiet = [
  folder,
  get(contactsPath, end(contactsPath)),
  get(calendarPath, end(calendarPath)),
  get(inboxPath, end(inboxPath)),
];

const graph = (scripts: HttpScript[], more: TestPluginOptions = {}): Promise<TestedPlugin> =>
  testPlugin({ config, connections: { accessToken: "tok-1" }, http: [...scripts, ...quiet], ...more });

const caught = (work: Promise<unknown>): Promise<TestCallError> =>
  work.then(
    () => assert.fail("it must fail"),
    (error: TestCallError) => error,
  );

const externalIds = async (plugin: TestedPlugin, type: string): Promise<unknown[]> =>
  (await plugin.rows(type)).map((row) => row["externalId"]);

describe("sync", () => {
  test("contacts, events and mail become rows, with the sealed token on every request", async () => {
    await using plugin = await graph([
      get(contactsPath, end(contactsPath, [contact])),
      get(calendarPath, end(calendarPath, [event])),
      get(inboxPath, end(inboxPath, [message, { ...message, id: "draft", isDraft: true }])),
    ]);
    const { counts, next } = await plugin.sync();
    assert.equal(counts.created, 4);
    const [row] = await plugin.rows("contacts");
    assert.deepEqual(row?.["emails"], [{ address: "ada@lindqvist.example", primary: true }]);
    assert.deepEqual(row?.["phones"], [
      { number: "+46701234567", label: "mobile" },
      { number: "08-123 456", label: "work" },
    ]);
    const [meeting] = await plugin.rows("calendar_events");
    assert.deepEqual(
      [meeting?.["status"], meeting?.["timeZone"], meeting?.["location"]],
      ["tentative", "Europe/Stockholm", null],
    );
    const [mail] = await plugin.rows("messages");
    const [thread] = await plugin.rows("conversations");
    assert.deepEqual(
      [mail?.["body"], mail?.["direction"], mail?.["conversationId"], mail?.["from"]],
      ["Could you send me an offer?", "inbound", thread?.["id"], "ada@lindqvist.example"],
    );
    // Of the same sync, and yet known.
    assert.deepEqual([mail?.["fromContactId"], thread?.["contactId"]], [row?.["id"], row?.["id"]]);
    assert.deepEqual([...new Set(plugin.requests.map(({ headers }) => headers["authorization"]))], ["Bearer tok-1"]);
    // What was there before is no news.
    assert.deepEqual(plugin.events, []);
    assert.deepEqual(Object.keys(next.cursors ?? {}).sort(), ["contact", "event", "message:inbox"]);
  });

  test("the same again changes nothing", async () => {
    await using plugin = await graph([
      get(contactsPath, end(contactsPath, [contact])),
      get(inboxPath, end(inboxPath, [message])),
    ]);
    await plugin.sync();
    const { counts } = await plugin.sync();
    assert.deepEqual([counts.created, counts.updated, counts.deleted], [0, 0, 0]);
  });

  test("mail that came after the first sync is an event, once; an older one that was only touched is not", async () => {
    const now = new Date(Date.now() + 60_000).toISOString();
    const fresh = { ...message, id: "fresh", receivedDateTime: now, sentDateTime: now };
    const changed = end(inboxPath, [fresh, { ...message, lastModifiedDateTime: now }], "2");
    await using plugin = await graph([
      get(`${inboxPath}?$deltatoken=1`, changed),
      get(`${inboxPath}?$deltatoken=2`, changed),
      get(inboxPath, end(inboxPath, [message])),
    ]);
    const first = await plugin.sync();
    const second = await plugin.sync(first.next);
    await plugin.sync(second.next);
    assert.deepEqual(
      plugin.events.map(({ type, subject, data }) => [type, subject, (data as Record<string, unknown>)["externalId"]]),
      [["comms.MessageReceived", "ada@lindqvist.example", "fresh"]],
    );
  });

  test("an older message does not set its conversation back, in a later sync or on the next page of the same", async () => {
    const older = (id: string): object => ({
      ...message,
      id,
      subject: "Old",
      receivedDateTime: "2026-01-01T00:00:00Z",
    });
    await using plugin = await graph([
      get(`${inboxPath}?$deltatoken=1`, end(inboxPath, [older("later")])),
      get(`${inboxPath}?$skiptoken=1`, end(inboxPath, [older("page")])),
      get(inboxPath, page([message], { "@odata.nextLink": `${root}/${inboxPath}?$skiptoken=1` })),
    ]);
    const { next } = await plugin.sync();
    for (let time = 0; time < 2; time++) {
      const [thread] = await plugin.rows("conversations");
      assert.deepEqual([thread?.["lastInboundAt"], thread?.["subject"]], ["2026-03-02T09:00:00.000Z", "Offer"]);
      await plugin.sync(next);
    }
    assert.equal((await plugin.rows("messages")).length, 3);
  });

  test("a contact that was removed at Graph is deleted, and comes back when it is there again", async () => {
    await using plugin = await graph([
      get(
        `${contactsPath}?$deltatoken=1`,
        end(contactsPath, [{ id: contact.id, "@removed": { reason: "deleted" } }], "2"),
      ),
      get(`${contactsPath}?$deltatoken=2`, end(contactsPath, [contact], "3")),
      get(contactsPath, end(contactsPath, [contact])),
    ]);
    const first = await plugin.sync();
    const second = await plugin.sync(first.next);
    assert.deepEqual(await externalIds(plugin, "contacts"), []);
    await plugin.sync(second.next);
    assert.deepEqual(await externalIds(plugin, "contacts"), [contact.id]);
  });

  test("a change that shows some fields only is asked for whole", async () => {
    await using plugin = await graph([
      get(contactsPath, end(contactsPath, [{ id: contact.id, jobTitle: "CEO" }])),
      get(`me/contacts/${encodeURIComponent(contact.id)}`, { body: { ...contact, jobTitle: "CEO" } }),
    ]);
    await plugin.sync({ types: ["contact"] });
    const [row] = await plugin.rows("contacts");
    assert.deepEqual([row?.["displayName"], row?.["jobTitle"]], ["Ada Lindqvist", "CEO"]);
  });

  for (const lost of [
    { status: 410, body: failure },
    { status: 400, body: { error: { code: "SyncStateNotFound", message: "" } } },
  ])
    test(`a lost state (${lost.status}) is read anew in the same sync; rows that are gone are deleted`, async () => {
      await using plugin = await graph([
        get(`${contactsPath}?$deltatoken=1`, lost),
        get(contactsPath, end(contactsPath, [contact, { ...contact, id: "gone" }]), 1),
        get(contactsPath, end(contactsPath, [contact], "2")),
      ]);
      const { next } = await plugin.sync();
      const { counts, next: after } = await plugin.sync(next);
      assert.deepEqual([counts.deleted, await externalIds(plugin, "contacts")], [1, [contact.id]]);
      assert.match(JSON.stringify(after.cursors), /deltatoken=2/);
    });

  test("429 ends the sync with the time to wait; pages before it are stored, and it goes on behind them", async () => {
    const more = `${contactsPath}?$skiptoken=2`;
    await using plugin = await graph([
      get(more, { status: 429, headers: { "retry-after": "9" }, body: failure }, 1),
      get(more, end(contactsPath, [{ ...contact, id: "second" }])),
      get(contactsPath, page([contact], { "@odata.nextLink": `${root}/${more}` })),
    ]);
    const error = await caught(plugin.sync({ types: ["contact"] }));
    assert.match(error.message, /429/);
    assert.deepEqual(await externalIds(plugin, "contacts"), [contact.id]);
    const { items } = await plugin.sync(error.next as TestSyncOptions);
    assert.deepEqual(
      items.map(({ id }) => id),
      ["second"],
    );
  });

  test("a page that is too large for one answer is asked for in smaller ones", async () => {
    const large = "x".repeat(4 * 1024 * 1024);
    await using plugin = await graph([
      get(inboxPath, ({ headers }) =>
        headers["prefer"]?.includes("maxpagesize=25")
          ? end(inboxPath, [{ ...message, body: { contentType: "text", content: large } }])
          : end(inboxPath, [message]),
      ),
    ]);
    await plugin.sync({ types: ["message:inbox"] });
    assert.deepEqual(await externalIds(plugin, "messages"), [message.id]);
  });

  test("a link that leads elsewhere is not followed", async () => {
    await using plugin = await graph([
      get(contactsPath, page([contact], { "@odata.nextLink": "https://graph.microsoft.com.evil.example/v1.0/x" })),
    ]);
    const error = await caught(plugin.sync({ types: ["contact"] }));
    assert.match(error.message, /another place/);
    assert.ok(plugin.requests.every(({ url }) => !url.includes("evil")));
  });

  test("the calendar's window moves with the time: after a week a new round is begun behind the old one", async () => {
    const windows: string[] = [];
    await using plugin = await graph([
      get(calendarPath, ({ url }) => {
        const start = new URL(url).searchParams.get("startDateTime");
        windows.push(start === null ? "changes" : "new window");
        return end(calendarPath, [event]);
      }),
    ]);
    const { next } = await plugin.sync({ types: ["event"] });
    const cursors = structuredClone(next.cursors) as Record<string, { started: string }>;
    cursors["event"]!.started = "2026-01-01T00:00:00.000Z";
    await plugin.sync({ types: ["event"], cursors });
    assert.deepEqual(windows, ["new window", "changes", "new window"]);
  });

  test("without a connection the sync says what is missing", async () => {
    await using plugin = await testPlugin({ config, http: quiet });
    const error = await caught(plugin.sync());
    assert.match(`${error.code} ${error.message}`, /connect/i);
  });

  test("mail that went out through the channel is not stored a second time from the sent items", async () => {
    const sent = "me/mailFolders/sentitems/messages/delta";
    const ours = { internetMessageHeaders: [{ name: "X-Backplane-Message-Id", value: "m1" }] };
    await using plugin = await graph(
      [
        get(
          sent,
          end(sent, [
            { ...message, id: "a", ...ours },
            { ...message, id: "b" },
          ]),
        ),
      ],
      {
        config: { ...config, mailFolders: ["sentitems"] },
      },
    );
    await plugin.sync();
    const [row, ...others] = await plugin.rows("messages");
    assert.deepEqual([row?.["externalId"], row?.["direction"], row?.["status"], others], ["b", "outbound", "sent", []]);
  });
});

describe("notifications", () => {
  const messagesResource = "me/mailFolders('inbox')/messages";

  /** Subscribed, with what Graph was told: the client state by resource. */
  async function subscribed(
    scripts: HttpScript[] = [],
  ): Promise<{ plugin: TestedPlugin; state: Record<string, string>; ids: Record<string, string> }> {
    let made = 0;
    const state: Record<string, string> = {};
    const ids: Record<string, string> = {};
    const expirationDateTime = new Date(Date.now() + 3_600_000).toISOString();
    const plugin = await graph([
      ...scripts,
      {
        method: "POST",
        url: `${root}/subscriptions`,
        answer: ({ json }) => {
          const { resource, clientState } = json as { resource: string; clientState: string };
          state[resource] = clientState;
          ids[resource] = `sub-${++made}`;
          return { status: 201, body: { id: ids[resource], resource, expirationDateTime } };
        },
      },
      { method: "PATCH", url: `${root}/subscriptions/*`, answer: { body: { id: "sub", expirationDateTime } } },
    ]);
    const registration = await plugin.connector<{ expiresAt: string }>("registerRealtimeListener", plugin.webhookUrl);
    assert.equal(registration.expiresAt, expirationDateTime);
    return { plugin, state, ids };
  }

  test("a registration that broke in the middle goes on: what was made is renewed, what was not is made, nothing piles up", async () => {
    let fails = 2;
    let made = 0;
    const expirationDateTime = new Date(Date.now() + 3_600_000).toISOString();
    await using plugin = await graph([
      {
        method: "POST",
        url: `${root}/subscriptions`,
        answer: ({ json }) =>
          (json as { resource: string }).resource === "me/events" && fails-- > 0
            ? { status: 503, headers: { "retry-after": "1" }, body: failure }
            : { status: 201, body: { id: `sub-${++made}`, expirationDateTime } },
      },
      { method: "PATCH", url: `${root}/subscriptions/*`, answer: { body: { expirationDateTime } } },
      { method: "DELETE", url: `${root}/subscriptions/*`, answer: { status: 204 } },
    ]);
    const register = (): Promise<unknown> => plugin.connector("registerRealtimeListener", plugin.webhookUrl);
    for (let time = 0; time < 2; time++) assert.match((await caught(register())).message, /503/);
    await register();
    assert.deepEqual(
      plugin.requests.map(({ method, url }) => `${method} ${url.slice(root.length)}`),
      [
        ...["POST /subscriptions", "POST /subscriptions"],
        ...["PATCH /subscriptions/sub-1", "POST /subscriptions"],
        ...["PATCH /subscriptions/sub-1", "POST /subscriptions", "POST /subscriptions"],
      ],
    );
  });

  test("a validation token is given back as plain text, exactly, and as nothing else", async () => {
    await using plugin = await graph([]);
    const token = "Validation: Testing client <script>alert(1)</script> ä+/=";
    const answer = await plugin.webhook({ path: `?validationToken=${encodeURIComponent(token)}`, body: "" });
    assert.deepEqual([answer.status, answer.body, answer.accepted], [200, token, []]);
    assert.match(answer.headers["content-type"]!, /^text\/plain/);
    assert.equal(answer.headers["x-content-type-options"], "nosniff");
  });

  test("new mail is stored at once, and its event names the rows and the contact; the same again does nothing", async () => {
    const { plugin, state, ids } = await subscribed([
      get(`me/messages/${message.id}`, { body: message }),
      get(contactsPath, end(contactsPath, [contact])),
    ]);
    await using _ = plugin;
    await plugin.sync({ types: ["contact"] });
    const notification = {
      subscriptionId: ids[messagesResource],
      clientState: state[messagesResource],
      changeType: "created",
      resource: `Users/1/Messages/${message.id}`,
      resourceData: { "@odata.type": "#Microsoft.Graph.Message", id: message.id },
    };
    for (let time = 0; time < 2; time++)
      assert.equal((await plugin.webhook({ body: { value: [notification] } })).status, 202);
    const [person] = await plugin.rows("contacts");
    const [mail, ...more] = await plugin.rows("messages");
    assert.deepEqual(more, []);
    assert.equal(plugin.events.length, 1);
    const data = plugin.events[0]?.data as Record<string, unknown>;
    assert.deepEqual(
      [data["messageId"], data["conversationId"], data["fromContactId"], data["subject"], data["channel"]],
      [mail?.["id"], mail?.["conversationId"], person?.["id"], "Offer", "email"],
    );
  });

  test("new mail that is gone again is let be", async () => {
    const { plugin, state, ids } = await subscribed([get("me/messages/*", { status: 404, body: failure })]);
    await using _ = plugin;
    const value = [
      {
        subscriptionId: ids[messagesResource],
        clientState: state[messagesResource],
        changeType: "created",
        resourceData: { id: "m" },
      },
    ];
    assert.equal((await plugin.webhook({ body: { value } })).status, 202);
    assert.deepEqual([plugin.events, await plugin.rows("messages")], [[], []]);
  });

  test("other changes ask for a sync of their types, together", async () => {
    const { plugin, state, ids } = await subscribed();
    await using _ = plugin;
    const value = ["me/events", "me/contacts", messagesResource].map((resource) => ({
      subscriptionId: ids[resource],
      clientState: state[resource],
      changeType: "updated",
      resourceData: { id: "1" },
    }));
    const { accepted } = await plugin.webhook({ body: { value } });
    assert.equal(accepted.length, 1);
    assert.deepEqual(await plugin.connector("handleIncomingEvent", accepted[0]), {
      items: [],
      sync: { types: ["event", "contact", "message:inbox"] },
    });
  });

  const forged: [title: string, change: (real: Record<string, unknown>) => object][] = [
    ["another client state", (real) => ({ ...real, clientState: "0".repeat(64) })],
    [
      "one that differs in the last place",
      (real) => ({ ...real, clientState: `${String(real["clientState"]).slice(0, -1)}g` }),
    ],
    ["none", ({ clientState: _, ...real }) => real],
    ["one that is no text", (real) => ({ ...real, clientState: ["x"] })],
    ["another subscription", (real) => ({ ...real, subscriptionId: "sub-unknown" })],
  ];
  for (const [title, change] of forged)
    test(`${title}: 403, and nothing is accepted; beside a true one only that counts`, async () => {
      const { plugin, state, ids } = await subscribed();
      await using _ = plugin;
      const real = { subscriptionId: ids["me/events"], clientState: state["me/events"], changeType: "updated" };
      const refused = await plugin.webhook({ body: { value: [change(real)] } });
      assert.deepEqual([refused.status, refused.accepted], [403, []]);
      const mixed = await plugin.webhook({ body: { value: [change(real), real] } });
      assert.deepEqual([mixed.status, mixed.accepted.length], [202, 1]);
    });

  test("what is no list of notifications is 400", async () => {
    await using plugin = await graph([]);
    for (const body of ["", "{", "[]", { value: "x" }, { value: Array.from({ length: 1001 }, () => ({})) }])
      assert.equal((await plugin.webhook({ body })).status, 400);
  });

  const lifecycle: [event: string, renewed: boolean, synced: boolean][] = [
    ["reauthorizationRequired", true, false],
    ["subscriptionRemoved", true, true],
    ["missed", false, true],
  ];
  for (const [name, renewed, synced] of lifecycle)
    test(`lifecycle ${name}: ${renewed ? "the subscription is mended" : "the subscription stays"}${synced ? ", and a sync finds what was missed" : ""}`, async () => {
      const { plugin, state, ids } = await subscribed();
      await using _ = plugin;
      const before = plugin.requests.length;
      const answer: TestWebhookAnswer = await plugin.webhook({
        body: { value: [{ subscriptionId: ids["me/events"], clientState: state["me/events"], lifecycleEvent: name }] },
      });
      assert.equal(answer.status, 202);
      assert.deepEqual(
        plugin.requests.slice(before).map(({ method, url }) => `${method} ${url}`),
        renewed ? [`PATCH ${root}/subscriptions/${ids["me/events"]}`] : [],
      );
      assert.deepEqual(
        plugin.events.map(({ type, data }) => [type, data]),
        [["connector.SubscriptionLifecycle", { event: name, type: "event" }]],
      );
      const { sync } = await plugin.connector<{ sync?: object }>("handleIncomingEvent", answer.accepted[0]);
      assert.deepEqual(sync, synced ? { types: ["event"] } : undefined);
    });
});

describe("the channel and health", () => {
  test("what is no mail address is refused before anything is sent", async () => {
    await using plugin = await graph([]);
    for (const to of ["ada", "a@b.example, c@d.example", "Ada <a@b.example>", ""])
      assert.match(
        (await caught(plugin.channel("sendMessage", { id: "1", to, body: "x" }))).message,
        /no mail address/,
      );
    assert.deepEqual(plugin.requests, []);
  });

  test("Graph's refusal reaches the sender, with 429 among them", async () => {
    for (const status of [403, 429]) {
      await using plugin = await graph([
        {
          method: "POST",
          url: `${root}/me/sendMail`,
          answer: { status, headers: { "retry-after": "3" }, body: failure },
        },
      ]);
      const error = await caught(plugin.channel("sendMessage", { id: "1", to: "a@b.example", body: "x" }));
      assert.match(error.message, new RegExp(String(status)));
    }
  });

  test("health tells a refused connection from a good one", async () => {
    await using plugin = await graph([
      get("me/messages", { body: { value: [] } }, 1),
      get("me/messages", { status: 403, body: { error: { code: "ErrorAccessDenied", message: "" } } }),
    ]);
    assert.deepEqual(await plugin.health(), { status: "healthy" });
    assert.deepEqual(await plugin.health(), {
      status: "unhealthy",
      message: "Graph refuses the connection: ErrorAccessDenied.",
    });
  });
});
