/** Secrets that plugins got from services and the hub keeps for them, sealed. They go with the installation. */
import type { Migration } from "./migration.ts";

export const keptSecrets: Migration = {
  id: 10,
  name: "kept secrets",
  sql: /* sql */ `
create table kept_secrets (
  organization_id text not null, plugin_id text not null, name text not null, installation_id text not null, sealed text not null,
  created_at timestamptz not null default now(),
  primary key (organization_id, plugin_id, name),
  foreign key (organization_id, plugin_id) references installations(organization_id, plugin_id) on delete cascade
);
`,
};
