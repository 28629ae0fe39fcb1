/** Turns what the network stack threw into an egress error whose sentence tells no addresses and no internals. */
import { BackplaneError } from "../errors/error.ts";
import { ConnectFailure, MAX_RESPONSE_HEADER_BYTES } from "./connections.ts";

/** BackplaneErrors pass as they are. */
export function failureOf(host: string, error: unknown): BackplaneError {
  if (error instanceof BackplaneError) return error;
  const root = error instanceof ConnectFailure && error.cause !== undefined ? error.cause : error;
  const code = codeOf(root);
  if (code === "UND_ERR_HEADERS_OVERFLOW")
    return new BackplaneError("egress_too_large", { host, limit: MAX_RESPONSE_HEADER_BYTES }, { cause: error });
  return new BackplaneError(
    "egress_failed",
    { host, reason: reasonOf(code, error instanceof ConnectFailure) },
    { cause: error },
  );
}

function reasonOf(code: string, connecting: boolean): string {
  if (/^(?:CERT_|ERR_TLS_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_|HOSTNAME_MISMATCH)/.test(code))
    return `its certificate is not valid (${code})`;
  if (/^(?:ERR_SSL|EPROTO)/.test(code)) return "no secure connection could be agreed on";
  if (code.startsWith("HPE_")) return "it did not answer with valid HTTP";
  if (code === "UND_ERR_CONNECT_TIMEOUT" || code === "ETIMEDOUT") return "no connection could be made in time";
  if (code === "ECONNREFUSED") return "it refused the connection";
  if (connecting) return "no connection could be made";
  if (code === "UND_ERR_INVALID_ARG") return "the request is not valid HTTP";
  return "the connection broke before the answer was complete";
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}
