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
 * The events of a range with their `position`, oldest first, each found by one search by key. Which rows hold them is settled before a
 * row is opened: left to itself the planner opens all to the end of the log and sorts. The first row may begin before the range.
 */
export function eventsInOrder({ organization, after, where, columns, limit }: LogRange): RawBuilder<unknown> {
  const size = sql`p.last - p.first + 1`;
  return sql`select e.*, place.position from (
      select u.id, p.first + u.nth - 1 as position from (
        select p.*, sum(${size}) over (order by p.last) - (${size}) - first_value(${size}) over (order by p.last) as before from (
          select p.first, p.last, p.ids from event_positions p
          where p.organization_id = ${organization} and p.last > ${after} ${where === undefined ? sql`` : sql`and ${where}`}
          order by p.last limit ${limit}
        ) p
      ) p cross join lateral unnest(p.ids) with ordinality as u(id, nth)
      where p.before < ${limit} and p.first + u.nth - 1 > ${after} order by position limit ${limit}
    ) place
    cross join lateral (select ${columns} from events where organization_id = ${organization} and id = place.id limit 1) e
    order by place.position`;
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
