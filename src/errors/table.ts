/**
 * Every error code of the platform. One row a code: the HTTP status, the sentence (`{name}` is filled from the error's
 * details), who it is for, and what helps. Codes are stable: they are public contract and never reused.
 * docs/errors/README.md lists the same codes; a test keeps both equal.
 */

export type Audience = "user" | "author" | "operator";
export type Recovery = "retry" | "reconfigure" | "fix_plugin" | "fix_request" | "ask_admin" | "none";

export interface ErrorRow {
  readonly status: number;
  readonly message: string;
  readonly audience: Audience;
  readonly recovery: Recovery;
}

export const errorTable = {
  // Requests
  invalid_json: {
    status: 400,
    message: "The body is not valid JSON: {reason}. Send one UTF-8 JSON value.",
    audience: "user",
    recovery: "fix_request",
  },
  invalid_input: {
    status: 400,
    message: "The input does not match its schema; `errors` names each field.",
    audience: "user",
    recovery: "fix_request",
  },
  invalid_cursor: {
    status: 400,
    message: "The cursor is not one this list gave out. Start again without `cursor`.",
    audience: "user",
    recovery: "fix_request",
  },
  organization_required: {
    status: 400,
    message: "The hub admin's token names no organisation. Send the header `x-organization-id`.",
    audience: "user",
    recovery: "fix_request",
  },
  unauthenticated: {
    status: 401,
    message: "No valid bearer token. Send `Authorization: Bearer TOKEN`.",
    audience: "user",
    recovery: "fix_request",
  },
  forbidden: {
    status: 403,
    message: "This token's role may not do that; it needs {role}.",
    audience: "user",
    recovery: "ask_admin",
  },
  not_found: { status: 404, message: "There is no such {thing} here.", audience: "user", recovery: "fix_request" },
  method_not_allowed: {
    status: 405,
    message: "This path does not take {method}.",
    audience: "user",
    recovery: "fix_request",
  },
  conflict: { status: 409, message: "{reason}", audience: "user", recovery: "fix_request" },
  payload_too_large: {
    status: 413,
    message: "The payload has {size} bytes; at most {limit} are taken.",
    audience: "user",
    recovery: "fix_request",
  },
  unsupported_media_type: {
    status: 415,
    message: "This path does not take content of type {type}; send {expected}.",
    audience: "user",
    recovery: "fix_request",
  },
  rate_limited: {
    status: 429,
    message: "Too many requests. Try again in {retryAfter} s.",
    audience: "user",
    recovery: "retry",
  },
  // Manifests and packages
  invalid_manifest: {
    status: 400,
    message: "The manifest of plugin '{plugin}' has {count} fault(s); `errors` names each.",
    audience: "author",
    recovery: "fix_plugin",
  },
  invalid_package: {
    status: 400,
    message: "The package cannot be read: {reason}.",
    audience: "author",
    recovery: "fix_plugin",
  },
  package_exists: {
    status: 409,
    message:
      "Plugin '{plugin}' version {version} was published before with other content. Published versions never change: raise the version.",
    audience: "author",
    recovery: "fix_plugin",
  },
  bundle_failed: {
    status: 400,
    message: "The plugin could not be bundled: {reason}.",
    audience: "author",
    recovery: "fix_plugin",
  },
  artifact_corrupt: {
    status: 500,
    message: "The stored code of plugin '{plugin}' does not match its digest. Publish it again.",
    audience: "operator",
    recovery: "ask_admin",
  },
  // Lifecycle
  already_installed: {
    status: 409,
    message: "Plugin '{plugin}' is installed already. Use upgrade to change its version.",
    audience: "user",
    recovery: "fix_request",
  },
  dependency_missing: {
    status: 409,
    message: "Plugin '{plugin}' needs {missing}. Install that first.",
    audience: "user",
    recovery: "fix_request",
  },
  hub_version_unsupported: {
    status: 409,
    message: "Plugin '{plugin}' needs Backplane {range}; this hub is {version}.",
    audience: "user",
    recovery: "fix_request",
  },
  dependency_in_use: {
    status: 409,
    message: "Plugin '{plugin}' is needed by {dependents}. Uninstall those first.",
    audience: "user",
    recovery: "fix_request",
  },
  activation_blocked: {
    status: 409,
    message: "Plugin '{plugin}' cannot be activated: {missing}.",
    audience: "user",
    recovery: "reconfigure",
  },
  plugin_not_active: {
    status: 409,
    message: "Plugin '{plugin}' is {status}, not active. Activate it first.",
    audience: "user",
    recovery: "reconfigure",
  },
  plugin_quarantined: {
    status: 409,
    message: "Plugin '{plugin}' is quarantined: {reason}. Activating it ends the quarantine.",
    audience: "user",
    recovery: "fix_plugin",
  },
  lifecycle_busy: {
    status: 409,
    message: "Another change of plugin '{plugin}' is under way. Try again when it is done.",
    audience: "user",
    recovery: "retry",
  },
  invalid_transition: {
    status: 409,
    message: "Plugin '{plugin}' is {status}; it cannot {action} from there.",
    audience: "user",
    recovery: "fix_request",
  },
  invalid_config: {
    status: 400,
    message: "The configuration of plugin '{plugin}' does not match its schema; `errors` names each field.",
    audience: "user",
    recovery: "reconfigure",
  },
  invalid_grants: {
    status: 400,
    message: "Permission '{permission}' cannot be granted: {reason}.",
    audience: "user",
    recovery: "fix_request",
  },
  // Rules
  invalid_rule: {
    status: 400,
    message: "The rule has {count} fault(s); `errors` names each with its line and column.",
    audience: "user",
    recovery: "fix_request",
  },
  rule_broken: {
    status: 409,
    message: "Rule '{rule}' cannot run: {reason}",
    audience: "user",
    recovery: "reconfigure",
  },
  // Invocation
  function_not_found: {
    status: 404,
    message: "Plugin '{plugin}' has no {kind} '{name}'.",
    audience: "user",
    recovery: "fix_request",
  },
  no_code: {
    status: 409,
    message: "Plugin '{plugin}' was installed as a declaration without code, so '{name}' cannot run.",
    audience: "user",
    recovery: "fix_plugin",
  },
  invalid_parameters: {
    status: 400,
    message: "The parameters of '{name}' do not match their schema; `errors` names each field.",
    audience: "user",
    recovery: "fix_request",
  },
  cancelled: { status: 409, message: "The execution was cancelled.", audience: "user", recovery: "none" },
  call_cycle: {
    status: 409,
    message: "The call would enter plugin '{plugin}' twice in one chain.",
    audience: "author",
    recovery: "fix_plugin",
  },
  call_depth_exceeded: {
    status: 409,
    message: "The chain of calls is deeper than {limit}.",
    audience: "author",
    recovery: "fix_plugin",
  },
  concurrency_exceeded: {
    status: 429,
    message: "Plugin '{plugin}' runs {limit} calls already. Try again shortly.",
    audience: "user",
    recovery: "retry",
  },
  // What plugin code did
  plugin_error: {
    status: 502,
    message: "Plugin '{plugin}' failed: {reason}",
    audience: "author",
    recovery: "fix_plugin",
  },
  plugin_load_failed: {
    status: 502,
    message: "Plugin '{plugin}' could not be loaded: {reason}",
    audience: "author",
    recovery: "fix_plugin",
  },
  handler_missing: {
    status: 502,
    message: "Plugin '{plugin}' declares {name} but its code defines no such handler.",
    audience: "author",
    recovery: "fix_plugin",
  },
  cpu_exceeded: {
    status: 502,
    message: "Plugin '{plugin}' used more than its {limit} ms of CPU.",
    audience: "author",
    recovery: "fix_plugin",
  },
  memory_exceeded: {
    status: 502,
    message: "Plugin '{plugin}' used more than its {limit} MB of memory.",
    audience: "author",
    recovery: "fix_plugin",
  },
  limit_exceeded: {
    status: 502,
    message: "Plugin '{plugin}' broke its limit of {what}.",
    audience: "author",
    recovery: "fix_plugin",
  },
  result_invalid: {
    status: 502,
    message: "Plugin '{plugin}' gave a result that cannot be used: {reason}.",
    audience: "author",
    recovery: "fix_plugin",
  },
  deadline_exceeded: {
    status: 504,
    message: "Plugin '{plugin}' did not finish within {limit} ms.",
    audience: "author",
    recovery: "retry",
  },
  runner_lost: {
    status: 503,
    message: "The runner of plugin '{plugin}' was lost during the call. Try again.",
    audience: "operator",
    recovery: "retry",
  },
  runtime_unavailable: {
    status: 503,
    message: "No runner can be started for plugin '{plugin}' right now: {reason}.",
    audience: "operator",
    recovery: "retry",
  },
  shutting_down: {
    status: 503,
    message: "The hub is shutting down. Try again shortly.",
    audience: "operator",
    recovery: "retry",
  },
  hub_lost: {
    status: 503,
    message: "The hub that ran this execution was lost before it ended.",
    audience: "operator",
    recovery: "retry",
  },
  // Messages, calls and faxes
  channel_unavailable: {
    status: 409,
    message: "There is no active channel of type '{channel}' in {where}. Install and activate a plugin that has one.",
    audience: "user",
    recovery: "ask_admin",
  },
  channel_ambiguous: {
    status: 409,
    message:
      "Several plugins have a channel of type '{channel}': {candidates}. Name one as `plugin`, or make one the default.",
    audience: "user",
    recovery: "fix_request",
  },
  no_address: {
    status: 400,
    message: "There is no address for the channel '{channel}'. Name one in `to`, or add it to the contact.",
    audience: "user",
    recovery: "fix_request",
  },
  // What a plugin's ability call ran into (seen by authors as `error.code`)
  ability_unknown: {
    status: 502,
    message: "There is no ability '{ability}'.",
    audience: "author",
    recovery: "fix_plugin",
  },
  permission_denied: {
    status: 403,
    message: "Plugin '{plugin}' was not granted '{permission}'.",
    audience: "author",
    recovery: "ask_admin",
  },
  ability_restricted: {
    status: 502,
    message: "`{ability}` is refused to plugin '{plugin}' here: {reason}.",
    audience: "author",
    recovery: "fix_plugin",
  },
  ability_input: {
    status: 502,
    message: "The ability '{ability}' was called wrongly: {reason}.",
    audience: "author",
    recovery: "fix_plugin",
  },
  ability_timeout: {
    status: 502,
    message: "The ability '{ability}' did not answer within {limit} ms.",
    audience: "author",
    recovery: "retry",
  },
  egress_denied: {
    status: 502,
    message: "The request to {host} is not allowed: {reason}.",
    audience: "author",
    recovery: "ask_admin",
  },
  egress_failed: {
    status: 502,
    message: "The request to {host} failed: {reason}.",
    audience: "author",
    recovery: "retry",
  },
  egress_too_large: {
    status: 502,
    message: "The answer of {host} is larger than {limit} bytes.",
    audience: "author",
    recovery: "fix_plugin",
  },
  egress_timeout: {
    status: 502,
    message: "{host} did not answer within {limit} ms.",
    audience: "author",
    recovery: "retry",
  },
  secret_misused: {
    status: 502,
    message: "The sealed secret '{field}' cannot be used here: {reason}.",
    audience: "author",
    recovery: "fix_plugin",
  },
  connection_required: {
    status: 502,
    message:
      "Connection '{connection}' of plugin '{plugin}' is not connected yet. An admin connects it with `backplane connect {plugin} {connection}`.",
    audience: "user",
    recovery: "reconfigure",
  },
  connection_expired: {
    status: 502,
    message:
      "Connection '{connection}' of plugin '{plugin}' must be connected again: {reason}. An admin does so with `backplane connect {plugin} {connection}`.",
    audience: "user",
    recovery: "reconfigure",
  },
  connection_unavailable: {
    status: 503,
    message:
      "The access token of connection '{connection}' of plugin '{plugin}' could not be renewed: {reason}. The connection is kept; try again in {retryAfter} s.",
    audience: "user",
    recovery: "retry",
  },
  connection_refused: {
    status: 502,
    message: "Connection '{connection}' of plugin '{plugin}' could not be made: {reason}.",
    audience: "user",
    recovery: "reconfigure",
  },
  storage_quota: {
    status: 502,
    message: "Plugin '{plugin}' would exceed its storage of {limit} bytes.",
    audience: "author",
    recovery: "fix_plugin",
  },
  // The hub's own
  database_unavailable: {
    status: 503,
    message: "The database does not answer. Nothing accepted before is lost; try again shortly.",
    audience: "operator",
    recovery: "retry",
  },
  storage_full: {
    status: 507,
    message: "The hub cannot write: {reason}. Free space, then try again.",
    audience: "operator",
    recovery: "retry",
  },
  data_folder_locked: {
    status: 503,
    message: "The data folder {folder} is used by another hub (process {pid}). Stop that one or set BACKPLANE_DATA.",
    audience: "operator",
    recovery: "reconfigure",
  },
  invalid_settings: {
    status: 500,
    message: "The hub's settings are wrong: {reason}.",
    audience: "operator",
    recovery: "reconfigure",
  },
  secret_unreadable: {
    status: 500,
    message:
      "The stored secret '{field}' cannot be opened with this hub's key. Set it again, or start with the former BACKPLANE_MASTER_KEY.",
    audience: "operator",
    recovery: "reconfigure",
  },
  wall_crossed_in_transaction: {
    status: 500,
    message: "A defect of the hub: {what} was called inside a database transaction.",
    audience: "operator",
    recovery: "none",
  },
  internal: {
    status: 500,
    message: "Something went wrong in the hub. The log has it under trace {traceId}.",
    audience: "operator",
    recovery: "retry",
  },
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof errorTable;
