/** Entry of the guest prelude: everything that stands in an isolate before plugin code. Bundled by build.ts. */
import { buildContext } from "./ctx/index.ts";
import { harden } from "./harden.ts";
import { createPump } from "./pump.ts";
import { installWebApis } from "./web/index.ts";

const scope = globalThis as unknown as Record<string, unknown>;
const pump = createPump(scope, buildContext);
harden(scope);
installWebApis(scope, pump.host);

/** The two functions the runner holds; nothing else leads in. */
export const enter = pump.enter;
export const drain = pump.drain;
