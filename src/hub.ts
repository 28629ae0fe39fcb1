/** What a composed hub is, for the files that serve, embed or diagnose it. */
import type { Logger } from "pino";
import type { HttpServices } from "./edges/http/services.ts";
import type { Egress } from "./egress/egress.ts";
import type { Recorder } from "./invocation/recorder.ts";
import type { PluginRuntime } from "./runtimes/runtime.ts";
import type { HubSettings } from "./settings.ts";

export interface Hub extends HttpServices, AsyncDisposable {
  readonly settings: HubSettings;
  readonly nodeId: string;
  readonly log: Logger;
  readonly runtime: PluginRuntime;
  readonly egress: Egress;
  readonly recorder: Recorder;
  readonly adminToken: string;
  /** `null` when the environment gave the token. */
  readonly adminTokenFile: string | null;
  /** Aborts when the hub begins to close. */
  readonly stopping: AbortSignal;
  setPublicUrl(url: string): void;
  /** Counts an answered request. */
  observeRequest(answered: { method: string; route: string; status: number; ms: number }): void;
  /** Finishes what runs within `drainMs`, then lets everything go. */
  close(options?: { drainMs?: number }): Promise<void>;
}
