/**
 * The schema, as ordered migrations. Each runs once, in one transaction, under a lock; published ones never change.
 * The organisation id leads every key of organisation-owned rows. Organisation `*` owns what is the hub's (bundled plugins).
 */
import { foundation } from "./0001-foundation.ts";
import { executionBatches } from "./0002-execution-batches.ts";
import { entities } from "./0003-entities.ts";
import { connectors } from "./0004-connectors.ts";
import { connections } from "./0005-connections.ts";
import { channels } from "./0006-channels.ts";
import { rules } from "./0007-rules.ts";
import { eventPositions } from "./0008-event-positions.ts";
import { refusedItems } from "./0009-refused-items.ts";
import { keptSecrets } from "./0010-kept-secrets.ts";
import { namesInText } from "./0011-names-in-text.ts";
import type { Migration } from "./migration.ts";

export type { Migration };

export const migrations: readonly Migration[] = [
  foundation,
  executionBatches,
  entities,
  connectors,
  connections,
  channels,
  rules,
  eventPositions,
  refusedItems,
  keptSecrets,
  namesInText,
];
