/** Takes named fields out of a JSON answer and into the hub's keeping, before the plugin sees it: a handle stands in their place. */
import { z } from "zod";
import { isObject } from "../base/json.ts";
import type { EgressResponse } from "../egress/egress.ts";
import { BackplaneError } from "../errors/error.ts";
import type { Installation } from "../installations/installations.ts";
import { assertKeepable, type KeptSecrets } from "../secrets/kept-secrets.ts";
import { createRedactor } from "../secrets/redactor.ts";
import { requirePermission } from "./ability.ts";
import type { CallContext } from "./call-context.ts";

const maxFields = 8;

export const keptName = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/);

/** Where in the answer, `data.access_token`, and the name it is kept under. */
export const sealSchema = z
  .record(z.string().regex(/^[A-Za-z0-9_-]{1,64}(?:\.[A-Za-z0-9_-]{1,64}){0,7}$/), keptName)
  .refine((fields) => Object.keys(fields).length <= maxFields, `at most ${maxFields} fields`)
  .refine((fields) => new Set(Object.values(fields)).size === Object.keys(fields).length, "each name once");

export type Seal = z.infer<typeof sealSchema>;

/** Errors: `permission_denied`, `ability_restricted` in a pure call. */
export function assertMaySeal(context: CallContext): void {
  requirePermission(context, "secrets:keep");
  if (context.restriction?.kind === "pure")
    throw new BackplaneError("ability_restricted", {
      plugin: context.installation.plugin,
      ability: "http.fetch",
      reason: "conditions and variables only look, so they keep no secrets",
    });
}

interface Sealing {
  seal: Seal;
  installation: Installation;
  kept: KeptSecrets;
}

/** An answer that is no success is given as it is. Errors: `secret_misused` when a success has not the fields, `limit_exceeded`. */
export async function sealAnswer(
  answer: EgressResponse,
  { seal, installation, kept }: Sealing,
): Promise<EgressResponse> {
  if (answer.status < 200 || answer.status > 299) return answer;
  const { hostname: host } = new URL(answer.url);
  const parsed = parse(answer.body);
  const found = Object.entries(seal).map(([path, name]) => {
    const value = valueAt(parsed, path);
    assertKeepable(name, value);
    return { name, value };
  });
  const handles = new Map<string, string>();
  for (const { name, value } of found) handles.set(name, await kept.keep(installation, { name, value, host }));
  const redactor = createRedactor(
    found.map(({ name, value }) => ({ field: name, value })),
    { replacement: (name) => handles.get(name) ?? "" },
  );
  return {
    ...answer,
    statusText: redactor.text(answer.statusText),
    headers: answer.headers.map(([name, value]) => [name, redactor.text(value)]),
    // Written anew: a value spelled with escapes would stay in the bytes.
    body: new TextEncoder().encode(JSON.stringify(redactor.value(parsed))),
  };
}

function parse(body: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(body).toString("utf8"));
  } catch {
    return undefined;
  }
}

function valueAt(answer: unknown, path: string): unknown {
  let place = answer;
  for (const part of path.split(".")) place = isObject(place) && Object.hasOwn(place, part) ? place[part] : undefined;
  return place;
}
