/** What the hub says when a call of a plugin ended badly. Guest text is capped and never taken for our own words. */
import { BackplaneError } from "../../../errors/error.ts";
import type { ErrorCode } from "../../../errors/table.ts";
import type { PluginInstance } from "../../runtime.ts";
import { CallFault } from "../bridge/frame.ts";

export interface GuestError {
  name: string;
  message: string;
  code?: string;
  /** Of an error that has them, such as an HttpError. */
  status?: number;
  /** Seconds. */
  retryAfter?: number;
  stack?: string;
}

/** Reads the guest's own description of an error; anything odd in it is left out. */
export function readGuestError(body: Uint8Array): GuestError {
  const error: GuestError = { name: "Error", message: "" };
  try {
    const value: unknown = JSON.parse(Buffer.from(body).toString("utf8"));
    if (typeof value === "object" && value !== null) {
      const fields = value as Record<string, unknown>;
      const text = (name: string, cap: number): string | undefined =>
        Object.hasOwn(fields, name) && typeof fields[name] === "string" ? fields[name].slice(0, cap) : undefined;
      error.name = text("name", 100) ?? "Error";
      error.message = text("message", 4000) ?? "";
      const code = text("code", 100);
      if (code !== undefined) error.code = code;
      const number = (name: string): number | undefined => {
        const found = Object.hasOwn(fields, name) ? fields[name] : undefined;
        return typeof found === "number" && found >= 0 && found <= 1e9 ? found : undefined;
      };
      const status = number("status");
      if (status !== undefined) error.status = status;
      const retryAfter = number("retryAfter");
      if (retryAfter !== undefined) error.retryAfter = retryAfter;
      const stack = text("stack", 8000);
      if (stack !== undefined) error.stack = stack;
    }
  } catch {
    error.message = "the plugin's error could not be read";
  }
  return error;
}

/** For reports: the guest's own description, at most 500 characters. */
export function guestReason(description: string): string {
  const { name, message } = readGuestError(Buffer.from(description));
  return `${name}: ${message}`.slice(0, 500);
}

/** The outcome of a call that the guest itself ended with an error. */
export function errorOfGuest(
  fault: number,
  guest: GuestError,
  instance: PluginInstance,
  handler: readonly string[],
): BackplaneError {
  const plugin = instance.plugin;
  const stack = guest.stack === undefined ? {} : { guestStack: guest.stack };
  const { name, code, status, retryAfter } = guest;
  const details = {
    plugin,
    guest: {
      name,
      ...(code === undefined ? {} : { code }),
      ...(status === undefined ? {} : { status }),
      ...(retryAfter === undefined ? {} : { retryAfter }),
    },
  };
  switch (fault) {
    case CallFault.handlerMissing:
      return new BackplaneError("handler_missing", { plugin, name: handler.join(".") });
    case CallFault.resultInvalid:
      return new BackplaneError("result_invalid", { ...details, reason: guest.message }, stack);
    case CallFault.limit:
      return new BackplaneError("limit_exceeded", { plugin, what: guest.message });
    case CallFault.loadFailed:
      return new BackplaneError("plugin_load_failed", { ...details, reason: reasonOf(guest) }, stack);
    default:
      return new BackplaneError("plugin_error", { ...details, reason: reasonOf(guest) }, stack);
  }
}

function reasonOf(guest: GuestError): string {
  return guest.name === "Error" || guest.message.startsWith(guest.name)
    ? guest.message
    : `${guest.name}: ${guest.message}`;
}

/** The outcome of a call whose isolate was given up through its own fault. */
export function errorOfFault(code: string, reason: string, instance: PluginInstance, budgetMs: number): BackplaneError {
  const plugin = instance.plugin;
  const known: Partial<Record<string, { code: ErrorCode; details: Record<string, unknown> }>> = {
    cpu_exceeded: { code: "cpu_exceeded", details: { plugin, limit: budgetMs } },
    memory_exceeded: { code: "memory_exceeded", details: { plugin, limit: instance.limits.memoryMb } },
    limit_exceeded: { code: "limit_exceeded", details: { plugin, what: reason } },
  };
  const row = Object.hasOwn(known, code) ? known[code] : undefined;
  return row === undefined ? runnerLost(instance) : new BackplaneError(row.code, row.details);
}

export function runnerLost(instance: PluginInstance): BackplaneError {
  return new BackplaneError("runner_lost", { plugin: instance.plugin });
}

export function unavailable(instance: PluginInstance, reason: string): BackplaneError {
  return new BackplaneError("runtime_unavailable", { plugin: instance.plugin, reason });
}

export function messageTooLarge({ limits, plugin }: PluginInstance): BackplaneError {
  return new BackplaneError("limit_exceeded", { plugin, what: `${limits.messageBytes} bytes for one message` });
}

/** What of a hub error the guest may see, as JSON. Causes and stacks never do. */
export function errorForGuest(error: unknown): string {
  if (!(error instanceof BackplaneError)) {
    return JSON.stringify({ name: "Error", message: "Something went wrong in the hub.", code: "internal" });
  }
  const { guest, retryAfter } = error.details;
  return JSON.stringify({
    ...(typeof guest === "object" && guest !== null ? guest : {}),
    name: "BackplaneError",
    message: error.message,
    code: error.code,
    ...(typeof retryAfter === "number" ? { retryAfter } : {}),
  });
}
