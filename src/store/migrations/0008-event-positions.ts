/**
 * Events are written once. What waits for its place in the log is a row of `event_arrivals`, one for each run of events of one type
 * that a statement published; the sequencer makes it a row of `event_positions`, whose `ids` have the positions `first` to `last`.
 * The position of one event is found by its type and time of acceptance, which are those of its row.
 */
import type { Migration } from "./migration.ts";

export const eventPositions: Migration = {
  id: 8,
  name: "event positions",
  sql: /* sql */ `
create table event_arrivals (
  seq bigserial primary key, organization_id text collate "C" not null, type text collate "C" not null, count int not null,
  ids text[] collate "C" not null, accepted_at timestamptz not null default now()
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
create table event_positions (
  organization_id text collate "C" not null, first bigint not null, last bigint not null, type text collate "C" not null,
  ids text[] collate "C" not null, accepted_at timestamptz not null,
  primary key (organization_id, last)
);
insert into event_positions (organization_id, first, last, type, ids, accepted_at)
  select organization_id, min(position), max(position), type, array_agg(id order by position), accepted_at
  from (
    select organization_id, id, type, position, accepted_at,
      row_number() over (partition by organization_id, type, accepted_at order by position) as nth
    from events where position is not null
  ) stamped
  group by organization_id, type, accepted_at, position - nth, (nth - 1) / 1000;
insert into event_arrivals (organization_id, type, count, ids, accepted_at)
  select organization_id, type, count(*), array_agg(id order by seq), accepted_at
  from (
    select organization_id, id, type, seq, accepted_at, row_number() over (partition by organization_id order by seq) as nth,
      row_number() over (partition by organization_id, type, accepted_at order by seq) as nth_alike
    from events where position is null
  ) waiting
  group by organization_id, type, accepted_at, nth - nth_alike, (nth_alike - 1) / 1000 order by min(seq);
create index event_positions_type on event_positions (organization_id, type, last);
create index event_positions_time on event_positions (organization_id, accepted_at);
drop index events_retention, events_unstamped;
alter table events drop column position;
`,
};
