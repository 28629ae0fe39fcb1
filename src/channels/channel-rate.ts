/**
 * How fast messages go out over one channel of an organisation, over all nodes: one row holds when the next one may go, and whoever
 * takes a turn moves it on by one interval. A service that says "too many" holds the whole channel until it may be asked again.
 */
import { sql } from "kysely";
import type { Store } from "../store/store.ts";

export interface ChannelRate {
  /**
   * Takes the next turn and gives the milliseconds until it comes. When it would come later than `withinMs`, no turn is taken and
   * `taken` is false: come again then.
   */
  take(turn: { organization: string; plugin: string; perSecond: number; withinMs: number }): Promise<{
    taken: boolean;
    waitMs: number;
  }>;
  /** Nobody's turn comes before `ms` from now. */
  hold(channel: { organization: string; plugin: string; ms: number }): Promise<void>;
}

export function createChannelRate({ store }: { store: Store }): ChannelRate {
  return {
    async take({ organization, plugin, perSecond, withinMs }) {
      const interval = sql`${1000 / perSecond}::float8 * interval '1 millisecond'`;
      // The clock is read under the row's lock: who waited for it must not take a turn of the past.
      const { rows } = await sql<{ wait_ms: number }>`
        insert into channel_rates as r (organization_id, plugin_id, next_at) values (${organization}, ${plugin}, clock_timestamp() + ${interval})
        on conflict (organization_id, plugin_id) do update set next_at = greatest(r.next_at, r.held_until, clock_timestamp()) + ${interval}
          where greatest(r.next_at, r.held_until) <= clock_timestamp() + ${withinMs}::float8 * interval '1 millisecond'
        returning extract(epoch from r.next_at - ${interval} - clock_timestamp())::float8 * 1000 as wait_ms`.execute(
        store.db,
      );
      if (rows[0]) return { taken: true, waitMs: Math.max(0, rows[0].wait_ms) };
      const row = await sql<{ wait_ms: number }>`
        select extract(epoch from greatest(next_at, held_until) - clock_timestamp())::float8 * 1000 as wait_ms from channel_rates
        where organization_id = ${organization} and plugin_id = ${plugin}`.execute(store.db);
      return { taken: false, waitMs: Math.max(0, row.rows[0]?.wait_ms ?? 0) };
    },
    async hold({ organization, plugin, ms }) {
      const until = sql`clock_timestamp() + ${ms}::float8 * interval '1 millisecond'`;
      await sql`
        insert into channel_rates as r (organization_id, plugin_id, next_at, held_until) values (${organization}, ${plugin}, clock_timestamp(), ${until})
        on conflict (organization_id, plugin_id) do update set held_until = greatest(r.held_until, excluded.held_until)`.execute(
        store.db,
      );
    },
  };
}
