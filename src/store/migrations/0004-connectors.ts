/**
 * What the connector engine knows: where each connector stands and when it is due, its runs, and what a full run has seen so
 * far. Everything goes with the installation.
 */
import type { Migration } from "./migration.ts";

export const connectors: Migration = {
  id: 4,
  name: "connectors",
  sql: /* sql */ `
create table connector_states (
  organization_id text not null, plugin_id text not null,
  paused boolean not null default false, schedule text, full_schedule text,
  planned text, next_at timestamptz, planned_full text, next_full_at timestamptz,
  position jsonb not null, pairs jsonb not null default '[]',
  realtime jsonb, realtime_at timestamptz, updated_at timestamptz not null default now(),
  primary key (organization_id, plugin_id),
  foreign key (organization_id, plugin_id) references installations(organization_id, plugin_id) on delete cascade
);
create table connector_runs (
  organization_id text not null, id text not null, plugin_id text not null,
  full_run boolean not null, types jsonb, trigger text not null check (trigger in ('schedule','manual','event')), actor text not null,
  status text not null check (status in ('queued','running','waiting','succeeded','failed','cancelled')),
  position jsonb, epoch int not null default 0, node_id text, execution_id text,
  calls int not null default 0, batches int not null default 0, items bigint not null default 0,
  created bigint not null default 0, updated bigint not null default 0, deleted bigint not null default 0, unchanged bigint not null default 0,
  progress jsonb not null default '{}', failures int not null default 0, stalls int not null default 0,
  error jsonb, resume_at timestamptz, traceparent text,
  created_at timestamptz not null default now(), started_at timestamptz, ended_at timestamptz,
  primary key (organization_id, id),
  foreign key (organization_id, plugin_id) references connector_states(organization_id, plugin_id) on delete cascade
);
create index connector_runs_plugin on connector_runs (organization_id, plugin_id, id desc);
create index connector_runs_open on connector_runs (organization_id, plugin_id) where status in ('queued','running','waiting');
create index connector_runs_ended on connector_runs (ended_at) where ended_at is not null;
create table connector_seen (
  organization_id text not null, plugin_id text not null, run_id text not null, type text not null, source text not null, external_id text not null,
  primary key (organization_id, plugin_id, run_id, type, source, external_id)
);
create table connector_history (
  organization_id text not null, plugin_id text not null, seq bigserial, at timestamptz not null default now(),
  actor text not null, action text not null, run_id text, position jsonb not null,
  primary key (organization_id, plugin_id, seq),
  foreign key (organization_id, plugin_id) references connector_states(organization_id, plugin_id) on delete cascade
);
create table connector_actions (
  organization_id text not null, plugin_id text not null, key text not null, action text not null, request_hash text not null,
  action_id text not null, attempt text not null, attempt_until timestamptz, answer jsonb, created_at timestamptz not null default now(),
  primary key (organization_id, plugin_id, key),
  foreign key (organization_id, plugin_id) references installations(organization_id, plugin_id) on delete cascade
);
create index connector_actions_created on connector_actions (created_at);
`,
};
