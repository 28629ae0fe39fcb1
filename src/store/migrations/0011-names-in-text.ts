/** Text search also looks at the parts of a name and at the job: a contact need not have a display name. */
import type { Migration } from "./migration.ts";

export const namesInText: Migration = {
  id: 11,
  name: "names in text",
  sql: /* sql */ `
drop index entities_text;
drop function entity_text(jsonb);
create function entity_text(data jsonb) returns tsvector language sql immutable parallel safe return
  to_tsvector('simple', translate(left(coalesce(data->>'displayName', '') || ' ' || coalesce(data->>'givenName', '') || ' '
    || coalesce(data->>'familyName', '') || ' ' || coalesce(data->>'nickname', '') || ' ' || coalesce(data->>'jobTitle', '') || ' '
    || coalesce(data->>'company', '') || ' ' || coalesce(data->>'name', '') || ' ' || coalesce(data->>'title', '') || ' '
    || coalesce(data->>'subject', '') || ' ' || coalesce(data->>'merchantName', '') || ' ' || coalesce(data->>'brand', '') || ' '
    || jsonb_path_query_array(data, '$.emails[*].address')::text || ' ' || jsonb_path_query_array(data, '$.phones[*].number')::text || ' '
    || coalesce(data->>'location', '') || ' ' || coalesce(data->>'address', '') || ' ' || coalesce(data->>'notes', '') || ' '
    || coalesce(data->>'description', '') || ' ' || coalesce(data->>'body', '') || ' ' || coalesce(data->>'transcript', ''), 50000), '@./_-+:', '       '));
create index entities_text on entities using gin (entity_text(data))
  where type = any ('{contacts,calendar_events,conversations,messages,voicemails,tasks,places,foods,accounts,transactions,files}'::text[]);
`,
};
