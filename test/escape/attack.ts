/**
 * Reads the attacks of this folder: `<ID>/attack.js` is the guest's bundle, `<ID>/attack.json` says what it tries, which
 * invariant of docs/sandbox-invariants.md it attacks, and how the wall may answer.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { RuntimeLimits } from "../../src/runtimes/runtime.ts";

export interface Attack {
  id: string;
  title: string;
  class: string;
  /** `INV-nn`. */
  invariant: string;
  /** `completes`, error codes, or `any_failure`. A completed attack reports `{breach}`: anything but null fails. */
  expect: string[];
  notes?: string;
  /** May cost its runner, and with it the calls of its own organisation, for a moment. */
  killer?: boolean;
  /** `call` by default. */
  mode?: "call" | "cancel" | "stream" | "stream-unread";
  /** Calls one after another, in the same isolate while it lives. */
  repeat?: number;
  /** Calls at once. */
  parallel?: number;
  limits?: Partial<RuntimeLimits>;
  /** JSON text of the argument array instead of `[{nonce}]`. */
  args?: string;
  /** Nests that many arrays as the only argument. */
  argsDepth?: number;
  /** JSON text of the configuration. */
  config?: string;
  handler?: string[];
  /** Appends that many bytes of distinct functions to the bundle. */
  bundlePad?: number;
  /** Texts, each repeated so often, appended to the bundle. */
  generate?: [text: string, times: number][];
  /** The completed result must carry the nonce it was given. */
  nonce?: boolean;
  code: string;
}

export const escapeFolder = import.meta.dirname;

export function loadAttacks(folder: string = escapeFolder): Attack[] {
  const names = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return names
    .filter((entry) => existsSync(join(folder, entry.name, "attack.json")))
    .map((entry) => loadAttack(folder, entry.name))
    .sort((a, b) => (a.id < b.id ? -1 : 1));
}

function loadAttack(folder: string, name: string): Attack {
  const attack = JSON.parse(readFileSync(join(folder, name, "attack.json"), "utf8")) as Attack;
  if (attack.id !== name) throw new Error(`attack ${name} calls itself ${attack.id}`);
  let code = readFileSync(join(folder, name, "attack.js"), "utf8");
  for (let bytes = 0, i = 0; bytes < (attack.bundlePad ?? 0); i += 1) {
    const line = `function pad${i}(a, b) { return a + b * ${i} + "${i.toString(36).padStart(60, "p")}"; }\n`;
    code += line;
    bytes += line.length;
  }
  for (const [text, times] of attack.generate ?? []) code += text.repeat(times);
  return { ...attack, code };
}

/** True when the attack's outcome is one that the wall may give. */
export function isExpected(attack: Attack, outcome: string): boolean {
  if (attack.expect.includes(outcome)) return true;
  return outcome !== "completes" && outcome !== "internal" && attack.expect.includes("any_failure");
}

/** Order that differs from run to run and can be had again with the printed seed. */
export function shuffled<T>(items: readonly T[], seed: number): T[] {
  const result = [...items];
  let state = seed >>> 0;
  for (let i = result.length - 1; i > 0; i -= 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const j = state % (i + 1);
    [result[i], result[j]] = [result[j]!, result[i]!];
  }
  return result;
}
