/** Tables of OAuth connections. */
import type { Generated } from "kysely";
import type { JsonbDefault, Optional, TimeDefault } from "./columns.ts";

export interface ConnectionTables {
  connections: {
    organization_id: string;
    plugin_id: string;
    name: string;
    installation_id: string;
    status: "not_connected" | "connected" | "needs_reconnect";
    /** JWE of the tokens. */
    sealed: Optional<string>;
    /** One more with every new set of tokens. */
    generation: Generated<number>;
    scopes: JsonbDefault<string[]>;
    /** Of the access token; null when the service did not say. */
    expires_at: Optional<Date>;
    /** The hub can get a new access token by itself. */
    refreshable: Generated<boolean>;
    account: Optional<string>;
    last_error: Optional<string>;
    last_error_at: Optional<Date>;
    /** Refreshes in a row that failed. */
    failures: Generated<number>;
    retry_at: Optional<Date>;
    /** Who refreshes right now, and until when nobody else may. */
    lease_id: Optional<string>;
    lease_until: Optional<Date>;
    connected_by: Optional<string>;
    connected_at: Optional<Date>;
    refreshed_at: Optional<Date>;
    updated_at: TimeDefault;
  };
  connection_attempts: {
    organization_id: string;
    id: string;
    plugin_id: string;
    name: string;
    installation_id: string;
    state_hash: string;
    /** JWE of the PKCE verifier and the redirect address. */
    sealed: string;
    redirect_to: Optional<string>;
    actor: string;
    created_at: TimeDefault;
    expires_at: Date;
  };
}
