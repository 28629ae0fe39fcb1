/** Secrets planted where a plugin must never see them, and the search for their bytes in all that came out. */
import { randomBytes } from "node:crypto";

export interface Canaries {
  /** By place: where each secret was planted. */
  readonly secrets: ReadonlyMap<string, string>;
  secret(place: string): string;
  /** Names the places whose secret is in `bytes`: as text, base64, hexadecimal or UTF-16. */
  search(bytes: Uint8Array | string): string[];
  remove(): void;
}

export function plantCanaries(): Canaries {
  const places = [
    "environment",
    "global",
    "canaryConfig",
    "canaryArguments",
    "innocentConfig",
    "innocentArguments",
    "hostContext",
  ];
  const secrets = new Map(places.map((place) => [place, `canary-${place}-${randomBytes(12).toString("hex")}`]));
  const needles = [...secrets].flatMap(([place, secret]) =>
    [secret, ...disguises(secret)].map((needle) => ({ place, needle })),
  );
  process.env["BACKPLANE_CANARY"] = secrets.get("environment")!;
  const holder = globalThis as Record<string, unknown>;
  holder["backplaneCanary"] = { secret: secrets.get("global") };
  return {
    secrets,
    secret: (place) => secrets.get(place) ?? fail(place),
    search(bytes) {
      const text = typeof bytes === "string" ? bytes : Buffer.from(bytes).toString("latin1");
      // What every secret shares comes first, so that the usual search ends early.
      return [...new Set(needles.filter(({ needle }) => text.includes(needle)).map(({ place }) => place))];
    },
    remove() {
      delete process.env["BACKPLANE_CANARY"];
      delete holder["backplaneCanary"];
    },
  };
}

function disguises(secret: string): string[] {
  const bytes = Buffer.from(secret);
  // The first 30 bytes: base64 of a part depends on where the part begins, so all three shifts are sought.
  const shifted = [0, 1, 2].map((shift) =>
    Buffer.concat([Buffer.alloc(shift), bytes])
      .toString("base64")
      .slice(shift === 0 ? 0 : 4, 40),
  );
  return [
    ...shifted,
    bytes.toString("hex"),
    Buffer.from(secret, "utf16le").toString("latin1"),
    [...secret].reverse().join(""),
  ];
}

function fail(place: string): never {
  throw new Error(`no canary was planted at ${place}`);
}
