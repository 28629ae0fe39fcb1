/** Rules with their versions, when and how they are set off, their runs step by step, and replays of drafts. */
import type { Migration } from "./migration.ts";

export const rules: Migration = {
  id: 7,
  name: "rules",
  sql: /* sql */ `
create table rule_sets (
  organization_id text collate "C" primary key references organizations(id) on delete cascade, revision bigint not null default 0
);
create table rules (
  organization_id text collate "C" not null references organizations(id) on delete cascade, id text collate "C" not null,
  name text not null, description text, version int not null, enabled boolean not null, enabled_at timestamptz, source text not null,
  patterns jsonb not null default '[]', created_by text not null, updated_by text not null,
  created_at timestamptz not null default now(), updated_at timestamptz not null default now(),
  primary key (organization_id, id)
);
create table rule_versions (
  organization_id text collate "C" not null, rule_id text collate "C" not null, version int not null, source text not null,
  actor text not null, reason text, created_at timestamptz not null default now(),
  primary key (organization_id, rule_id, version),
  foreign key (organization_id, rule_id) references rules(organization_id, id) on delete cascade
);
create table rule_schedules (
  organization_id text collate "C" not null, rule_id text collate "C" not null, n int not null, cron text not null, timezone text,
  next_at timestamptz not null,
  primary key (organization_id, rule_id, n),
  foreign key (organization_id, rule_id) references rules(organization_id, id) on delete cascade
);
create index rule_schedules_due on rule_schedules (next_at);
create table rule_hooks (
  organization_id text collate "C" not null, rule_id text collate "C" not null, name text not null, token text collate "C" not null,
  primary key (organization_id, rule_id, name),
  unique (organization_id, token),
  foreign key (organization_id, rule_id) references rules(organization_id, id) on delete cascade
);

create table rule_runs (
  organization_id text collate "C" not null references organizations(id) on delete cascade, id text collate "C" not null,
  rule_id text collate "C" not null, rule_name text not null, rule_version int not null, mode text not null,
  status text not null check (status in ('queued','running','succeeded','failed','cancelled','skipped')), reason text,
  trigger text not null check (trigger in ('event','cron','webhook','manual')), event_id text collate "C", event jsonb,
  depth int not null default 0, trace_id text not null, span_id text not null, actor text not null,
  slot int, turn int not null default 0, throttle_key text, acted_at timestamptz,
  variables jsonb, trace jsonb, error jsonb, steps_total int not null default 0, steps_done int not null default 0,
  created_at timestamptz not null default now(), started_at timestamptz, ended_at timestamptz,
  primary key (organization_id, id)
);
create unique index rule_runs_event on rule_runs (organization_id, rule_id, event_id) where event_id is not null;
create index rule_runs_rule on rule_runs (organization_id, rule_id, id desc);
create index rule_runs_open on rule_runs (organization_id, rule_id) where status in ('queued','running');
create index rule_runs_acted on rule_runs (organization_id, rule_id, throttle_key, acted_at) where acted_at is not null;
create index rule_runs_trace on rule_runs (organization_id, trace_id);
create index rule_runs_ended on rule_runs (ended_at) where ended_at is not null;
create table rule_run_steps (
  organization_id text collate "C" not null, run_id text collate "C" not null, step text collate "C" not null, position int not null,
  operator text not null, status text not null check (status in ('running','waiting','succeeded','failed','cancelled')),
  attempts int not null default 0, params jsonb, result jsonb, error jsonb, execution_id text,
  started_at timestamptz not null default now(), ended_at timestamptz, next_at timestamptz,
  primary key (organization_id, run_id, step),
  foreign key (organization_id, run_id) references rule_runs(organization_id, id) on delete cascade
);

create table rule_replays (
  organization_id text collate "C" not null references organizations(id) on delete cascade, id text collate "C" not null,
  rule_id text collate "C", source text not null, options jsonb not null,
  status text not null check (status in ('queued','running','succeeded','failed','cancelled')),
  progress jsonb, result jsonb, error jsonb, actor text not null,
  created_at timestamptz not null default now(), started_at timestamptz, ended_at timestamptz,
  primary key (organization_id, id)
);
create index rule_replays_ended on rule_replays (ended_at) where ended_at is not null;
create table rule_replay_decisions (
  organization_id text collate "C" not null, replay_id text collate "C" not null, position bigint not null,
  event_id text collate "C" not null, event_type text not null, event_time timestamptz not null,
  draft text not null, live text, change text, detail jsonb,
  primary key (organization_id, replay_id, position),
  foreign key (organization_id, replay_id) references rule_replays(organization_id, id) on delete cascade
);
`,
};
