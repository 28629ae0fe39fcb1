/** Config given as a list of fields (`[{key, type, label, required}]`) becomes a JSON Schema: MLEbotics and Made Open's SDK. */
import { isObject } from "../../base/json.ts";
import { didYouMean } from "../near-miss.ts";
import { clip, type Fault, type Segment } from "../path.ts";

export interface ConfigList {
  schema: Record<string, unknown>;
  /** Canonical path below `configSchema` → path below `config`. */
  origins: [readonly Segment[], readonly Segment[]][];
  faults: Fault[];
}

const types: Record<string, string> = {
  string: "string",
  text: "string",
  url: "string",
  email: "string",
  password: "string",
  secret: "string",
  select: "string",
  number: "number",
  integer: "integer",
  boolean: "boolean",
};
const known = [
  "key",
  "name",
  "id",
  "type",
  "label",
  "description",
  "required",
  "default",
  "options",
  "enum",
  "placeholder",
  "secret",
  "hosts",
];

/**
 * These dialects cannot mark a secret, so a text field whose key says that it is one (`token`, `botToken`, `clientSecret`,
 * `password`, `apiKey`, `privateKey`) is sealed. It is bound to no host: the plugin must be republished with a canonical
 * manifest that names `hosts` before the hub sends the value anywhere.
 */
export function readConfigList(list: readonly unknown[]): ConfigList {
  const properties: Record<string, unknown> = {};
  const required: string[] = [];
  const origins: ConfigList["origins"] = [];
  const faults: Fault[] = [];
  for (const [i, item] of list.entries()) {
    if (!isObject(item)) {
      faults.push({
        path: ["config", i],
        message: 'A field of the configuration is an object; write `{"key": "channel", "type": "string"}`.',
      });
      continue;
    }
    const keyName = ["key", "name", "id"].find((name) => typeof item[name] === "string");
    const key = keyName === undefined ? undefined : String(item[keyName]);
    for (const name of Object.keys(item)) {
      if (!known.includes(name))
        faults.push({
          path: ["config", i, name],
          at: "key",
          message: `\`${clip(name)}\` is not a known part of a field.${didYouMean(name, known)}`,
        });
    }
    if (key === undefined || !/^[A-Za-z_][A-Za-z0-9_.-]{0,63}$/.test(key) || key in Object.prototype) {
      faults.push({
        path: ["config", i, ...(keyName === undefined ? [] : [keyName])],
        message: "A field needs a `key` of letters, digits, `_`, `.` and `-`, beginning with a letter.",
      });
      continue;
    }
    if (Object.hasOwn(properties, key))
      faults.push({ path: ["config", i, keyName!], message: `\`${key}\` appears twice; rename one.` });
    const type = item["type"] === undefined ? "string" : String(item["type"]);
    if (!Object.hasOwn(types, type))
      faults.push({
        path: ["config", i, "type"],
        message: `\`${clip(type)}\` is not a type of field; write \`string\`, \`number\`, \`integer\` or \`boolean\`.${didYouMean(type, Object.keys(types))}`,
      });
    if (item["required"] !== undefined && typeof item["required"] !== "boolean")
      faults.push({ path: ["config", i, "required"], message: "It must be true or false." });
    properties[key] = fieldSchema(key, type, item);
    if (item["required"] === true) required.push(key);
    origins.push([
      ["configSchema", "properties", key],
      ["config", i],
    ]);
  }
  return { schema: { type: "object", properties, required, additionalProperties: false }, origins, faults };
}

function fieldSchema(key: string, type: string, item: Record<string, unknown>): Record<string, unknown> {
  const schema: Record<string, unknown> = { type: Object.hasOwn(types, type) ? types[type] : "string" };
  const secret = type === "secret" || type === "password" || item["secret"] === true || looksSecret(key);
  if (schema["type"] === "string" && secret) {
    schema["format"] = "secret";
    schema["hosts"] = Array.isArray(item["hosts"]) ? item["hosts"] : [];
  }
  if (typeof item["label"] === "string") schema["title"] = item["label"];
  for (const name of ["description", "default", "placeholder"]) if (item[name] !== undefined) schema[name] = item[name];
  const options = item["enum"] ?? item["options"];
  if (Array.isArray(options) && options.length > 0)
    schema["enum"] = options.map((option) => (isObject(option) && "value" in option ? option["value"] : option));
  // An empty text does not count as given; secrets are checked before they are sealed.
  if (item["required"] === true && schema["type"] === "string") schema["minLength"] = 1;
  return schema;
}

export function looksSecret(key: string): boolean {
  return /(token|secret|password|passwd|api_?key|private_?key|access_?key)$/i.test(key.replaceAll("-", "_"));
}
