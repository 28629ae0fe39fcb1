/**
 * Messages under disturbance: leases that lapse at random while a plugin is sending, calls that never end, services that fail in
 * every way. However it goes, a service that cannot tell repetitions gets no message twice, and what the hub says of a message is true.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { sql } from "kysely";
import { until } from "../bus/bus-fixture.ts";
import { answers, type Call, type ChannelsFixture, fails, openChannels } from "./channels-fixture.ts";

/** More with `CHAOS_SEEDS`. */
const seeds = Number(process.env["CHAOS_SEEDS"] ?? 1);
const messages = 10;

/** Mulberry32: small, and the same everywhere. */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

interface Service {
  /** How often each message was accepted, repetitions that the service knows not counted. */
  accepted: Map<string, number>;
  script(call: Call): Promise<unknown>;
}

function service(random: () => number, idempotent: boolean): Service {
  const accepted = new Map<string, number>();
  const accept = (id: string): unknown => {
    const before = accepted.get(id) ?? 0;
    accepted.set(id, idempotent ? 1 : before + 1);
    return { externalId: `of-${id}`, status: "queued" };
  };
  return {
    accepted,
    async script({ message: { id } }) {
      await wait(random() * 20);
      const way = random();
      if (way < 0.1) throw answers(500);
      if (way < 0.15) throw answers(429, 0.02);
      if (way < 0.2) throw fails("runner_lost", 0);
      if (way < 0.25) throw fails("plugin_error", 1, "egress_timeout");
      const receipt = accept(id);
      if (way < 0.3) throw fails("runner_lost", 1);
      if (way < 0.35) throw fails("plugin_error", 1, "egress_timeout");
      // The hub dies here, as far as anybody can see.
      if (way < 0.4) return new Promise(() => {});
      await wait(random() * 20);
      return receipt;
    },
  };
}

/** Takes leases away, as a dead hub does. */
async function lapse({ bus }: ChannelsFixture, share: number): Promise<void> {
  await sql`update deliveries set claimed_until = now() - interval '1 second'
    where state = 'pending' and claimed_until > now() and consumer like 'message:%' and random() < ${share}::float8`.execute(
    bus.store.db,
  );
}

async function disturb(seed: number, idempotent: boolean): Promise<void> {
  const random = randomOf(seed);
  const { accepted, script } = service(random, idempotent);
  await using given = await openChannels(undefined, { maxTries: 40 });
  given.install({ id: "acme.sms", idempotent });
  given.script = script;
  const nodes = [await given.start(), await given.start()];
  const ids: string[] = [];
  for (let n = 0; n < messages; n += 1)
    ids.push(await given.send({ to: `+1555000${n % 5}`, body: String(n), idempotencyKey: `${seed}-${n}` }));
  const ended = async (): Promise<boolean> => {
    await lapse(given, 0.2);
    const attempts = await Promise.all(ids.map(async (id) => (await given.get(id)).attempts[0]!));
    return attempts.every(({ state }) => state === "sent" || state === "failed");
  };
  await until(ended, `seed ${seed}: all messages ended`, 100_000);
  for (const id of ids) {
    const { status, attempts } = await given.get(id);
    const [attempt] = attempts;
    const times = accepted.get(id) ?? 0;
    const label = `seed ${seed}, ${JSON.stringify(attempt)}, accepted ${times}`;
    assert.ok(times <= 1, label);
    assert.equal(status, attempt!.status, label);
    if (attempt!.state === "sent") assert.equal(times, 1, label);
    else if (idempotent) assert.fail(label);
    else assert.ok(attempt!.errorCode === "outcome_unknown" || times === 0, label);
  }
  // Those that hang must not keep the test.
  await Promise.all(nodes.map((node) => node.stop()));
}

for (let n = 0; n < seeds; n += 1) {
  const seed = 1000 + n;
  test(`seed ${seed}: no message twice, and no message called sent that was not`, { timeout: 120_000 }, () =>
    disturb(seed, false),
  );
  test(`seed ${seed}: every message arrives where the service knows repetitions`, { timeout: 120_000 }, () =>
    disturb(seed, true),
  );
}
