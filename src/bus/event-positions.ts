/**
 * The two narrow tables that keep the order of the log, so that the wide row of an event is written once: `event_arrivals` holds
 * what waits for its position, `event_positions` what has one. A row of either stands for a run of events: of one type, published by one
 * statement, one after the other. A batch of five hundred changes so costs a row and not five hundred.
 */
import { type RawBuilder, sql } from "kysely";
import type { Db, Tx } from "../store/store.ts";

/**
 * One more member of a `with` whose member `published` returns (organization_id, id, type) of the events it inserted, in their order:
 * puts them where the sequencer finds them.
 */
export const arrived = sql`arrived as (
  insert into event_arrivals (organization_id, type, count, ids)
  select organization_id, type, count(*), array_agg(id order by nth) from (
    select *, row_number() over (partition by organization_id, type order by nth) as nth_alike from (
      select *, row_number() over (partition by organization_id order by place) as nth from (
        select organization_id, id, type, row_number() over () as place from published
      ) placed
    ) numbered
  ) runs group by organization_id, type, nth - nth_alike order by min(nth)
)`;

export interface LogRange {
  organization: string;
  /** Only events past this position. */
  after: number;
  /** What else must hold of the row `p` of `event_positions`: it is judged before its events are read. */
  where?: RawBuilder<unknown> | undefined;
  /** Columns of the event `e`. */
  columns: RawBuilder<unknown>;
  limit: number;
}

/**
 * The events of a range with their `position`, oldest first. Each event is one search by key, and reading ends with the last one
 * wanted: rows come in the order of their index and need no sorting as a whole.
 */
export function eventsInOrder({ organization, after, where, columns, limit }: LogRange): RawBuilder<unknown> {
  return sql`select e.*, p.first + u.nth - 1 as position
    from event_positions p cross join lateral unnest(p.ids) with ordinality as u(id, nth)
    cross join lateral (select ${columns} from events where organization_id = ${organization} and id = u.id limit 1) e
    where p.organization_id = ${organization} and p.last > ${after} and p.first + u.nth - 1 > ${after}
      ${where === undefined ? sql`` : sql`and ${where}`}
    order by p.last, u.nth limit ${limit}`;
}

/** Whether events of the rows `p` are of a pattern: `*`, a type, or a prefix that ends in `.*`. */
export function ofPattern(pattern: string): RawBuilder<boolean> {
  if (pattern === "*") return sql`true`;
  return pattern.endsWith(".*") ? sql`starts_with(p.type, ${pattern.slice(0, -1)})` : sql`p.type = ${pattern}`;
}

/** Undefined when there is no such event, or when it waits for its position. */
export async function positionOfEvent(db: Db | Tx, organization: string, id: string): Promise<number | undefined> {
  const { rows } = await sql<{ position: number }>`
    select p.first + array_position(p.ids, e.id) - 1 as position from events e
    join event_positions p on p.organization_id = e.organization_id and p.accepted_at = e.accepted_at
      and p.type = e.type and e.id = any(p.ids)
    where e.organization_id = ${organization} and e.id = ${id}`.execute(db);
  return rows[0] && Number(rows[0].position);
}
