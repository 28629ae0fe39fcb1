/** How the connections of each plugin stand, in the memory of every node: for what must not wait for the database. */
import { asOrganizationId, asPluginId, type OrganizationId, type PluginId } from "../base/brands.ts";
import type { Installation } from "../installations/installations.ts";
import type { Store, Tx } from "../store/store.ts";
import { type ConnectionRow, type ConnectionStatus, readRows } from "./connection-rows.ts";
import { declaredConnections } from "./declared.ts";

export interface Standings extends Disposable {
  /** Why the plugin cannot work fully. */
  readiness(installation: Installation): string | undefined;
  /** Called on every node after connections of a plugin changed. */
  onChange(listener: (change: ConnectionChange) => void): Disposable;
}

export interface ConnectionChange {
  organization: OrganizationId;
  plugin: PluginId;
}

export interface StandingsOptions {
  store: Store;
  log: { warn(details: object, message: string): void };
  /** Before rows are read again: of this installation, or of all when wake-ups may have been lost. */
  onHeard(installation?: string): void;
}

interface Standing {
  installation: string;
  status: ConnectionStatus;
  reason: string;
}

const columns = ["organization_id", "plugin_id", "name", "installation_id", "status", "last_error"] as const;
type StandingRow = Pick<ConnectionRow, (typeof columns)[number]>;

const channel = "connections";

/** Tells every node once `tx` has committed. */
export async function announceConnections(
  store: Store,
  tx: Tx,
  { organization, plugin, id }: Installation,
): Promise<void> {
  await store.notify(tx, channel, JSON.stringify([organization, plugin, id]));
}

/** Reads which connections there are. */
export async function openStandings({ store, log, onHeard }: StandingsOptions): Promise<Standings> {
  const listeners = new Set<(change: ConnectionChange) => void>();
  const standing = new Map<string, Map<string, Standing>>();
  /** Reads of one plugin's rows so far: an older one that ends late changes nothing. */
  let reads = 0;
  const latest = new Map<string, number>();

  const note = (rows: readonly StandingRow[]): void => {
    for (const row of rows) {
      const slot = slotOf(row.organization_id, row.plugin_id);
      const of = standing.get(slot) ?? new Map<string, Standing>();
      of.set(row.name, { installation: row.installation_id, status: row.status, reason: row.last_error ?? "" });
      standing.set(slot, of);
    }
  };
  const readAll = (): Promise<StandingRow[]> => store.db.selectFrom("connections").select(columns).execute();

  const heard = async (payload: string): Promise<void> => {
    if (payload === "") {
      onHeard();
      const rows = await readAll();
      standing.clear();
      note(rows);
      return;
    }
    const [organization, plugin, id] = JSON.parse(payload) as [string, string, string];
    onHeard(id);
    const key = { organization: asOrganizationId(organization), plugin: asPluginId(plugin) };
    const slot = slotOf(organization, plugin);
    const read = ++reads;
    latest.set(slot, read);
    const rows = await readRows(store.db, key);
    if (latest.get(slot) !== read) return;
    latest.delete(slot);
    standing.delete(slot);
    note(rows);
    for (const listener of listeners) listener(key);
  };

  const listening = await store.listen(channel, (payload) => {
    heard(payload).catch((error: unknown) => log.warn({ err: error }, "connections could not be read"));
  });
  note(await readAll());

  return {
    readiness({ organization, plugin, id, manifest }) {
      const of = standing.get(slotOf(organization, plugin));
      const names = declaredConnections(manifest).map(([name]) => name);
      const states = names.map((name) => {
        const found = of?.get(name);
        return found?.installation === id ? found : undefined;
      });
      const lost = states.findIndex((state) => state?.status === "needs_reconnect");
      if (lost >= 0)
        return `connection '${names[lost]}' must be connected again: ${states[lost]!.reason}`.slice(0, 500);
      // Several may stand for each other: a person's account, or the client's own.
      if (names.length === 0 || states.some((state) => state?.status === "connected")) return undefined;
      return `connection '${names.join("' or '")}' is not connected`;
    },
    onChange(listener) {
      listeners.add(listener);
      return { [Symbol.dispose]: () => void listeners.delete(listener) };
    },
    [Symbol.dispose]: () => listening[Symbol.dispose](),
  };
}

const slotOf = (organization: string, plugin: string): string => `${organization}\0${plugin}`;
