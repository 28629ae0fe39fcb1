/** OAuth connections and the authorisations under way. */
import type { Migration } from "./migration.ts";

export const connections: Migration = {
  id: 5,
  name: "connections",
  sql: /* sql */ `
create table connections (
  organization_id text not null, plugin_id text not null, name text not null, installation_id text not null,
  status text not null check (status in ('not_connected','connected','needs_reconnect')),
  sealed text, generation int not null default 0,
  scopes jsonb not null default '[]', expires_at timestamptz, refreshable boolean not null default false, account text,
  last_error text, last_error_at timestamptz, failures int not null default 0, retry_at timestamptz,
  lease_id text, lease_until timestamptz,
  connected_by text, connected_at timestamptz, refreshed_at timestamptz, updated_at timestamptz not null default now(),
  primary key (organization_id, plugin_id, name),
  foreign key (organization_id, plugin_id) references installations(organization_id, plugin_id) on delete cascade
);
create table connection_attempts (
  organization_id text not null, id text not null, plugin_id text not null, name text not null, installation_id text not null,
  state_hash text not null unique, sealed text not null, redirect_to text, actor text not null,
  created_at timestamptz not null default now(), expires_at timestamptz not null,
  primary key (organization_id, id),
  foreign key (organization_id, plugin_id) references installations(organization_id, plugin_id) on delete cascade
);
create index connection_attempts_of on connection_attempts (organization_id, plugin_id, name, created_at);
`,
};
