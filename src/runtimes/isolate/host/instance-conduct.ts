/** Keeps score of what instances do: strikes, the quarantine that follows too many of them, and reports to the hub. */
import { BackplaneError } from "../../../errors/error.ts";
import type { RuntimeCallbacks, RuntimeFault } from "../../runtime.ts";
import { failQueue, type HostedInstance } from "./hosted-instance.ts";

export class InstanceConduct {
  readonly #onFault: RuntimeCallbacks["onFault"];

  /** `onFault` must not throw. */
  constructor(onFault: RuntimeCallbacks["onFault"]) {
    this.#onFault = onFault;
  }

  report(hosted: HostedInstance, kind: RuntimeFault["kind"], code: string, reason: string): void {
    this.#onFault({ kind, instance: hosted.instance, code, reason });
  }

  /** `weight`: see StrikeWeight. Past the last mark the instance takes no calls any more. */
  strike(hosted: HostedInstance, weight: number, code: string, reason: string): void {
    const standing = hosted.strikes.add(weight);
    this.report(hosted, "strike", code, reason);
    if (standing !== "disabled" || hosted.disabled !== undefined) return;
    const { plugin } = hosted.instance;
    hosted.disabled = `it broke its limits too often, last: ${code}`;
    this.report(hosted, "quarantined", code, hosted.disabled);
    failQueue(hosted, new BackplaneError("plugin_quarantined", { plugin, reason: hosted.disabled }));
  }
}
