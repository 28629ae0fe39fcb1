/** A hub in a process of its own, settings from the environment. Prints its address; made to be killed. */
import { startHub } from "../../src/main.ts";

const { url } = await startHub();
console.log(`Backplane listening on ${url}`);
