/**
 * Kysely's view of the tables in migrations/; a test compares both. Reads: bigint as number, timestamptz as Date, jsonb parsed.
 * Writes to jsonb columns go through `json(value)` (json.ts): the compiler refuses anything else.
 */
import type { ChannelTables } from "./schema/channels.ts";
import type { ConnectionTables } from "./schema/connections.ts";
import type { ConnectorTables } from "./schema/connectors.ts";
import type { EntityTables } from "./schema/entities.ts";
import type { FoundationTables } from "./schema/foundation.ts";
import type { RuleTables } from "./schema/rules.ts";
import type { SecretTables } from "./schema/secrets.ts";

export interface Database
  extends FoundationTables,
    EntityTables,
    ConnectionTables,
    ConnectorTables,
    ChannelTables,
    RuleTables,
    SecretTables {}
