/** The unified data model: tags by their source, links between rows, and indexes for the documented queries. */
import type { Migration } from "./migration.ts";

export const entities: Migration = {
  id: 3,
  name: "entities",
  sql: /* sql */ `
alter table entities add column source_tags jsonb, add column link_id text;
`,
};
