/** Records of calls, many to a row. */
import type { Migration } from "./migration.ts";

export const executionBatches: Migration = {
  id: 2,
  name: "execution batches",
  sql: /* sql */ `
create table execution_batches (
  organization_id text collate "C" not null, last_id text collate "C" not null, first_id text collate "C" not null, count int not null,
  keys text[] not null, traces bytea not null, records bytea not null,
  primary key (organization_id, last_id)
);
alter table execution_batches alter column traces set storage external, alter column records set storage external;
`,
};
