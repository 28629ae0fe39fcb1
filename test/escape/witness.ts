/**
 * Stands where the hub stands behind the runtime's callbacks: answers ability calls in fixed ways, and notes whatever a
 * runtime behind an unbroken wall would never have let through.
 */
import { BackplaneError } from "../../src/errors/error.ts";
import type { RuntimeCallbacks, RuntimeFault, RuntimeLimits } from "../../src/runtimes/runtime.ts";
import type { Canaries } from "./canaries.ts";

export interface Witness {
  readonly callbacks: RuntimeCallbacks;
  readonly faults: RuntimeFault[];
  expect(key: string, limits: RuntimeLimits): void;
  started(key: string, execution: string, context: unknown): void;
  ended(execution: string): void;
  /** Searches bytes that came out for planted secrets. */
  saw(key: string, what: string, bytes: Uint8Array | string): void;
  /** The same for text that an author is shown: it must not name the host either. */
  sawGuestText(key: string, what: string, text: string): void;
  /** Gives and forgets what was noted on an instance. */
  take(key: string): string[];
}

interface Notes {
  limits: RuntimeLimits;
  problems: Set<string>;
  logBytes: number;
  messages: number;
  calls: number;
  shots: number;
}

/** Text of a stack that could only come from the hub or the runner. */
const hostTraces = [process.cwd(), "node:internal", "isolated-vm", "isolated_vm", "src/runtimes"];
const maxMessagesPerCall = 20_000;

export function createWitness(canaries: Canaries): Witness {
  const notes = new Map<string, Notes>();
  const executions = new Map<string, { key: string; context: unknown; ended: boolean }>();
  const faults: RuntimeFault[] = [];
  const note = (key: string, problem: string): void => {
    notes.get(key)?.problems.add(problem);
  };
  const search = (key: string, what: string, bytes: Uint8Array | string): void => {
    for (const place of canaries.search(bytes)) {
      // An innocent may see its own secrets; only attackers are asked here.
      note(key, `${what} holds the secret of ${place}`);
    }
  };
  const check = (kind: string, key: string, execution: string, context: unknown): void => {
    const known = executions.get(execution);
    if (known === undefined || known.key !== key) note(key, `${kind} of an execution that is not its own`);
    else if (known.context !== context) note(key, `${kind} with the context of another call`);
    else if (known.ended && kind === "ability call") note(key, "ability call of a call that had ended");
  };

  return {
    faults,
    callbacks: {
      async onAbilityCall(call) {
        const { key, guest, limits } = call.instance;
        const own = notes.get(key);
        if (own !== undefined) own.calls += 1;
        check("ability call", key, call.execution, call.context);
        if (!guest.abilities.includes(call.ability))
          note(key, `ability '${call.ability.slice(0, 60)}' was called and is not granted`);
        if (call.args.byteLength > limits.messageBytes)
          note(key, `ability arguments of ${call.args.byteLength} bytes came through`);
        if (guest.plugin.id !== "escape.innocent" && guest.plugin.id !== "escape.canary")
          search(key, "an ability call", call.args);
        return await answer(call.ability, call.args, call.execution, call.signal);
      },
      onGuestMessage(message) {
        const { key, guest } = message.instance;
        const own = notes.get(key);
        if (own === undefined) return;
        own.messages += 1;
        if (message.ability === "log.write") own.logBytes += message.args.byteLength;
        check("message", key, message.execution, message.context);
        if (!guest.abilities.includes(message.ability))
          note(key, `message '${message.ability.slice(0, 60)}' was sent and is not granted`);
        if (message.args.byteLength > message.instance.limits.messageBytes)
          note(key, `a message of ${message.args.byteLength} bytes came through`);
        search(key, "a message", message.args);
      },
      onFault(fault) {
        faults.push(fault);
        search(fault.instance.key, "a fault", fault.reason);
        if (fault.reason.length > 8192)
          note(fault.instance.key, `a fault's reason has ${fault.reason.length} characters`);
      },
    },
    expect(key, limits) {
      notes.set(key, { limits, problems: new Set(), logBytes: 0, messages: 0, calls: 0, shots: 0 });
    },
    started(key, execution, context) {
      executions.set(execution, { key, context, ended: false });
      const own = notes.get(key);
      if (own !== undefined) own.shots += 1;
    },
    ended(execution) {
      const known = executions.get(execution);
      if (known !== undefined) known.ended = true;
    },
    saw: search,
    sawGuestText(key, what, text) {
      for (const trace of hostTraces) if (text.includes(trace)) note(key, `${what} names the host: ${trace}`);
    },
    take(key) {
      const own = notes.get(key);
      if (own === undefined) return [];
      const problems = [...own.problems];
      own.problems.clear();
      // One call's allowance for each call, and as much again for what the bridge adds to each line.
      const allowed = own.limits.logBytes * own.shots * 2 + 16 * 1024;
      if (own.logBytes > allowed)
        problems.push(`${own.logBytes} bytes of log came through, ${own.limits.logBytes} a call are allowed`);
      if (own.messages > maxMessagesPerCall * own.shots) problems.push(`${own.messages} messages came through`);
      return problems;
    },
  };
}

async function answer(ability: string, args: Uint8Array, execution: string, signal: AbortSignal): Promise<Uint8Array> {
  // Never in the same turn: a real ability does not answer at once either. `refuse` does, to attack that case.
  const list: unknown = JSON.parse(Buffer.from(args).toString());
  const [entity, id] = Array.isArray(list) ? list : [];
  if (ability === "data.getById") {
    if (entity === "refuse")
      throw new BackplaneError("permission_denied", { plugin: "escape", permission: "data:read:refuse" });
    if (entity === "hang")
      return await new Promise((_, reject) =>
        signal.addEventListener("abort", () => reject(new BackplaneError("cancelled"))),
      );
    await new Promise((resolve) => setImmediate(resolve));
    if (entity === "proto")
      return Buffer.from('{"id":"1","__proto__":{"polluted":"yes"},"constructor":{"prototype":{"polluted":"yes"}}}');
    if (entity === "who") return Buffer.from(JSON.stringify({ execution }));
    return Buffer.from(JSON.stringify({ id, echo: entity }));
  }
  await new Promise((resolve) => setImmediate(resolve));
  if (ability === "data.query") return Buffer.from("[]");
  if (ability === "events.emit") return Buffer.from('{"id":"event"}');
  throw new BackplaneError("ability_unknown", { ability });
}
