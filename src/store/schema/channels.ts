/** Tables of outbound messages. */
import type { Generated } from "kysely";
import type { JsonObject, JsonValue } from "../../base/json.ts";
import type { Jsonb, JsonbDefault, Optional, TimeDefault } from "./columns.ts";

export interface ChannelTables {
  outbound_messages: {
    organization_id: string;
    id: string;
    root_id: string;
    attempt: number;
    plugin_id: Optional<string>;
    channel: string;
    address: string;
    conversation_id: Optional<string>;
    contact_id: Optional<string>;
    request: Jsonb<JsonObject>;
    fallback: JsonbDefault<JsonValue[]>;
    state: "queued" | "sending" | "sent" | "failed" | "cancelled";
    status: "queued" | "sending" | "sent" | "undelivered" | "failed" | "delivered" | "read";
    tries: Generated<number>;
    external_id: Optional<string>;
    provider_status: Optional<string>;
    error_code: Optional<string>;
    error: Optional<string>;
    idempotency_key: Optional<string>;
    request_hash: string;
    actor: string;
    traceparent: Optional<string>;
    depth: Generated<number>;
    send_at: Date;
    created_at: TimeDefault;
    updated_at: TimeDefault;
    sent_at: Optional<Date>;
    read_at: Optional<Date>;
  };
  channel_rates: { organization_id: string; plugin_id: string; next_at: Date; held_until: Optional<Date> };
  channel_defaults: {
    organization_id: string;
    channel: string;
    plugin_id: string;
    actor: string;
    updated_at: TimeDefault;
  };
}
