/** Tables of rules and their runs. */
import type { Generated } from "kysely";
import type { JsonObject, JsonValue } from "../../base/json.ts";
import type { Jsonb, JsonbDefault, JsonbOrNull, Optional, TimeDefault } from "./columns.ts";

export interface RuleTables {
  rule_sets: { organization_id: string; revision: Generated<number> };
  rules: {
    organization_id: string;
    id: string;
    name: string;
    description: Optional<string>;
    version: number;
    enabled: boolean;
    enabled_at: Optional<Date>;
    source: string;
    patterns: JsonbDefault<string[]>;
    created_by: string;
    updated_by: string;
    created_at: TimeDefault;
    updated_at: TimeDefault;
  };
  rule_versions: {
    organization_id: string;
    rule_id: string;
    version: number;
    source: string;
    actor: string;
    reason: Optional<string>;
    created_at: TimeDefault;
  };
  rule_schedules: {
    organization_id: string;
    rule_id: string;
    n: number;
    cron: string;
    timezone: Optional<string>;
    next_at: Date;
  };
  rule_hooks: { organization_id: string; rule_id: string; name: string; token: string };
  rule_runs: {
    organization_id: string;
    id: string;
    rule_id: string;
    rule_name: string;
    rule_version: number;
    mode: string;
    status: string;
    reason: Optional<string>;
    trigger: string;
    event_id: Optional<string>;
    event: JsonbOrNull<JsonObject>;
    depth: Generated<number>;
    trace_id: string;
    span_id: string;
    actor: string;
    slot: Optional<number>;
    turn: Generated<number>;
    throttle_key: Optional<string>;
    acted_at: Optional<Date>;
    variables: JsonbOrNull<JsonObject>;
    trace: JsonbOrNull<JsonObject>;
    error: JsonbOrNull<JsonObject>;
    steps_total: Generated<number>;
    steps_done: Generated<number>;
    created_at: TimeDefault;
    started_at: Optional<Date>;
    ended_at: Optional<Date>;
  };
  rule_run_steps: {
    organization_id: string;
    run_id: string;
    step: string;
    position: number;
    operator: string;
    status: string;
    attempts: Generated<number>;
    params: JsonbOrNull<JsonValue>;
    result: JsonbOrNull<JsonValue>;
    error: JsonbOrNull<JsonObject>;
    execution_id: Optional<string>;
    started_at: TimeDefault;
    ended_at: Optional<Date>;
    next_at: Optional<Date>;
  };
  rule_replays: {
    organization_id: string;
    id: string;
    rule_id: Optional<string>;
    source: string;
    options: Jsonb<JsonObject>;
    status: string;
    progress: JsonbOrNull<JsonObject>;
    result: JsonbOrNull<JsonObject>;
    error: JsonbOrNull<JsonObject>;
    actor: string;
    created_at: TimeDefault;
    started_at: Optional<Date>;
    ended_at: Optional<Date>;
  };
  rule_replay_decisions: {
    organization_id: string;
    replay_id: string;
    position: number;
    event_id: string;
    event_type: string;
    event_time: Date;
    draft: string;
    live: Optional<string>;
    change: Optional<string>;
    detail: JsonbOrNull<JsonValue>;
  };
}
