/** Tables of the connector engine. */
import type { Generated } from "kysely";
import type { JsonObject, JsonValue } from "../../base/json.ts";
import type { Jsonb, JsonbDefault, JsonbOrNull, Optional, TimeDefault } from "./columns.ts";

export interface ConnectorTables {
  connector_states: {
    organization_id: string;
    plugin_id: string;
    paused: Generated<boolean>;
    schedule: Optional<string>;
    full_schedule: Optional<string>;
    planned: Optional<string>;
    next_at: Optional<Date>;
    planned_full: Optional<string>;
    next_full_at: Optional<Date>;
    position: Jsonb<JsonObject>;
    pairs: JsonbDefault<JsonValue[]>;
    realtime: JsonbOrNull<JsonObject>;
    realtime_at: Optional<Date>;
    updated_at: TimeDefault;
  };
  connector_runs: {
    organization_id: string;
    id: string;
    plugin_id: string;
    full_run: boolean;
    types: JsonbOrNull<string[]>;
    trigger: "schedule" | "manual" | "event";
    actor: string;
    status: "queued" | "running" | "waiting" | "succeeded" | "failed" | "cancelled";
    position: JsonbOrNull<JsonObject>;
    epoch: Generated<number>;
    node_id: Optional<string>;
    execution_id: Optional<string>;
    calls: Generated<number>;
    batches: Generated<number>;
    items: Generated<number>;
    created: Generated<number>;
    updated: Generated<number>;
    deleted: Generated<number>;
    unchanged: Generated<number>;
    rejected: Generated<number>;
    rejections: JsonbDefault<JsonObject>;
    progress: JsonbDefault<JsonObject>;
    failures: Generated<number>;
    stalls: Generated<number>;
    error: JsonbOrNull<JsonObject>;
    resume_at: Optional<Date>;
    traceparent: Optional<string>;
    created_at: TimeDefault;
    started_at: Optional<Date>;
    ended_at: Optional<Date>;
  };
  connector_seen: {
    organization_id: string;
    plugin_id: string;
    run_id: string;
    type: string;
    source: string;
    external_id: string;
  };
  connector_history: {
    organization_id: string;
    plugin_id: string;
    seq: Generated<number>;
    at: TimeDefault;
    actor: string;
    action: string;
    run_id: Optional<string>;
    position: Jsonb<JsonObject>;
  };
  connector_actions: {
    organization_id: string;
    plugin_id: string;
    key: string;
    action: string;
    request_hash: string;
    action_id: string;
    attempt: string;
    attempt_until: Optional<Date>;
    answer: JsonbOrNull<JsonObject>;
    created_at: TimeDefault;
  };
}
