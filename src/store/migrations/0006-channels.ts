/**
 * Outbound messages: a row for each attempt to reach somebody over one channel. A message that falls back to another channel has
 * further rows under the same `root_id`. What people see of a message is the entity `messages` of the same id.
 */
import type { Migration } from "./migration.ts";

export const channels: Migration = {
  id: 6,
  name: "channels",
  sql: /* sql */ `
create table outbound_messages (
  organization_id text not null, id text not null, root_id text not null, attempt int not null,
  plugin_id text, channel text not null, address text not null, conversation_id text, contact_id text, request jsonb not null, fallback jsonb not null default '[]',
  state text not null check (state in ('queued','sending','sent','failed','cancelled')),
  status text not null check (status in ('queued','sending','sent','undelivered','failed','delivered','read')),
  tries int not null default 0, external_id text, provider_status text, error_code text, error text,
  idempotency_key text, request_hash text not null, actor text not null, traceparent text, depth int not null default 0,
  send_at timestamptz not null, created_at timestamptz not null default now(), updated_at timestamptz not null default now(), sent_at timestamptz, read_at timestamptz,
  primary key (organization_id, id),
  unique (organization_id, root_id, attempt)
);
create unique index outbound_messages_key on outbound_messages (organization_id, idempotency_key) where idempotency_key is not null;
create index outbound_messages_external on outbound_messages (organization_id, plugin_id, external_id) where external_id is not null;
create index outbound_messages_sending on outbound_messages (organization_id, plugin_id) where state = 'sending';
create index outbound_messages_created on outbound_messages (created_at);
create table channel_rates (
  organization_id text not null, plugin_id text not null, next_at timestamptz not null, held_until timestamptz,
  primary key (organization_id, plugin_id)
);
create table channel_defaults (
  organization_id text not null, channel text not null, plugin_id text not null, actor text not null, updated_at timestamptz not null default now(),
  primary key (organization_id, channel)
);
`,
};
