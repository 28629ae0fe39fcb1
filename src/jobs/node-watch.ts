/**
 * Which hubs are alive: each writes a heartbeat, and whoever first sees that one has stopped removes it and tells every node,
 * so that leases and executions of the lost one are taken over at once instead of when they lapse.
 */
import { sql } from "kysely";
import type { Store } from "../store/store.ts";
import type { Jobs } from "./jobs.ts";

export interface NodeRecord {
  id: string;
  url: string;
  startedAt: Date;
  heartbeatAt: Date;
}

export interface NodeWatch {
  start(): Promise<void>;
  /** Signs off: the others take this for a leave, not a loss. */
  stop(): Promise<void>;
  list(): Promise<NodeRecord[]>;
  /** `listener` hears of each lost node, on every node; what it does must be safe to do twice. */
  onNodeLost(listener: (nodeId: string) => Promise<void> | void): Disposable;
}

export interface NodeWatchOptions {
  store: Store;
  jobs: Jobs;
  /** Unique per process start. */
  nodeId: string;
  url: string;
  log: { error(details: object, message: string): void };
  /** @default 5000 */
  heartbeatMs?: number;
  /** Silence after which a node is lost. @default 20000 */
  lostAfterMs?: number;
}

const lostChannel = "hub_node_lost";

export function createNodeWatch({
  store,
  jobs,
  nodeId,
  url,
  log,
  heartbeatMs = 5000,
  lostAfterMs = 20_000,
}: NodeWatchOptions): NodeWatch {
  const listeners = new Set<(nodeId: string) => Promise<void> | void>();
  const plans: Disposable[] = [];

  // A node that was slow and thought lost writes itself back.
  const beat = (): Promise<unknown> =>
    sql`insert into hub_nodes (id, url) values (${nodeId}, ${url}) on conflict (id) do update set heartbeat_at = now()`.execute(
      store.db,
    );

  async function sweep(): Promise<void> {
    await store.transaction(async (tx) => {
      const lost = await sql<{ id: string }>`delete from hub_nodes
        where id <> ${nodeId} and heartbeat_at < now() - ${lostAfterMs}::float8 * interval '1 millisecond' returning id`.execute(
        tx,
      );
      for (const { id } of lost.rows) await store.notify(tx, lostChannel, id);
    });
  }

  async function tell(lost: string): Promise<void> {
    for (const listener of listeners) {
      try {
        await listener(lost);
      } catch (error) {
        log.error({ err: error, node: lost }, "taking over from a lost node failed; leases lapse by themselves");
      }
    }
  }

  return {
    async start() {
      await beat();
      plans.push(await store.listen(lostChannel, (lost) => void tell(lost)));
      plans.push(jobs.every(`heartbeat:${nodeId}`, heartbeatMs, beat, { everyNode: true }));
      plans.push(jobs.every("lost-nodes", heartbeatMs, sweep));
    },
    async stop() {
      for (const plan of plans.splice(0)) plan[Symbol.dispose]();
      await sql`delete from hub_nodes where id = ${nodeId}`.execute(store.db);
    },
    async list() {
      const { rows } =
        await sql<NodeRecord>`select id, url, started_at as "startedAt", heartbeat_at as "heartbeatAt" from hub_nodes order by id`.execute(
          store.db,
        );
      return rows;
    },
    onNodeLost(listener) {
      listeners.add(listener);
      return {
        [Symbol.dispose]() {
          listeners.delete(listener);
        },
      };
    },
  };
}
