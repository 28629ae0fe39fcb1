/**
 * A hub in a process of its own, settings from the environment. Prints its address; made to be killed. Unlike a hub of a
 * person it has no bundled plugins, and what a dead one held is free after a few seconds: nothing else differs.
 */
import { flushCompileCache } from "node:module";
import { startHub } from "../../src/main.ts";
import { readSettings } from "../../src/settings.ts";

const { url } = await startHub(
  { ...readSettings(process.env), pluginsDir: null },
  { takeover: { leaseMs: 8000, heartbeatMs: 500, lostAfterMs: 4000 } },
);
console.log(`Backplane listening on ${url}`);
// Node writes its cache when a process ends, which a killed one never does.
flushCompileCache();
