/** What rules keep and show holds no secret of a plugin: in runs, dry runs and replays; and nothing is shown where secrets cannot be read. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { asOrganizationId } from "../base/brands.ts";
import { BackplaneError } from "../errors/error.ts";
import { createRedactor } from "../secrets/redactor.ts";
import { newTrace } from "../telemetry/trace.ts";
import { openEngine } from "./test-engine.ts";

const secret = "hunter2-and-some-more";
const organization = asOrganizationId("org-1");
const source = `id: r
name: R
trigger: {event: door.opened}
conditions: [{operator: test.sees, params: {text: "{{ event.text }}"}}]
actions:
  - {id: told, operator: test.tell, params: {text: "{{ event.text }}", each: "{{ item.text }}"}}
  - {operator: test.fails, params: {text: "{{ string(steps.told) }}"}, continueOnError: true}`;

/** All that people can see of a run, a dry run and a replay of one event that quotes the plugin's secret. */
async function everythingShown({
  readable,
  text = secret,
}: {
  readable: boolean;
  text?: string;
}): Promise<{ run: unknown; dry: unknown; replay: unknown; seen: string[] }> {
  const seen: string[] = [];
  const { text: redact } = createRedactor([{ field: "key", value: secret }]);
  await using engine = await openEngine(
    {
      conditions: { "test.sees": ({ params }) => seen.push(String(params["text"])) > 0 },
      actions: {
        "test.tell": ({ params }) => ({ echoed: params["text"] }),
        "test.fails": () => assert.fail("on purpose"),
      },
      variables: { item: () => [{ text }] },
    },
    { redactorOf: async () => (readable ? redact : undefined) },
  );
  await engine.organization(organization);
  await engine.save(organization, source);
  await engine.publish(organization, "door.opened", { text });
  const [run] = await engine.ended(organization, "r");
  const dry = await engine.rules.dryRun({
    organization,
    rule: "r",
    event: { type: "door.opened", data: { text } },
    trace: newTrace(),
    signal: new AbortController().signal,
  });
  let replay = await engine.rules.replays.start({ organization, actor: "test" }, { rule: "r" });
  while (replay.endedAt === null) {
    await wait(10);
    replay = await engine.rules.replays.get(organization, replay.id);
  }
  assert.equal(replay.status, "succeeded", JSON.stringify(replay.error));
  const { decisions } = await engine.rules.replays.decisions(organization, replay.id, {});
  // The event is what somebody published, and its own; what rules make of it is theirs.
  return { run: { ...run, event: null }, dry: { ...dry, event: null }, replay: [replay, decisions], seen };
}

test("runs, dry runs and replays show params, conditions, variables and results without the secrets of plugins", async () => {
  const { run, dry, replay, seen } = await everythingShown({ readable: true });
  assert.deepEqual(new Set(seen), new Set([secret]), "operators get what the rule says");
  for (const [name, shown] of Object.entries({ run, dry, replay })) {
    const text = JSON.stringify(shown);
    assert.equal(text.includes(secret), false, `${name}: ${text}`);
    assert.match(text, /"text":"\[redacted:key\]"/, name);
    assert.match(text, /"each":"\[redacted:key\]"/, name);
  }
});

test("a text is cut only after its secrets are out, so that no part of one is left at the edge", async () => {
  for (const length of [1_000, 2_000]) {
    const { run, dry, replay } = await everythingShown({
      readable: true,
      text: `${"x".repeat(length - 8)}${secret}${"y".repeat(3_000)}`,
    });
    for (const [name, shown] of Object.entries({ run, dry, replay }))
      assert.equal(JSON.stringify(shown).includes(secret.slice(0, 6)), false, `${name} at ${length}`);
  }
});

test("where the secrets of a plugin cannot be read nothing is shown, and a sentence says so", async () => {
  const { run, dry, replay, seen } = await everythingShown({ readable: false });
  assert.ok(seen.length > 0);
  for (const [name, shown] of Object.entries({ run, dry, replay })) {
    const text = JSON.stringify(shown);
    assert.equal(text.includes(secret), false, `${name}: ${text}`);
    assert.match(text, /\[withheld: the secrets of plugin 'test.operators' cannot be read/, name);
  }
});

test("a run fails with a code instead of keeping a list that could hold a secret; a result is null", async () => {
  const { run } = (await everythingShown({ readable: false })) as { run: { status: string; reason: string } };
  assert.deepEqual([run.status, run.reason], ["failed", "secret_unreadable"]);

  await using engine = await openEngine(
    { actions: { "test.tell": () => ({ token: secret }) } },
    { redactorOf: () => Promise.reject(new BackplaneError("secret_unreadable", { field: "key" })) },
  );
  await engine.organization(organization);
  await engine.save(
    organization,
    `id: r\nname: R\ntrigger: {event: go.now}\nactions: [{operator: test.tell, params: {text: "${secret}"}}]`,
  );
  await engine.publish(organization, "go.now", {});
  const [ended] = await engine.ended(organization, "r");
  assert.equal(ended!.status, "succeeded");
  assert.equal(ended!.steps[0]!.result, null);
  assert.equal(JSON.stringify(ended!.steps).includes(secret), false);
});
