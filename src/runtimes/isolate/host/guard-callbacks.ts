/** Callbacks of the hub that may fail without harm: what a one-way one throws is logged, and the runtime goes on. */
import type { RuntimeCallbacks } from "../../runtime.ts";

/** An ability call's answer stays as it is: what it throws, the guest hears. */
export function guardCallbacks(
  callbacks: RuntimeCallbacks,
  log: (message: string, details: Record<string, unknown>) => void,
): RuntimeCallbacks {
  const safely = (run: () => void): void => {
    try {
      run();
    } catch (error) {
      log("a runtime callback threw", { reason: error instanceof Error ? error.message : "unknown" });
    }
  };
  return {
    onAbilityCall: (call) => callbacks.onAbilityCall(call),
    onGuestMessage: (message) => safely(() => callbacks.onGuestMessage(message)),
    onFault: (fault) => safely(() => callbacks.onFault(fault)),
  };
}
