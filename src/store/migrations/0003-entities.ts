/**
 * The unified data model: tags by their source, links between rows, and indexes for the queries that docs/data-model.md names.
 * Types of which there are many rows have typed indexes in the place of the general one over all fields, which costs most of a write.
 */
import type { Migration } from "./migration.ts";

const time = (field: string): string => `(coalesce(data->>'${field}', '') collate "C")`;
const text = (field: string): string => `(data->>'${field}')`;

const typed: [type: string, name: string, ...columns: string[]][] = [
  ["messages", "contact", text("contactId"), time("sentAt")],
  ["messages", "conversation", text("conversationId"), time("sentAt")],
  ["messages", "time", time("sentAt")],
  ["calls", "contact", text("contactId"), time("startedAt")],
  ["calls", "time", time("startedAt")],
  ["voicemails", "listened", text("listened"), time("recordedAt")],
  ["tasks", "due", text("kind"), text("status"), time("dueAt")],
  ["transactions", "account", text("accountId"), time("date")],
  ["transactions", "time", time("date")],
  ["health_samples", "metric", text("metric"), time("startedAt")],
  ["activities", "time", time("startedAt")],
  ["locations", "time", time("recordedAt")],
  ["calendar_events", "time", time("startsAt")],
  ["conversations", "time", time("lastMessageAt")],
];

const indexes = typed.map(
  ([type, name, ...columns]) =>
    `create index entities_${type}_${name} on entities (organization_id, ${columns.join(", ")}) where type = '${type}';`,
);

export const entities: Migration = {
  id: 3,
  name: "entities",
  sql: /* sql */ `
alter table entities add column source_tags jsonb, add column link_id text;
drop index entities_data;
create index entities_data on entities using gin (data jsonb_path_ops)
  where type <> all ('{messages,calls,voicemails,calendar_events,transactions,health_samples,activities,locations,foods,files}'::text[]);
create index entities_tags on entities using gin ((data->'tags') jsonb_path_ops) where data ? 'tags';
create index entities_links on entities (organization_id, link_id) where link_id is not null;
create index entities_created on entities (organization_id, type, created_at);
create index entities_updated on entities (organization_id, type, updated_at);
create function entity_text(data jsonb) returns tsvector language sql immutable parallel safe return
  to_tsvector('simple', translate(left(coalesce(data->>'displayName', '') || ' ' || coalesce(data->>'nickname', '') || ' '
    || coalesce(data->>'company', '') || ' ' || coalesce(data->>'name', '') || ' ' || coalesce(data->>'title', '') || ' '
    || coalesce(data->>'subject', '') || ' ' || coalesce(data->>'merchantName', '') || ' ' || coalesce(data->>'brand', '') || ' '
    || jsonb_path_query_array(data, '$.emails[*].address')::text || ' ' || jsonb_path_query_array(data, '$.phones[*].number')::text || ' '
    || coalesce(data->>'location', '') || ' ' || coalesce(data->>'address', '') || ' ' || coalesce(data->>'notes', '') || ' '
    || coalesce(data->>'description', '') || ' ' || coalesce(data->>'body', '') || ' ' || coalesce(data->>'transcript', ''), 50000), '@./_-+:', '       '));
create index entities_text on entities using gin (entity_text(data))
  where type = any ('{contacts,calendar_events,conversations,messages,voicemails,tasks,places,foods,accounts,transactions,files}'::text[]);
${indexes.join("\n")}
`,
};
