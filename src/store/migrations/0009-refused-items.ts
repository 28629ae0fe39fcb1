/** Items that the data model refused: how many a sync has set aside, and which. */
import type { Migration } from "./migration.ts";

export const refusedItems: Migration = {
  id: 9,
  name: "refused items",
  sql: /* sql */ `
alter table connector_runs add column rejected bigint not null default 0, add column rejections jsonb not null default '{"last":[],"nameless":false}';
`,
};
