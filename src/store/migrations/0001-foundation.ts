/** Organisations, packages, installations, entities, the bus, executions, audit. */
import type { Migration } from "./migration.ts";

export const foundation: Migration = {
  id: 1,
  name: "foundation",
  sql: /* sql */ `
create table organizations (
  id text primary key, name text not null, created_at timestamptz not null default now()
);
create table api_keys (
  organization_id text not null references organizations(id) on delete cascade, id text not null,
  name text not null, role text not null check (role in ('viewer','member','admin')),
  hash text not null unique, created_at timestamptz not null default now(), last_used_at timestamptz,
  primary key (organization_id, id)
);
create table settings (key text primary key, value jsonb not null, updated_at timestamptz not null default now());

create table artifacts (
  organization_id text not null, digest text not null, size int not null, created_at timestamptz not null default now(),
  primary key (organization_id, digest)
);
create table artifact_chunks (
  organization_id text not null, digest text not null, n int not null, bytes bytea not null,
  primary key (organization_id, digest, n),
  foreign key (organization_id, digest) references artifacts(organization_id, digest) on delete cascade
);
create table packages (
  organization_id text not null, plugin_id text not null, version text not null, digest text not null,
  manifest jsonb not null, published_by text not null, published_at timestamptz not null default now(),
  primary key (organization_id, plugin_id, version)
);
create table installations (
  organization_id text not null references organizations(id) on delete cascade, plugin_id text not null, id text not null unique,
  name text not null, version text not null, digest text, catalog text not null, manifest jsonb not null, runtime text not null,
  status text not null check (status in ('pending_config','active','disabled','quarantined')), status_reason text,
  health text not null default 'unknown' check (health in ('healthy','degraded','unhealthy','unknown')), health_reason text, health_at timestamptz,
  config jsonb not null default '{}', grants jsonb not null default '[]', approved jsonb not null default '[]',
  revision int not null default 1, installed_at timestamptz not null default now(), updated_at timestamptz not null default now(),
  primary key (organization_id, plugin_id)
);
create table installation_transitions (
  organization_id text not null, plugin_id text not null, seq bigserial, action text not null, from_status text, to_status text,
  version text, reason text, actor text not null, at timestamptz not null default now(),
  primary key (organization_id, plugin_id, seq)
);
create table entities (
  organization_id text not null, type text not null, id text not null, source text, external_id text, data jsonb not null,
  version int not null default 1, plugin_id text, execution_id text,
  created_at timestamptz not null default now(), updated_at timestamptz not null default now(), deleted_at timestamptz,
  primary key (organization_id, type, id)
);
create unique index entities_external on entities (organization_id, type, source, external_id) where external_id is not null;
create index entities_data on entities using gin (data jsonb_path_ops);
create table files (
  organization_id text not null, plugin_id text not null, path text not null, content_type text not null, size int not null,
  bytes bytea not null, updated_at timestamptz not null default now(),
  primary key (organization_id, plugin_id, path)
);

create table events (
  organization_id text collate "C" not null, id text collate "C" not null, seq bigserial, position bigint, source text not null,
  type text collate "C" not null, subject text collate "C", time timestamptz not null, data jsonb, traceparent text, depth int not null default 0, accepted_at timestamptz not null default now(),
  primary key (organization_id, id)
);
create index events_unstamped on events (seq) where position is null;
create index events_org_position on events (organization_id, position) where position is not null;
create index events_org_type_position on events (organization_id, type, position) where position is not null;
create index events_retention on events (accepted_at);
create sequence event_position;
create table consumers (
  organization_id text collate "C" not null, consumer text collate "C" not null, plugin_id text not null, pattern text collate "C" not null, active boolean not null default true,
  created_at timestamptz not null default now(),
  primary key (organization_id, consumer)
);
create index consumers_pattern on consumers (organization_id, pattern) where active;
create table deliveries (
  organization_id text collate "C" not null, id bigserial, consumer text collate "C" not null, kind text not null, key text collate "C" not null,
  item_id text collate "C" not null, event_id text collate "C", payload jsonb, state text not null default 'pending' check (state in ('pending','done','dead','cancelled')),
  due timestamptz not null default now(), attempts int not null default 0, claimed_by text, claimed_until timestamptz,
  error jsonb, traceparent text, created_at timestamptz not null default now(), settled_at timestamptz,
  primary key (organization_id, id),
  unique (organization_id, consumer, item_id)
) with (fillfactor = 80);
create index deliveries_open on deliveries (organization_id, consumer, id) where state = 'pending';
create index deliveries_keys on deliveries (organization_id, consumer, key, id) where state = 'pending';
create index deliveries_settled on deliveries (settled_at) where state in ('done','cancelled','dead');
create index deliveries_dead on deliveries (organization_id, id) where state = 'dead';
create table webhook_requests (
  organization_id text not null, id text not null, plugin_id text not null, method text not null, url text not null, headers jsonb not null,
  body bytea not null, received_at timestamptz not null default now(), status int, execution_id text, traceparent text,
  primary key (organization_id, id)
);

create table executions (
  organization_id text not null, id text not null, plugin_id text not null, installation_id text not null, version text not null,
  kind text not null, contribution text not null, mode text not null, status text not null,
  parameters jsonb, result jsonb, error jsonb, progress jsonb, actor text not null, parent_id text, trace_id text not null, span_id text not null,
  session_id text, idempotent boolean not null default false, cancel_requested boolean not null default false, node_id text, lease_until timestamptz,
  cpu_ms double precision not null default 0, wall_ms double precision not null default 0, peak_memory_bytes bigint not null default 0,
  ability_calls jsonb not null default '{}', created_at timestamptz not null default now(), started_at timestamptz, ended_at timestamptz,
  primary key (organization_id, id)
);
create index executions_plugin on executions (organization_id, plugin_id, id desc);
create index executions_trace on executions (organization_id, trace_id);
create index executions_open on executions (lease_until) where status in ('queued','running');
create table execution_logs (
  organization_id text not null, plugin_id text not null, seq bigserial, execution_id text, at timestamptz not null, level text not null,
  message text not null, data jsonb,
  primary key (organization_id, plugin_id, seq)
);
create table audit_log (
  organization_id text not null, seq bigint not null, at timestamptz not null, actor text not null, action text not null, target text not null,
  details jsonb not null, trace_id text, previous_hash text not null, hash text not null,
  primary key (organization_id, seq)
);
create table hub_nodes (id text primary key, url text not null, started_at timestamptz not null default now(), heartbeat_at timestamptz not null default now());
`,
};
