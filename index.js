/** `import { createPlatform } from "backplane"`: the sources in a checkout, the emitted JavaScript in an installed package. */
import { existsSync } from "node:fs";

const inCheckout = existsSync(new URL("./src/main.ts", import.meta.url));
const { createPlatform, PlatformRuntime } = await import(inCheckout ? "./src/main.ts" : "./dist/src/main.js");

export { createPlatform, PlatformRuntime };
