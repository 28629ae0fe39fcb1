/**
 * Finding the rules that an event sets off, with 10, 1,000 and 10,000 rules of which one matches, and the same rules in
 * json-rules-engine. All rules listen to the same event and differ in one value of their filter, so that nothing but the
 * index tells them apart. Every event is a new object; matching only, no run is stored.
 */
import { setImmediate as yieldOnce } from "node:timers/promises";
import { Engine } from "json-rules-engine";
import { compileRule } from "../src/rules/language/compile-rule.ts";
import type { CompiledRule, OperatorCatalog, RuleEvent } from "../src/rules/language/types.ts";
import { createMatcher, type Matcher } from "../src/rules/matching/matcher.ts";
import type { Benchmark } from "./benchmark.ts";
import { figure, interleave, median, ratios } from "./statistics.ts";

const sizes = [10, 1_000, 10_000] as const;
const type = "comms.MessageReceived";

const catalog: OperatorCatalog = {
  conditions: new Map(),
  actions: new Map([["bench.act", { plugin: "bench", permissions: [], idempotent: true }]]),
  variables: new Map(),
};

/** Half of them ask in a filter, half in an inline condition. */
function ruleSource(
  i: number,
  test = `event.channel == "sms" && event.contactId == "c-${i}" && event.length > 10`,
): string {
  const ask = i % 2 === 0 ? `  filter: '${test}'\n` : `conditions:\n  - cel: '${test}'\n`;
  return `name: rule ${i}\ntrigger:\n  event: ${type}\n${ask}actions:\n  - operator: bench.act\n`;
}

function compile(source: string): CompiledRule {
  const { rule, faults } = compileRule(source, catalog);
  if (rule === undefined) throw new Error(JSON.stringify(faults));
  return rule;
}

function matcherOf(count: number, test?: (i: number) => string): Matcher {
  const matcher = createMatcher();
  for (let i = 0; i < count; i++) matcher.add(`r-${i}`, compile(ruleSource(i, test?.(i))));
  return matcher;
}

let made = 0;

/** One rule of each set matches it. */
function nextEvent(): RuleEvent {
  made += 1;
  const data = { channel: "sms", contactId: `c-${made % 10}`, length: 40, body: "Hello there", messageId: `m-${made}` };
  return { id: `e-${made}`, type, source: "bench", time: "2026-01-31T09:30:00Z", organization: "o-1", data };
}

function peerOf(count: number): Engine {
  const engine = new Engine([], { allowUndefinedFacts: true });
  for (let i = 0; i < count; i++)
    engine.addRule({
      name: `r-${i}`,
      conditions: {
        all: [
          { fact: "channel", operator: "equal", value: "sms" },
          { fact: "contactId", operator: "equal", value: `c-${i}` },
          { fact: "length", operator: "greaterThan", value: 10 },
        ],
      },
      event: { type: "act" },
    });
  return engine;
}

/** Microseconds an event. */
function ours(matcher: Matcher, events: number, matching = 1): number {
  const now = new Date();
  const from = performance.now();
  for (let i = 0; i < events; i++)
    if (matcher.match(nextEvent(), now).length !== matching) throw new Error("an event set off the wrong rules");
  return ((performance.now() - from) * 1000) / events;
}

async function peers(engine: Engine, events: number): Promise<number> {
  const from = performance.now();
  for (let i = 0; i < events; i++) {
    const { events: found } = await engine.run(nextEvent().data as Record<string, unknown>);
    if (found.length !== 1) throw new Error("json-rules-engine found the wrong rules");
  }
  return ((performance.now() - from) * 1000) / events;
}

export const benchmark: Benchmark = {
  name: "rules",
  goals: ["rules-growth", "rules-peer"],
  async run({ rounds, quick, log }) {
    const from = performance.now();
    const matchers = new Map(sizes.map((size) => [size, matcherOf(size)]));
    const compiled = sizes.reduce((sum, size) => sum + size, 0);
    const compileUs = ((performance.now() - from) * 1000) / compiled;
    log(`${compiled} rules compiled, ${figure(compileUs)} µs each`);
    const engines = { small: peerOf(10), large: peerOf(10_000) };
    const noIndex = matcherOf(
      1_000,
      (i) => `event.length > 30 && event.length != ${i} && event.body.contains("x-${i}")`,
    );
    const many = quick ? 20_000 : 50_000;
    for (const matcher of matchers.values()) ours(matcher, many);
    await peers(engines.small, 200);
    const turn = async (size: (typeof sizes)[number]): Promise<number> => {
      await yieldOnce();
      return ours(matchers.get(size)!, many);
    };
    const us = await interleave(rounds * 3, {
      ten: () => turn(10),
      thousand: () => turn(1_000),
      tenThousand: () => turn(10_000),
    });
    const against = await interleave(quick ? 2 : rounds, {
      ours: () => turn(10_000),
      theirs: () => peers(engines.large, quick ? 3 : 10),
      theirsTen: () => peers(engines.small, 500),
    });
    const growth = ratios(us.tenThousand, us.ten);
    const faster = ratios(against.theirs, against.ours);
    return [
      {
        goal: "rules-growth",
        value: median(growth),
        samples: growth,
        text: `${figure(median(growth))} ×; ${figure(1e6 / median(us.ten))}, ${figure(1e6 / median(us.thousand))} and ${figure(1e6 / median(us.tenThousand))} events per second`,
        parts: {
          "µs at 10": median(us.ten),
          "µs at 1,000": median(us.thousand),
          "µs at 10,000": median(us.tenThousand),
          "µs at 1,000 whose filters ask for no equality": ours(noIndex, 500, 0),
          "µs to compile a rule": compileUs,
        },
      },
      {
        goal: "rules-peer",
        value: median(faster),
        samples: faster,
        parts: {
          "our µs at 10,000": median(against.ours),
          "json-rules-engine µs at 10,000": median(against.theirs),
          "json-rules-engine µs at 10": median(against.theirsTen),
        },
      },
    ];
  },
};
