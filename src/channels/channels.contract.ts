/** The contract of outbound messages: queued once, sent in order at the channel's pace, and never a second time to a service that cannot tell. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import fc from "fast-check";
import { asOrganizationId } from "../base/brands.ts";
import { type BusDriver, until } from "../bus/bus-fixture.ts";
import { answers, type ChannelsFixture, fails, openChannels } from "./channels-fixture.ts";
import { type messageStatuses, raiseStatus } from "./message-status.ts";

const acme = asOrganizationId("a");

export function channelsContract(driver: BusDriver): void {
  describe(`channels on ${driver.name}`, { skip: driver.skip ?? false }, () => {
    const on = (
      title: string,
      test: (given: ChannelsFixture) => Promise<void>,
      options: { maxTries?: number; maxAgeMs?: number } = {},
    ): void => {
      it(title, { timeout: 60_000 }, async () => {
        await using given = await openChannels(driver, options);
        given.install({ id: "acme.sms" });
        await test(given);
      });
    };

    // ── accepting ──

    on("a message is sent once, and its entity tells of it", async (given) => {
      await given.start();
      const id = await given.send({
        to: "+15550001",
        body: "see you",
        media: [{ url: "https://x.example/a.png" }],
        metadata: { tone: "kind" },
      });
      const message = await given.reaches(id, "sent");
      assert.deepEqual(
        given.calls.map(({ message }) => message),
        [
          {
            id,
            to: "+15550001",
            body: "see you",
            attachments: [{ url: "https://x.example/a.png" }],
            metadata: { tone: "kind" },
            webhookUrl: "https://hub.example/webhooks/a/acme.sms",
          },
        ],
      );
      assert.equal(given.calls[0]!.channel, "sms");
      const { direction, channel, status, to, body, provider, providerMessageId, media } = message;
      assert.deepEqual(
        { direction, channel, status, to, body, provider, providerMessageId, media },
        {
          direction: "outbound",
          channel: "sms",
          status: "sent",
          to: ["+15550001"],
          body: "see you",
          provider: "acme.sms",
          providerMessageId: "ext-1",
          media: [{ url: "https://x.example/a.png" }],
        },
      );
      const [attempt] = message.attempts;
      assert.deepEqual([attempt!.externalId, attempt!.providerStatus, attempt!.tries], ["ext-1", "queued", 1]);
      assert.equal((await given.events("data.MessageCreated"))[0]!.source, "/hub/channels");
    });

    on("the same idempotency key is the same message; another message under it is refused", async (given) => {
      await given.start();
      const twins = await Promise.all(
        Array.from({ length: 8 }, () => given.send({ body: "once", idempotencyKey: "k" })),
      );
      assert.equal(new Set(twins).size, 1);
      await given.reaches(twins[0]!, "sent");
      assert.equal(await given.send({ body: "once", idempotencyKey: "k" }), twins[0]);
      await assert.rejects(given.send({ body: "other", idempotencyKey: "k" }), { code: "conflict" });
      // Another organisation has keys of its own.
      given.install({ id: "acme.sms" }, "b");
      const other = await given.send({ body: "once", idempotencyKey: "k" }, "b");
      await given.reaches(other, "sent", "b");
      assert.deepEqual(given.sent(), ["once", "once"]);
    });

    on("the channel is the only active one of its type, the named one, or the default of several", async (given) => {
      await assert.rejects(given.send({ channel: "email" }), { code: "channel_unavailable" });
      await assert.rejects(given.send({ plugin: "nobody.here" }), { code: "not_found" });
      await assert.rejects(given.send({ plugin: "acme.sms", channel: "fax" }), { code: "channel_unavailable" });
      given.install({ id: "zeta.sms" });
      await assert.rejects(given.send({}), (error: Error & { code: string }) => {
        assert.equal(error.code, "channel_ambiguous");
        assert.match(error.message, /acme\.sms, zeta\.sms/);
        return true;
      });
      assert.equal((await given.get(await given.send({ plugin: "zeta.sms" }))).attempts[0]!.plugin, "zeta.sms");
      await given.channels.setDefault({ organization: acme, actor: "test" }, "zeta.sms", "sms");
      assert.equal((await given.get(await given.send({}))).attempts[0]!.plugin, "zeta.sms");
      given.install({ id: "zeta.sms", status: "disabled" });
      assert.equal((await given.get(await given.send({}))).attempts[0]!.plugin, "acme.sms");
      await assert.rejects(given.send({ plugin: "zeta.sms" }), { code: "plugin_not_active" });
      assert.deepEqual(
        (await given.channels.channels(acme)).map(({ id, status, defaultFor }) => [id, status, defaultFor]),
        [
          ["acme.sms", "active", []],
          ["zeta.sms", "disabled", ["sms"]],
        ],
      );
    });

    on("a contact stands for its address, and an address for the contact who has it", async (given) => {
      const write = {
        organization: acme,
        plugin: "acme.sms" as never,
        execution: null,
        traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        eventDepth: 0,
      };
      const [ada, bare] = await given.entities.upsert(write, "contacts", [
        {
          externalId: "ada",
          displayName: "Ada",
          phones: [{ number: "+15550009" }],
          emails: [{ address: "x@a.example" }, { address: "ada@a.example", primary: true }],
        },
        { externalId: "bare", displayName: "Bare" },
      ]);
      given.install({ id: "acme.mail", types: ["email"] });
      const byContact = await given.get(await given.send({ to: undefined, contactId: ada!.id, channel: "email" }));
      assert.deepEqual([byContact.attempts[0]!.to, byContact.contactId], ["ada@a.example", ada!.id]);
      const byAddress = await given.get(await given.send({ to: "+15550009" }));
      assert.equal(byAddress.contactId, ada!.id);
      await assert.rejects(given.send({ to: undefined, contactId: bare!.id }), { code: "no_address" });
      await assert.rejects(given.send({ to: undefined, contactId: "nobody" }), { code: "not_found" });
      await assert.rejects(given.send({ to: undefined }), { code: "invalid_input" });
    });

    on("messages to one address share a conversation, also with what came in over the plugin", async (given) => {
      const first = await given.get(await given.send({ to: "+15550001" }));
      const second = await given.get(await given.send({ to: "+15550001" }));
      const other = await given.get(await given.send({ to: "+15550002" }));
      assert.ok(first.conversationId);
      assert.equal(second.conversationId, first.conversationId);
      assert.notEqual(other.conversationId, first.conversationId);
      const write = {
        organization: acme,
        plugin: "acme.sms" as never,
        execution: null,
        traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        eventDepth: 0,
      };
      const [inbound] = await given.entities.upsert(write, "conversations", [
        {
          externalId: "sms:+1999:+15550003",
          channel: "sms",
          ownAddress: "+1999",
          participants: [{ address: "+15550003" }],
        },
      ]);
      assert.equal((await given.get(await given.send({ to: "+15550003" }))).conversationId, inbound!.id);
      // Where the own address is known, both make the same row whoever comes first.
      given.install({ id: "acme.sms", config: { from: "+1999" } });
      const outbound = await given.get(await given.send({ to: "+15550004" }));
      const [same] = await given.entities.upsert(write, "conversations", [
        { externalId: "sms:+1999:+15550004", channel: "sms", lastInboundAt: "2026-01-01T00:00:00Z" },
      ]);
      assert.equal(outbound.conversationId, same!.id);
    });

    on("one conversation goes out in order, others beside it", async (given) => {
      let tries = 0;
      given.script = async ({ message }) => {
        if (message.body === "a0" && ++tries < 3) throw answers(500);
        await wait(Math.random() * 5);
        return {};
      };
      for (let i = 0; i < 6; i += 1) {
        await given.send({ to: "+1555000a", body: `a${i}` });
        await given.send({ to: "+1555000b", body: `b${i}` });
      }
      await given.start();
      await given.start();
      await given.settled();
      const done = given.sent();
      assert.deepEqual(
        done.filter((body) => body.startsWith("a")),
        ["a0", "a0", "a0", "a1", "a2", "a3", "a4", "a5"],
      );
      assert.deepEqual(
        done.filter((body) => body.startsWith("b")),
        ["b0", "b1", "b2", "b3", "b4", "b5"],
      );
    });

    on("what is to go later waits, and does not keep the conversation waiting", async (given) => {
      await given.start();
      const later = await given.send({ body: "later", sendAt: new Date(Date.now() + 1500).toISOString() });
      const now = await given.send({ body: "now" });
      await given.reaches(now, "sent");
      assert.deepEqual(given.sent(), ["now"]);
      await given.reaches(later, "sent");
      assert.deepEqual(given.sent(), ["now", "later"]);
    });

    // ── failing ──

    on("a service that fails is tried again; one that refuses is not", async (given) => {
      let n = 0;
      given.script = ({ message }) => {
        if (message.body === "bad") throw answers(400);
        if (++n < 3) throw answers(503);
        return { externalId: "x" };
      };
      await given.start();
      const good = await given.send({ body: "good" });
      const bad = await given.send({ body: "bad", to: "+15550002" });
      const refused = await given.reaches(bad, "failed");
      assert.deepEqual([refused.status, refused.errorCode, refused.attempts[0]!.tries], ["failed", "plugin_error", 1]);
      assert.equal((await given.reaches(good, "sent")).attempts[0]!.tries, 3);
      const [told] = await given.events("comms.MessageStatus");
      assert.equal(told!.source, "/hub/channels");
      assert.deepEqual(
        [told!.data["messageId"], told!.data["status"], told!.data["errorCode"], told!.data["to"]],
        [bad, "failed", "plugin_error", "+15550002"],
      );
    });

    on(
      "a message that keeps failing ends after the most tries",
      async (given) => {
        given.script = () => {
          throw answers(500);
        };
        await given.start();
        const message = await given.reaches(await given.send({}), "failed");
        assert.equal(message.attempts[0]!.tries, 3);
        assert.equal(given.calls.length, 3);
      },
      { maxTries: 3 },
    );

    on("429 holds the whole channel for as long as the service says, and costs no try", async (given) => {
      let first = true;
      const times: number[] = [];
      given.script = () => {
        times.push(performance.now());
        if (!first) return {};
        first = false;
        throw answers(429, 1);
      };
      await given.start();
      const id = await given.send({ to: "+15550001" });
      await until(() => times.length === 1, "the first try");
      await until(async () => (await given.get(id)).attempts[0]!.state === "queued", "put back");
      const other = await given.send({ to: "+15550002" });
      const message = await given.reaches(id, "sent");
      await given.reaches(other, "sent");
      assert.equal(message.attempts[0]!.tries, 1);
      for (const time of times.slice(1)) assert.ok(time - times[0]! > 900, `${time - times[0]!} ms`);
    });

    on("fallback channels have their turn in order, as attempts of the same message", async (given) => {
      given.install({ id: "acme.mail", types: ["email"] });
      given.install({ id: "acme.wa", types: ["whatsapp"] });
      given.script = ({ plugin }) => {
        if (plugin !== "acme.wa") throw answers(422);
        return { externalId: "w1", status: "delivered" };
      };
      await given.start();
      const id = await given.send({
        fallback: [{ channel: "fax" }, { channel: "email", to: "a@b.example" }, { channel: "whatsapp" }],
      });
      const message = await given.reaches(id, "sent");
      assert.deepEqual(
        message.attempts.map(({ number, plugin, channel, to, status, errorCode }) => [
          number,
          plugin,
          channel,
          to,
          status,
          errorCode,
        ]),
        [
          [1, "acme.sms", "sms", "+15550001", "failed", "plugin_error"],
          [2, null, "fax", "+15550001", "failed", "channel_unavailable"],
          [3, "acme.mail", "email", "a@b.example", "failed", "plugin_error"],
          [4, "acme.wa", "whatsapp", "+15550001", "delivered", null],
        ],
      );
      assert.equal(new Set(given.calls.map(({ message }) => message.id)).size, 3);
      const last = message.attempts[3]!;
      assert.equal((await given.get(last.id))["fallbackOf"], id);
      assert.equal((await given.events("comms.MessageStatus"))[0]!.data["fallbackMessageId"], message.attempts[2]!.id);
    });

    on("a message that its plugin's uninstalling leaves behind fails, and falls back", async (given) => {
      given.install({ id: "acme.mail", types: ["email"] });
      const id = await given.send({ fallback: [{ channel: "email", to: "a@b.example" }] });
      given.install({ id: "acme.sms", types: ["pager"] });
      await given.start();
      const message = await given.reaches(id, "sent");
      assert.equal(message.attempts[0]!.errorCode, "channel_unavailable");
      assert.equal(message.attempts[1]!.status, "sent");
    });

    on(
      "a message too old to be worth sending fails",
      async (given) => {
        const id = await given.send({});
        await wait(30);
        await given.start();
        const message = await given.reaches(id, "failed");
        assert.equal(message.attempts[0]!.errorCode, "expired");
        assert.deepEqual(given.calls, []);
      },
      { maxAgeMs: 20 },
    );

    // ── not knowing ──

    const lostMidway = async (given: ChannelsFixture, idempotent: boolean): Promise<string> => {
      given.install({ id: "acme.sms", idempotent });
      const id = await given.send({ fallback: [{ channel: "sms" }] });
      // As a hub leaves it that was killed between the service's answer and the commit.
      await given.bus.store.db
        .updateTable("outbound_messages")
        .set({ state: "sending", status: "sending", tries: 1 })
        .where("id", "=", id)
        .execute();
      await given.start();
      return id;
    };

    on("a send that was lost midway is not repeated where the service cannot tell, and says so", async (given) => {
      const message = await given.reaches(await lostMidway(given, false), "failed");
      assert.deepEqual(given.calls, []);
      assert.equal(message.attempts.length, 1, "it may have arrived, so no other channel is tried");
      assert.equal(message.errorCode, "outcome_unknown");
      assert.match(message.attempts[0]!.error!, /may or may not have been sent/);
    });

    on("a send that was lost midway is repeated under the same id where the service knows ids", async (given) => {
      const id = await lostMidway(given, true);
      const message = await given.reaches(id, "sent");
      assert.deepEqual(
        given.calls.map(({ message }) => message.id),
        [id],
      );
      assert.equal(message.attempts[0]!.tries, 2);
    });

    on("a broken connection, a timeout and a lost runner after a request are outcomes nobody knows", async (given) => {
      const ways = [
        fails("plugin_error", 1, "egress_timeout"),
        fails("plugin_error", 1, "egress_failed"),
        fails("plugin_error", 1),
        fails("runner_lost", 1),
        fails("deadline_exceeded", 1),
        answers(502),
      ];
      given.script = ({ message }) => {
        throw ways[Number(message.body)];
      };
      await given.start();
      for (let i = 0; i < ways.length; i += 1) {
        const message = await given.reaches(await given.send({ body: String(i), to: `+1555000${i}` }), "failed");
        assert.equal(message.attempts[0]!.errorCode, "outcome_unknown", `way ${i}`);
      }
      assert.equal(given.calls.length, ways.length);
    });

    on("what failed before any request is no riddle: it is tried again, or refused at once", async (given) => {
      let lost = true;
      given.script = ({ message }) => {
        if (message.body === "no sender") throw fails("plugin_error", 0);
        if (lost) {
          lost = false;
          throw fails("runner_lost", 0);
        }
        return {};
      };
      await given.start();
      const again = await given.send({});
      const refused = await given.send({ body: "no sender", to: "+15550002" });
      assert.equal((await given.reaches(refused, "failed")).attempts[0]!.errorCode, "plugin_error");
      assert.equal((await given.reaches(again, "sent")).attempts[0]!.tries, 2);
    });

    on(
      "a hub that stops while a message is being sent leaves it to the next one, which does not send it again",
      async (given) => {
        given.script = ({ signal }) =>
          new Promise((_, reject) => signal!.addEventListener("abort", () => reject(fails("cancelled", 1))));
        const node = await given.start();
        const id = await given.send({});
        await until(() => given.calls.length === 1, "the call");
        await node.stop();
        assert.equal((await given.get(id)).attempts[0]!.state, "sending");
        await given.start();
        assert.equal((await given.reaches(id, "failed")).errorCode, "outcome_unknown");
        assert.equal(given.calls.length, 1);
      },
    );

    on("a receipt that comes late takes the doubt back", async (given) => {
      let answer!: (receipt: unknown) => void;
      given.script = () => new Promise((resolve) => (answer = resolve));
      await given.start();
      const id = await given.send({});
      await until(() => given.calls.length === 1, "the call");
      // Another node took the lapsed lease over meanwhile.
      await given.bus.store.db
        .updateTable("outbound_messages")
        .set({ state: "failed", status: "failed", error_code: "outcome_unknown", error: "?" })
        .where("id", "=", id)
        .execute();
      answer({ externalId: "late" });
      const message = await given.reaches(id, "sent");
      assert.deepEqual([message.status, message.errorCode, message.attempts[0]!.externalId], ["sent", null, "late"]);
    });

    on("hostile receipts harm nothing: the message is sent", async (given) => {
      const receipts = [
        null,
        "text",
        [],
        { externalId: { $gt: 1 }, status: ["delivered"] },
        { externalId: "x".repeat(100_000), status: "y".repeat(100_000) },
        { externalId: "nul\u0000", status: "\ud800" },
        { externalId: 12345, status: "DELIVERED" },
        JSON.parse('{"__proto__":{"status":"failed"}}'),
      ];
      given.script = ({ message }) => receipts[Number(message.body)];
      await given.start();
      for (let i = 0; i < receipts.length; i += 1) {
        const message = await given.reaches(await given.send({ body: String(i), to: `+1555000${i}` }), "sent");
        assert.equal(message.attempts[0]!.externalId, i === 6 ? "12345" : null, `receipt ${i}`);
        assert.equal(message.status, i === 6 ? "delivered" : "sent", `receipt ${i}`);
      }
    });

    // ── pace, cancel, states ──

    on("messages leave at the channel's rate over all nodes, each organisation at its own", async (given) => {
      given.install({ id: "acme.sms", ratePerSecond: 5 });
      given.install({ id: "acme.sms", ratePerSecond: 1000 }, "b");
      const times: number[] = [];
      given.script = ({ organization }) => {
        if (organization === "a") times.push(performance.now());
        return {};
      };
      await given.start();
      await given.start();
      for (let i = 0; i < 12; i += 1) await given.send({ to: `+1555000${i}` });
      const other = await given.send({}, "b");
      await given.reaches(other, "sent", "b");
      assert.ok(times.length < 12);
      await until(() => times.length === 12, "all");
      // Twelve turns are eleven intervals of 200 ms; on a busy machine the first may come late, and the others are not put off for it.
      assert.ok(times.at(-1)! - times[0]! > 1200, `${times.at(-1)! - times[0]!} ms`);
    });

    on("a queued message can be cancelled, any other cannot", async (given) => {
      const id = await given.send({ fallback: [{ channel: "sms" }] });
      await given.channels.cancel(acme, id);
      await given.start();
      await given.settled();
      const message = await given.get(id);
      assert.deepEqual(
        [message.attempts[0]!.state, message.status, message.errorCode],
        ["cancelled", "failed", "cancelled"],
      );
      assert.deepEqual(given.calls, []);
      const sent = await given.send({});
      await given.reaches(sent, "sent");
      for (const one of [id, sent]) await assert.rejects(given.channels.cancel(acme, one), { code: "conflict" });
      await assert.rejects(given.channels.cancel(acme, "none"), { code: "not_found" });
    });

    on("reports of the service raise the state, in whatever order they come, and never lower it", async (given) => {
      await given.start();
      let n = 0;
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.constantFrom("queued", "sent", "delivered", "read", "failed", "undelivered", "nonsense"), {
            minLength: 1,
            maxLength: 8,
          }),
          async (words) => {
            const externalId = `p${++n}`;
            given.script = () => ({ externalId });
            const id = await given.send({ to: `+1555${n}` });
            await given.reaches(id, "sent");
            for (const status of words)
              await given.emit("acme.sms", "comms.MessageStatus", { externalId, status, channel: "sms" });
            await given.settled();
            const known = words.filter((word) => word !== "nonsense" && word !== "queued") as never[];
            const expected = [...known].reduce(raiseStatus, "sent" as (typeof messageStatuses)[number]);
            const message = await given.get(id);
            assert.equal(message.status, expected, words.join(" "));
            assert.equal(message["readAt"] !== undefined, expected === "read");
          },
        ),
        { numRuns: 12, seed: 7 },
      );
    });

    on("a failure that the service reports later has the next channel tried, once", async (given) => {
      given.install({ id: "acme.mail", types: ["email"] });
      given.script = ({ plugin }) => ({ externalId: `of-${plugin}` });
      await given.start();
      const id = await given.send({ fallback: [{ channel: "email", to: "a@b.example" }] });
      await given.reaches(id, "sent");
      const report = { externalId: "of-acme.sms", status: "undelivered", errorCode: "30005" };
      await given.emit("acme.sms", "comms.MessageStatus", report);
      await given.emit("acme.sms", "comms.MessageStatus", { ...report, status: "failed" });
      await until(async () => (await given.get(id)).attempts.length === 2, "the fallback");
      await given.settled();
      const message = await given.reaches(id, "sent");
      assert.deepEqual(
        message.attempts.map(({ plugin, status, errorCode }) => [plugin, status, errorCode]),
        [
          ["acme.sms", "failed", "30005"],
          ["acme.mail", "sent", null],
        ],
      );
    });

    on("only the plugin that sent a message, in its organisation, may report of it", async (given) => {
      given.install({ id: "acme.sms" }, "b");
      given.script = () => ({ externalId: "same" });
      await given.start();
      const mine = await given.send({});
      const theirs = await given.send({}, "b");
      await given.reaches(mine, "sent");
      await given.reaches(theirs, "sent", "b");
      const read = { externalId: "same", messageId: mine, status: "read" };
      await given.emit("evil.sms", "comms.MessageStatus", read);
      await given.emit("acme.sms", "comms.MessageStatus", read, { organization: "b" });
      await given.settled();
      assert.equal((await given.get(mine)).status, "sent");
      assert.equal((await given.get(theirs, "b")).status, "read");
      await assert.rejects(given.get(mine, "b"), { code: "not_found" });
      assert.deepEqual(
        (await given.channels.list(asOrganizationId("b"), {})).messages.map(({ id }) => id),
        [theirs],
      );
    });

    on("a report that overtakes the receipt is not lost", async (given) => {
      let answer!: (receipt: unknown) => void;
      given.script = () => new Promise((resolve) => (answer = resolve));
      await given.start();
      const id = await given.send({});
      await until(() => given.calls.length === 1, "the call");
      await given.emit("acme.sms", "comms.MessageStatus", { externalId: "fast", status: "delivered" });
      await wait(200);
      answer({ externalId: "fast", status: "queued" });
      await until(async () => (await given.get(id)).status === "delivered", "delivered");
    });

    on("hostile reports change nothing", async (given) => {
      given.script = () => ({ externalId: "e" });
      await given.start();
      const id = await given.send({});
      await given.reaches(id, "sent");
      for (const data of [
        null,
        "x",
        [],
        { externalId: "e" },
        { externalId: ["e"], status: "read" },
        { status: "read" },
        { externalId: "e", status: { a: 1 } },
      ])
        await given.emit("acme.sms", "comms.MessageStatus", data);
      await given.emit("acme.sms", "comms.MessageStatus", {
        externalId: "e",
        status: "failed",
        errorCode: { a: 1 },
        error: "x".repeat(90_000),
      });
      await given.settled();
      const message = await given.get(id);
      assert.equal(message.status, "failed");
      assert.equal(message.attempts[0]!.error!.length, 1000);
      const lag = await given.bus.store.db.selectFrom("deliveries").select("id").where("state", "=", "dead").execute();
      assert.deepEqual(lag, []);
    });

    // ── asked for by event ──

    on("an event that asks for a message sends it once, however often it comes", async (given) => {
      await given.start();
      const id = await given.emit("acme.rules", "comms.MessageRequested", {
        channel: "sms",
        to: "+15550001",
        body: "asked",
        subject: null,
        later: "unknown fields are let be",
      });
      await until(() => given.calls.length === 1, "the message");
      await given.settled();
      await (await given.start()).stop();
      await given.bus.store.transaction((tx) =>
        tx
          .insertInto("deliveries" as never)
          .values({
            organization_id: "a",
            consumer: "hub:channels#comms.MessageRequested",
            kind: "event",
            key: id,
            item_id: `${id}~2`,
            event_id: id,
          } as never)
          .execute(),
      );
      await given.settled();
      assert.deepEqual(given.sent(), ["asked"]);
    });

    on("a request that cannot be met is told as a failed message and kept as a dead letter", async (given) => {
      await given.start();
      await given.emit(
        "acme.rules",
        "comms.MessageRequested",
        { channel: "pigeon", to: "coop 4", body: "coo" },
        { id: "r1" },
      );
      await given.emit("acme.rules", "comms.MessageRequested", { channel: "sms", to: 5, body: null }, { id: "r2" });
      await until(async () => (await given.events("comms.MessageStatus")).length === 2, "both told");
      const told = await given.events("comms.MessageStatus");
      assert.deepEqual(
        told.map(({ data }) => [data["requestId"], data["messageId"], data["status"], data["errorCode"]]).sort(),
        [
          ["r1", null, "failed", "channel_unavailable"],
          ["r2", null, "failed", "invalid_input"],
        ],
      );
      assert.match(String(told.find(({ data }) => data["requestId"] === "r2")!.data["error"]), /\$\.to|\$\.body/);
      await until(
        async () =>
          (await given.bus.store.db.selectFrom("deliveries").select("id").where("state", "=", "dead").execute())
            .length === 2,
        "dead letters",
      );
    });

    on(
      "what became of a request is told by its id: not taken yet, sent, refused, refused and met later",
      async (given) => {
        const ask = (id: string, channel: string): Promise<string> =>
          given.emit("acme.rules", "comms.MessageRequested", { channel, to: "+15550001", body: id }, { id });
        const told = async (): Promise<unknown[]> =>
          (await given.channels.requested(acme, ["good", "none", "odd"])).map(
            ({ requestId, status, errorCode, messageId }) => [requestId, status, errorCode, messageId !== null],
          );
        await ask("good", "sms");
        await ask("odd", "pigeon");
        await given.emit("acme.rules", "comms.Other", {}, { id: "none" });
        assert.deepEqual(await told(), [
          ["good", "requested", null, false],
          ["odd", "requested", null, false],
        ]);
        await given.start();
        await until(async () => JSON.stringify(await told()).includes("channel_unavailable"), "the refusal");
        await until(async () => JSON.stringify(await told()).includes('"sent"'), "the message");
        assert.deepEqual(await told(), [
          ["good", "sent", null, true],
          ["odd", "failed", "channel_unavailable", false],
        ]);
        given.install({ id: "acme.pigeon", types: ["pigeon"] });
        const [dead] = await given.bus.store.db
          .selectFrom("deliveries")
          .select(["id"])
          .where("state", "=", "dead")
          .execute();
        await given.bus.store.db
          .updateTable("deliveries")
          .set({ state: "pending", due: new Date(), attempts: 0 })
          .where("id", "=", dead!.id)
          .execute();
        await until(async () => !JSON.stringify(await told()).includes("failed"), "the message of the second try");
        const [message] = await given.channels.requested(acme, ["odd"]);
        assert.equal((await given.get(message!.messageId!)).channel, "pigeon");
        assert.deepEqual(await given.channels.requested("b" as typeof acme, ["good", "odd"]), []);
      },
    );

    // ── reading ──

    on("the list gives messages in and out by filter, page by page", async (given) => {
      const write = {
        organization: acme,
        plugin: "acme.sms" as never,
        execution: null,
        traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        eventDepth: 0,
      };
      await given.entities.upsert(write, "messages", [
        {
          externalId: "in1",
          direction: "inbound",
          channel: "sms",
          status: "received",
          body: "hi",
          sentAt: "2026-01-01T00:00:00Z",
        },
      ]);
      const sent: string[] = [];
      for (let i = 0; i < 5; i += 1) sent.push(await given.send({ body: String(i) }));
      const bodies = async (filter: object): Promise<unknown[]> =>
        (await given.channels.list(acme, filter)).messages.map(({ body }) => body);
      assert.deepEqual(await bodies({ direction: "inbound" }), ["hi"]);
      assert.deepEqual(await bodies({ direction: "outbound" }), ["4", "3", "2", "1", "0"]);
      assert.deepEqual(await bodies({ status: "received", channel: "sms" }), ["hi"]);
      const seen: unknown[] = [];
      for (let cursor: string | null | undefined; cursor !== null; ) {
        const page = await given.channels.list(acme, { limit: 2, ...(cursor ? { cursor } : {}) });
        seen.push(...page.messages.map(({ body }) => body));
        cursor = page.nextCursor;
      }
      assert.deepEqual(seen, ["4", "3", "2", "1", "0", "hi"]);
      await assert.rejects(given.channels.list(acme, { cursor: "nonsense" }), { code: "invalid_cursor" });
    });
  });
}
