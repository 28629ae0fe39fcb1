/** After a change of the master key: seals the tokens of all connections anew. One short transaction for each. */
import { sql } from "kysely";
import type { Audit } from "../audit/audit.ts";
import { BackplaneError } from "../errors/error.ts";
import { connectionBinding } from "../secrets/installation-secrets.ts";
import type { SealedBy, Vault } from "../secrets/vault.ts";
import type { Store } from "../store/store.ts";

export interface TokenResealing {
  /** How many were sealed anew. */
  run(signal?: AbortSignal): Promise<number>;
  count(): Promise<Record<SealedBy, number>>;
}

interface Key {
  organization_id: string;
  plugin_id: string;
  name: string;
}

const pageSize = 200;

export function createTokenResealing({
  store,
  audit,
  vault,
}: {
  store: Store;
  audit: Audit;
  vault: Vault;
}): TokenResealing {
  async function* all(): AsyncGenerator<Key & { by: SealedBy }> {
    for (let after: Key = { organization_id: "", plugin_id: "", name: "" }; ; ) {
      const rows = await store.db
        .selectFrom("connections")
        .select(["organization_id", "plugin_id", "name", "sealed"])
        .where(
          sql<boolean>`(organization_id, plugin_id, name) > (${after.organization_id}, ${after.plugin_id}, ${after.name})`,
        )
        .where("sealed", "is not", null)
        .orderBy("organization_id")
        .orderBy("plugin_id")
        .orderBy("name")
        .limit(pageSize)
        .execute();
      for (const { sealed, ...key } of rows) yield { ...key, by: vault.sealedBy(sealed!) };
      const last = rows.at(-1);
      if (!last || rows.length < pageSize) return;
      after = last;
    }
  }

  /** The tokens stay what they are, so their generation does too: a refresh under way is not disturbed. */
  const reseal = ({ organization_id, plugin_id, name }: Key): Promise<boolean> =>
    store.transaction(async (tx) => {
      const row = await tx
        .selectFrom("connections")
        .select(["sealed", "installation_id"])
        .where("organization_id", "=", organization_id)
        .where("plugin_id", "=", plugin_id)
        .where("name", "=", name)
        .forUpdate()
        .executeTakeFirst();
      if (row?.sealed == null || vault.sealedBy(row.sealed) !== "former") return false;
      const binding = connectionBinding({ organization: organization_id, installation: row.installation_id }, name);
      const sealed = await vault.rotate(binding, row.sealed).catch((error: unknown) => {
        if (error instanceof BackplaneError && error.code === "secret_unreadable") return undefined;
        throw error;
      });
      if (sealed === undefined) return false;
      await tx
        .updateTable("connections")
        .set({ sealed })
        .where("organization_id", "=", organization_id)
        .where("plugin_id", "=", plugin_id)
        .where("name", "=", name)
        .execute();
      await audit.record(tx, {
        organization: organization_id,
        actor: "system",
        action: "connection.resealed",
        target: plugin_id,
        details: { connection: name, key: vault.keyId },
      });
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
