/** The real isolate runtime, with settings under which a hub of many small organisations would run it. */
import { createIsolateRuntime } from "../../src/runtimes/isolate/host/create-isolate-runtime.ts";
import type { PluginRuntime, RuntimeCallbacks } from "../../src/runtimes/runtime.ts";

export async function createRuntimeUnderTest(callbacks: RuntimeCallbacks): Promise<PluginRuntime> {
  return await createIsolateRuntime({
    callbacks,
    maxRunners: 24,
    // Each attack has an organisation of its own: what it leaves behind is soon ended.
    idleRunnerMs: 2000,
    residentLimitMb: 800,
  });
}
