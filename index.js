/** `import { createPlatform } from "backplane"`: the sources in a checkout, the emitted JavaScript in an installed package. */
import { existsSync } from "node:fs";

const inCheckout = existsSync(new URL("./src/embed/platform.ts", import.meta.url));
const embed = await import(inCheckout ? "./src/embed/platform.ts" : "./dist/src/embed/platform.js");

export const createPlatform = embed.createPlatform;
export const PlatformRuntime = embed.PlatformRuntime;
