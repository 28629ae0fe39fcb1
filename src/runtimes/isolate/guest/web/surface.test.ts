import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { authorErrorCodes } from "../../../../../plugin-api/src/errors.ts";
import { errorTable } from "../../../../errors/table.ts";
import { openTestIsolate } from "./test-isolate.ts";

const declarations = readFileSync(
  new URL("../../../../../plugin-api/src/globals.d.ts", import.meta.url),
  "utf8",
).replace(/\/\*\*[\s\S]*?\*\/|\/\/.*$/gm, "");

/** `declare class X … {` or `declare const x: {` with the names of its members, statics apart. */
function declared(): Map<string, { members: Set<string>; statics: Set<string> }> {
  const found = new Map<string, { members: Set<string>; statics: Set<string> }>();
  for (const [, name = "", body = ""] of declarations.matchAll(
    /^declare (?:class|const|function) (\w+)([\s\S]*?)(?=^declare|^interface|^type|$(?![\s\S]))/gm,
  )) {
    const members = new Set<string>();
    const statics = new Set<string>();
    for (const [, isStatic, member = ""] of body.matchAll(
      /^ {2}(static )?(?:private )?(?:readonly )?(\w+|\[Symbol\.iterator\])(?=[?(:<])/gm,
    )) {
      if (member !== "constructor") (isStatic ? statics : members).add(member);
    }
    found.set(name, { members, statics });
  }
  return found;
}

const engine = new Set(["constructor", "name", "length", "prototype"]);

test("the globals that plugins compile against are those of the isolate, member by member", async () => {
  using isolate = await openTestIsolate();
  const actual = (await isolate.run(`
    const own = (o) => Reflect.ownKeys(o).filter((k) => k !== Symbol.toStringTag).map((k) => k === Symbol.iterator ? "[Symbol.iterator]" : String(k));
    const chain = (o) => o === null || o === Object.prototype || o === Error.prototype || o === Function.prototype ? [] : [...own(o), ...chain(Object.getPrototypeOf(o))];
    const bare = new Set(${JSON.stringify(Object.getOwnPropertyNames(globalThis))});
    const result = {};
    for (const name of Object.getOwnPropertyNames(globalThis)) {
      const value = globalThis[name];
      result[name] = typeof value === "function"
        ? { members: value.prototype ? chain(value.prototype) : [], statics: own(value) }
        : { members: typeof value === "object" && value !== null && name !== "self" ? own(value) : [], statics: [] };
    }
    result.Event.members.push("timeStamp");
    result.DOMException.members.push("code");
    return result;
  `)) as Record<string, { members: string[]; statics: string[] }>;
  const wanted = declared();
  assert.ok(wanted.size >= 30, "the declarations were read");
  for (const [name, { members, statics }] of wanted) {
    const found = actual[name];
    assert.ok(found, `${name} is declared but not there`);
    // Members of a class may be inherited in the declarations, so every declared one must be there, and not the reverse.
    for (const member of members)
      assert.ok(found.members.includes(member), `${name}.${member} is declared but not there`);
    for (const member of statics)
      assert.ok(found.statics.includes(member), `${name}.${member} is declared but not there`);
    const inherited = ["File", "CustomEvent", "AbortSignal", "DOMException"].includes(name);
    if (inherited || name === "self") continue;
    const extra = found.members.filter(
      (member) => !members.has(member) && !engine.has(member) && !/^[A-Z_]+$/.test(member),
    );
    assert.deepEqual(extra, [], `${name} has members that are not declared`);
  }
});

test("what the web layer adds to the global scope is declared, and nothing else is added", async () => {
  using isolate = await openTestIsolate();
  const names = (await isolate.run(`return Object.getOwnPropertyNames(globalThis)`)) as string[];
  const wanted = declared();
  const ecmaScript =
    /^(Object|Function|Array|Number|parse(Float|Int)|Infinity|NaN|undefined|Boolean|String|Symbol|Date|Promise|RegExp|\w*Error|JSON|Math|Intl|\w*Array|\w*ArrayBuffer|DataView|Map|Set|BigInt|WeakMap|WeakSet|WeakRef|Proxy|Reflect|FinalizationRegistry|Iterator|globalThis|(en|de)codeURI(Component)?|escape|unescape|eval|is(Finite|NaN)|\w*DisposableStack)$/;
  const testOnly = /^(entries|__\w+)$/;
  assert.deepEqual(
    names.filter((name) => !wanted.has(name) && !ecmaScript.test(name) && !testOnly.test(name)),
    [],
  );
});

test("every code that authors are told of is a code of the hub", () => {
  for (const code of authorErrorCodes) assert.ok(code in errorTable, code);
});
