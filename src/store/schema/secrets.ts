/** Tables of secrets that are no part of a configuration. */
import type { TimeDefault } from "./columns.ts";

export interface SecretTables {
  kept_secrets: {
    organization_id: string;
    plugin_id: string;
    name: string;
    installation_id: string;
    /** JWE of the value, with the host it came from. */
    sealed: string;
    created_at: TimeDefault;
  };
}
