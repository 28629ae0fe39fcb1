/** Tables of the unified data model. */
import type { Generated } from "kysely";
import type { JsonObject } from "../../base/json.ts";
import type { Jsonb, JsonbOrNull, Optional, TimeDefault } from "./columns.ts";

export interface EntityTables {
  entities: {
    organization_id: string;
    type: string;
    id: string;
    source: Optional<string>;
    external_id: Optional<string>;
    data: Jsonb<JsonObject>;
    version: Generated<number>;
    plugin_id: Optional<string>;
    execution_id: Optional<string>;
    created_at: TimeDefault;
    updated_at: TimeDefault;
    deleted_at: Optional<Date>;
    source_tags: JsonbOrNull<string[]>;
    link_id: Optional<string>;
  };
}
