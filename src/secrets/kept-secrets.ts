/**
 * Secrets that a service's answer brought, such as the token of an exchange: sealed before the plugin sees the answer, named by
 * a handle from then on, and bound to the host they came from. Values are read into memory once, and again after a change on any node.
 */
import { BackplaneError } from "../errors/error.ts";
import type { Store, Tx } from "../store/store.ts";
import type { KnownSecret } from "./fill.ts";
import { misused } from "./fill.ts";
import { handlesFor } from "./handle.ts";
import { createRedactor, type Redactor } from "./redactor.ts";
import type { SecretBinding, Vault } from "./vault.ts";

/** The installation they belong to. */
export interface SecretOwner {
  organization: string;
  plugin: string;
  id: string;
}

export interface KeptSecret {
  name: string;
  /** The one host it may go to. */
  host: string;
  createdAt: Date;
}

export interface OpenedKept {
  /** Error: `secret_unreadable`. Undefined: it names none of these. */
  lookUp(handle: string): KnownSecret | undefined;
  /** Puts handles in the place of values that came or may go to `host`. */
  redactorFor(host: string): Redactor;
  readonly all: readonly KeptSecret[];
}

export interface KeptSecrets extends Disposable {
  /** Seals a value under a name of the owner's, in place of a former one, and gives its handle. Errors: `limit_exceeded`, `not_found`. */
  keep(owner: SecretOwner, secret: { name: string; value: string; host: string }): Promise<string>;
  /** False when there is none. */
  forget(owner: SecretOwner, name: string): Promise<boolean>;
  of(owner: SecretOwner): Promise<OpenedKept>;
}

export interface KeptSecretsOptions {
  store: Store;
  vault: Vault;
  /** Written with the change, in its transaction. */
  record(
    tx: Tx,
    owner: SecretOwner,
    action: "kept" | "forgotten",
    details: { name: string; host?: string },
  ): Promise<void>;
}

/** Of one installation: each costs memory, and a search through answers of its host. */
export const maxKept = 100;
/** A shorter text is in every answer. Bytes. */
export const minKeptBytes = 8;
export const maxKeptBytes = 8_192;
const channel = "kept_secrets";
const maxOwners = 2_000;

/** No config field is spelled like it. */
export const keptBinding = (
  { organization, id }: Pick<SecretOwner, "organization" | "id">,
  name: string,
): SecretBinding => ({ organization, installation: id, field: `~kept.${name}` });

