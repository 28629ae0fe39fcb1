/** After a change of the master key: seals kept secrets anew. One short transaction for each. */
import { sql } from "kysely";
import { BackplaneError } from "../errors/error.ts";
import type { Store, Tx } from "../store/store.ts";
import { keptBinding } from "./kept-secrets.ts";
import type { SealedBy, Vault } from "./vault.ts";

export interface KeptResealing {
  /** How many were sealed anew. */
  run(signal?: AbortSignal): Promise<number>;
  count(): Promise<Record<SealedBy, number>>;
}

interface Key {
  organization_id: string;
  plugin_id: string;
  name: string;
}

export interface KeptResealingOptions {
  store: Store;
  vault: Vault;
  /** Written with the change, in its transaction. */
  record(tx: Tx, secret: { organization: string; plugin: string; name: string }): Promise<void>;
}

const pageSize = 200;

export function createKeptResealing({ store, vault, record }: KeptResealingOptions): KeptResealing {
  async function* all(): AsyncGenerator<Key & { by: SealedBy }> {
    for (let after: Key = { organization_id: "", plugin_id: "", name: "" }; ; ) {
      const rows = await store.db
        .selectFrom("kept_secrets")
        .select(["organization_id", "plugin_id", "name", "sealed"])
        .where(
          sql<boolean>`(organization_id, plugin_id, name) > (${after.organization_id}, ${after.plugin_id}, ${after.name})`,
        )
        .orderBy("organization_id")
        .orderBy("plugin_id")
        .orderBy("name")
        .limit(pageSize)
        .execute();
      for (const { sealed, ...key } of rows) yield { ...key, by: vault.sealedBy(sealed) };
      const last = rows.at(-1);
      if (!last || rows.length < pageSize) return;
      after = last;
    }
  }

  const reseal = ({ organization_id, plugin_id, name }: Key): Promise<boolean> =>
    store.transaction(async (tx) => {
      const row = await tx
        .selectFrom("kept_secrets")
        .select(["sealed", "installation_id"])
        .where("organization_id", "=", organization_id)
        .where("plugin_id", "=", plugin_id)
        .where("name", "=", name)
        .forUpdate()
        .executeTakeFirst();
      if (!row || vault.sealedBy(row.sealed) !== "former") return false;
      const binding = keptBinding({ organization: organization_id, id: row.installation_id }, name);
      const sealed = await vault.rotate(binding, row.sealed).catch((error: unknown) => {
        if (error instanceof BackplaneError && error.code === "secret_unreadable") return undefined;
        throw error;
      });
      if (sealed === undefined) return false;
      await tx
        .updateTable("kept_secrets")
        .set({ sealed })
        .where("organization_id", "=", organization_id)
        .where("plugin_id", "=", plugin_id)
        .where("name", "=", name)
        .execute();
      await record(tx, { organization: organization_id, plugin: plugin_id, name });
      return true;
    });

  return {
    async run(signal) {
      let total = 0;
      for await (const { by, ...key } of all()) {
        if (signal?.aborted) break;
        if (by === "former" && (await reseal(key))) total += 1;
      }
      return total;
    },
    async count() {
      const total: Record<SealedBy, number> = { current: 0, former: 0, unknown: 0 };
      for await (const { by } of all()) total[by] += 1;
      return total;
    },
  };
}
