/** Which names an expression may use where it stands, and what is known of their fields. */
import type { CelType } from "./types.ts";

export interface KnownType {
  type: CelType;
  /** All fields there are; absent when only the run knows. */
  fields?: ReadonlyMap<string, KnownType>;
  /** Fields that are known among others that are not. */
  some?: ReadonlyMap<string, KnownType>;
  /** A better sentence than "there is no such field". */
  noField?: (name: string) => string | undefined;
}

export interface CelEnvironment {
  roots: ReadonlyMap<string, KnownType>;
  /** Why a name that exists elsewhere cannot be used here. */
  absent: ReadonlyMap<string, string>;
}

export const dyn: KnownType = { type: "dyn" };
const text: KnownType = { type: "string" };

/** The envelope. `subject` and `traceparent` may be null. */
export const metaType: KnownType = {
  type: "map",
  fields: new Map([
    ["id", text],
    ["type", text],
    ["source", text],
    ["subject", dyn],
    ["time", text],
    ["organization", dyn],
    ["traceparent", dyn],
  ]),
};

export const ruleType: KnownType = {
  type: "map",
  fields: new Map([
    ["id", text],
    ["name", text],
  ]),
};

export const runType: KnownType = {
  type: "map",
  fields: new Map<string, KnownType>([
    ["id", text],
    ["startedAt", { type: "timestamp" }],
  ]),
};

export const nowType: KnownType = { type: "timestamp" };
