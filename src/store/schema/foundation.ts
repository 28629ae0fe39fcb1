/** Tables of migrations 1, 2 and 8. */
import type { Generated } from "kysely";
import type { JsonObject, JsonValue } from "../../base/json.ts";
import type { Jsonb, JsonbDefault, JsonbOrNull, Optional, TimeDefault } from "./columns.ts";

export interface FoundationTables {
  organizations: { id: string; name: string; created_at: TimeDefault };
  api_keys: {
    organization_id: string;
    id: string;
    name: string;
    role: "viewer" | "member" | "admin";
    hash: string;
    created_at: TimeDefault;
    last_used_at: Optional<Date>;
  };
  settings: { key: string; value: Jsonb<JsonValue>; updated_at: TimeDefault };
  artifacts: { organization_id: string; digest: string; size: number; created_at: TimeDefault };
  artifact_chunks: { organization_id: string; digest: string; n: number; bytes: Uint8Array };
  packages: {
    organization_id: string;
    plugin_id: string;
    version: string;
    digest: string;
    manifest: Jsonb<JsonObject>;
    published_by: string;
    published_at: TimeDefault;
  };
  installations: {
    organization_id: string;
    plugin_id: string;
    id: string;
    name: string;
    version: string;
    digest: Optional<string>;
    catalog: string;
    manifest: Jsonb<JsonObject>;
    runtime: string;
    status: "pending_config" | "active" | "disabled" | "quarantined";
    status_reason: Optional<string>;
    health: Generated<"healthy" | "degraded" | "unhealthy" | "unknown">;
    health_reason: Optional<string>;
    health_at: Optional<Date>;
    config: JsonbDefault<JsonObject>;
    grants: JsonbDefault<string[]>;
    approved: JsonbDefault<string[]>;
    revision: Generated<number>;
    installed_at: TimeDefault;
    updated_at: TimeDefault;
  };
  installation_transitions: {
    organization_id: string;
    plugin_id: string;
    seq: Generated<number>;
    action: string;
    from_status: Optional<string>;
    to_status: Optional<string>;
    version: Optional<string>;
    reason: Optional<string>;
    actor: string;
    at: TimeDefault;
  };
  files: {
    organization_id: string;
    plugin_id: string;
    path: string;
    content_type: string;
    size: number;
    bytes: Uint8Array;
    updated_at: TimeDefault;
  };
  events: {
    organization_id: string;
    id: string;
    /** The order of publishing, which is not that of positions. */
    seq: Generated<number>;
    source: string;
    type: string;
    subject: Optional<string>;
    time: Date;
    data: JsonbOrNull<JsonValue>;
    traceparent: Optional<string>;
    depth: Generated<number>;
    accepted_at: TimeDefault;
  };
  event_arrivals: {
    seq: Generated<number>;
    organization_id: string;
    type: string;
    count: number;
    ids: string[];
    accepted_at: TimeDefault;
  };
  event_positions: {
    organization_id: string;
    first: number;
    last: number;
    type: string;
    ids: string[];
    accepted_at: Date;
  };
  consumers: {
    organization_id: string;
    consumer: string;
    plugin_id: string;
    pattern: string;
    active: Generated<boolean>;
    created_at: TimeDefault;
  };
  deliveries: {
    organization_id: string;
    id: Generated<number>;
    consumer: string;
    kind: string;
    key: string;
    item_id: string;
    event_id: Optional<string>;
    payload: JsonbOrNull<JsonValue>;
    state: Generated<"pending" | "done" | "dead" | "cancelled">;
    due: TimeDefault;
    attempts: Generated<number>;
    claimed_by: Optional<string>;
    claimed_until: Optional<Date>;
    error: JsonbOrNull<JsonObject>;
    traceparent: Optional<string>;
    created_at: TimeDefault;
    settled_at: Optional<Date>;
  };
  webhook_requests: {
    organization_id: string;
    id: string;
    plugin_id: string;
    method: string;
    url: string;
    headers: Jsonb<JsonValue>;
    body: Uint8Array;
    received_at: TimeDefault;
    status: Optional<number>;
    execution_id: Optional<string>;
    traceparent: Optional<string>;
  };
  executions: {
    organization_id: string;
    id: string;
    plugin_id: string;
    installation_id: string;
    version: string;
    kind: string;
    contribution: string;
    mode: string;
    status: string;
    parameters: JsonbOrNull<JsonValue>;
    result: JsonbOrNull<JsonValue>;
    error: JsonbOrNull<JsonObject>;
    progress: JsonbOrNull<JsonValue>;
    actor: string;
    parent_id: Optional<string>;
    trace_id: string;
    span_id: string;
    session_id: Optional<string>;
    idempotent: Generated<boolean>;
    cancel_requested: Generated<boolean>;
    node_id: Optional<string>;
    lease_until: Optional<Date>;
    cpu_ms: Generated<number>;
    wall_ms: Generated<number>;
    peak_memory_bytes: Generated<number>;
    ability_calls: JsonbDefault<JsonObject>;
    created_at: TimeDefault;
    started_at: Optional<Date>;
    ended_at: Optional<Date>;
  };
  execution_batches: {
    organization_id: string;
    last_id: string;
    first_id: string;
    count: number;
    keys: string[];
    traces: Uint8Array;
    records: Uint8Array;
  };
  execution_logs: {
    organization_id: string;
    plugin_id: string;
    seq: Generated<number>;
    execution_id: Optional<string>;
    at: Date;
    level: string;
    message: string;
    data: JsonbOrNull<JsonValue>;
  };
  audit_log: {
    organization_id: string;
    seq: number;
    at: Date;
    actor: string;
    action: string;
    target: string;
    details: Jsonb<JsonObject>;
    trace_id: Optional<string>;
    previous_hash: string;
    hash: string;
  };
  hub_nodes: { id: string; url: string; started_at: TimeDefault; heartbeat_at: TimeDefault };
}
