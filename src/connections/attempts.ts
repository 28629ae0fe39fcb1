/** Authorisations under way: a person was sent to the service and has not come back yet. Each is good once, for ten minutes. */
import { createHash, randomBytes } from "node:crypto";
import { sql } from "kysely";
import { asOrganizationId, asPluginId } from "../base/brands.ts";
import { newId } from "../base/ids.ts";
import type { Installation, Installations } from "../installations/installations.ts";
import type { Vault } from "../secrets/vault.ts";
import type { Store, Tx } from "../store/store.ts";
import type { ConnectionContext } from "./connections.ts";
import { declaredConnections, type Servers } from "./declared.ts";

/** With the servers and hosts that the person who began it agreed to. */
export interface Attempt extends Servers {
  codeVerifier?: string;
  redirectUri: string;
  hosts: string[];
}

export interface TakenAttempt {
  installation: Installation;
  name: string;
  attempt: Attempt;
  context: ConnectionContext;
  redirectTo: string | null;
}

export interface BegunAttempt {
  attempt: Attempt;
  /** For the service to send back: nobody can guess it, and only its hash is stored. */
  state: string;
  expiresAt: Date;
  /** Puts it in place of the oldest where there are too many. */
  store(tx: Tx, by: { actor: string; redirectTo: string | undefined }): Promise<void>;
}

export interface Attempts {
  begin(installation: Installation, name: string, attempt: Attempt): Promise<BegunAttempt>;
  /** Single use: whoever deletes it has it. Undefined when there is none of this state, or its plugin is another by now. */
  take(state: unknown): Promise<TakenAttempt | undefined>;
  /** Those that nobody ended. */
  deleteExpired(): Promise<number>;
}

const lifeMinutes = 10;
/** Of one connection. */
const maxAttempts = 20;

export function createAttempts({
  store,
  vault,
  installations,
}: {
  store: Store;
  vault: Vault;
  installations: Installations;
}): Attempts {
  return {
    async begin(installation, name, attempt) {
      const { organization, plugin } = installation;
      const state = randomBytes(32).toString("base64url");
      const id = newId();
      const expiresAt = new Date(Date.now() + lifeMinutes * 60_000);
      const sealed = await vault.seal(bindingOf(installation, id), JSON.stringify(attempt), {
        hosts: [],
        expose: false,
      });
      return {
        attempt,
        state,
        expiresAt,
        async store(tx, { actor, redirectTo }) {
          await tx
            .insertInto("connection_attempts")
            .values({
              organization_id: organization,
              id,
              plugin_id: plugin,
              name,
              installation_id: installation.id,
              state_hash: hashOf(state),
              sealed,
              redirect_to: redirectTo ?? null,
              actor,
              expires_at: expiresAt,
            })
            .execute();
          // Ids rise with time: the newest stay.
          await sql`delete from connection_attempts where organization_id = ${organization} and id in (
            select id from connection_attempts
            where organization_id = ${organization} and plugin_id = ${plugin} and name = ${name}
            order by id desc offset ${maxAttempts})`.execute(tx);
        },
      };
    },
    async take(state) {
      if (typeof state !== "string" || !/^[A-Za-z0-9_-]{43}$/.test(state)) return undefined;
      const row = await store.db
        .deleteFrom("connection_attempts")
        .where("state_hash", "=", hashOf(state))
        .returningAll()
        .executeTakeFirst();
      if (row === undefined || row.expires_at.getTime() <= Date.now()) return undefined;
      const organization = asOrganizationId(row.organization_id);
      const installation = await installations.find(organization, asPluginId(row.plugin_id));
      if (installation?.id !== row.installation_id) return undefined;
      if (!declaredConnections(installation.manifest).some(([name]) => name === row.name)) return undefined;
      const opened = await vault.open(bindingOf(installation, row.id), row.sealed);
      return {
        installation,
        name: row.name,
        attempt: JSON.parse(opened.value) as Attempt,
        context: { organization, actor: row.actor },
        redirectTo: row.redirect_to,
      };
    },
    async deleteExpired() {
      const gone = await store.db
        .deleteFrom("connection_attempts")
        .where("expires_at", "<", new Date())
        .executeTakeFirst();
      return Number(gone.numDeletedRows);
    },
  };
}

const hashOf = (state: string): string => createHash("sha256").update(state).digest("hex");

const bindingOf = ({ organization, id }: Installation, attempt: string) => ({
  organization,
  installation: id,
  field: `~attempt.${attempt}`,
});