export async function createKeptSecrets({ store, vault, record }: KeptSecretsOptions): Promise<KeptSecrets> {
  const known = new Map<string, Promise<OpenedKept>>();
  const listening = await store.listen(channel, (id) => {
    if (id === "") known.clear();
    else known.delete(id);
  });

  const change = async <T>(owner: SecretOwner, work: (tx: Tx) => Promise<T>): Promise<T> => {
    const done = await store.transaction(async (tx) => {
      const result = await work(tx);
      await store.notify(tx, channel, owner.id);
      return result;
    });
    known.delete(owner.id);
    return done;
  };

  /** The installation as it is, for the length of the transaction: changes of one follow each other. Error: `not_found`. */
  const lock = async (tx: Tx, { organization, plugin, id }: SecretOwner): Promise<void> => {
    const row = await tx
      .selectFrom("installations")
      .select("id")
      .where("organization_id", "=", organization)
      .where("plugin_id", "=", plugin)
      .forUpdate()
      .executeTakeFirst();
    if (row?.id !== id) throw new BackplaneError("not_found", { thing: "installation" });
  };

  const read = async (owner: SecretOwner): Promise<OpenedKept> => {
    const rows = await store.db
      .selectFrom("kept_secrets")
      .selectAll()
      .where("organization_id", "=", owner.organization)
      .where("plugin_id", "=", owner.plugin)
      .where("installation_id", "=", owner.id)
      .orderBy("name")
      .execute();
    const opened = await Promise.all(
      rows.map(async ({ name, sealed, created_at: createdAt }) => {
        const binding = keptBinding(owner, name);
        const handles = handlesFor(vault, binding, name);
        try {
          const { value, hosts } = await vault.open(binding, sealed);
          return { name, handles, value, host: hosts[0] ?? "", createdAt, failure: undefined };
        } catch (failure) {
          return { name, handles, value: "", host: "", createdAt, failure };
        }
      }),
    );
    return openedKept(opened);
  };

  return {
    async keep(owner, { name, value, host }) {
      const binding = keptBinding(owner, name);
      const sealed = await vault.seal(binding, value, { hosts: [host], expose: false });
      await change(owner, async (tx) => {
        await lock(tx, owner);
        await tx
          .insertInto("kept_secrets")
          .values({
            organization_id: owner.organization,
            plugin_id: owner.plugin,
            name,
            installation_id: owner.id,
            sealed,
          })
          .onConflict((conflict) =>
            conflict.columns(["organization_id", "plugin_id", "name"]).doUpdateSet({ sealed, created_at: new Date() }),
          )
          .execute();
        const { count } = await tx
          .selectFrom("kept_secrets")
          .select(({ fn }) => fn.countAll<number>().as("count"))
          .where("organization_id", "=", owner.organization)
          .where("plugin_id", "=", owner.plugin)
          .executeTakeFirstOrThrow();
        if (Number(count) > maxKept)
          throw new BackplaneError("limit_exceeded", { plugin: owner.plugin, what: `${maxKept} kept secrets` });
        await record(tx, owner, "kept", { name, host });
      });
      return handlesFor(vault, binding, name)[0]!;
    },
    forget: (owner, name) =>
      change(owner, async (tx) => {
        const { numDeletedRows } = await tx
          .deleteFrom("kept_secrets")
          .where("organization_id", "=", owner.organization)
          .where("plugin_id", "=", owner.plugin)
          .where("installation_id", "=", owner.id)
          .where("name", "=", name)
          .executeTakeFirst();
        if (numDeletedRows === 0n) return false;
        await record(tx, owner, "forgotten", { name });
        return true;
      }),
    of(owner) {
      const there = known.get(owner.id);
      if (there) return there;
      if (known.size >= maxOwners) known.delete(known.keys().next().value!);
      const reading = read(owner);
      known.set(owner.id, reading);
      reading.catch(() => known.delete(owner.id));
      return reading;
    },
    [Symbol.dispose]: () => listening[Symbol.dispose](),
  };
}

interface Opened extends KeptSecret {
  handles: string[];
  value: string;
  failure: unknown;
}

function openedKept(all: readonly Opened[]): OpenedKept {
  const byHandle = new Map(all.flatMap((one) => one.handles.map((handle) => [handle, one] as const)));
  const redactors = new Map<string, Redactor>();
  return {
    all,
    lookUp(handle) {
      const found = byHandle.get(handle);
      if (!found) return undefined;
      if (found.failure !== undefined) throw found.failure;
      return { field: found.name, hosts: [found.host], pendingHosts: [], value: found.value, keptFrom: found.host };
    },
    redactorFor(host) {
      const there = redactors.get(host);
      if (there) return there;
      // It can only ever have been sent to its own host.
      const own = all.filter((one) => one.host === host && one.failure === undefined);
      const handles = new Map(own.map(({ name, handles: [first] }) => [name, first!]));
      const redactor = createRedactor(
        own.map(({ name, value }) => ({ field: name, value })),
        { replacement: (name) => handles.get(name) ?? "" },
      );
      if (redactors.size < 20) redactors.set(host, redactor);
      return redactor;
    },
  };
}

/** Error: `secret_misused`, for a value that cannot be kept. */
export function assertKeepable(name: string, value: unknown): asserts value is string {
  if (typeof value !== "string") throw misused(name, "the answer has no text where the secret was expected");
  const bytes = Buffer.byteLength(value);
  if (bytes < minKeptBytes || bytes > maxKeptBytes)
    throw misused(name, `it has ${bytes} bytes, and kept secrets have ${minKeptBytes} to ${maxKeptBytes}`);
}
