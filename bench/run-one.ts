/** Runs one benchmark in this process and sends its rows to the parent. Each has a process of its own: heaps and compiled code of one do not weigh on another. */
import type { BenchContext, Benchmark } from "./benchmark.ts";

const [name, text] = process.argv.slice(2);
const options = JSON.parse(text ?? "{}") as Pick<BenchContext, "rounds" | "quick">;
const { benchmark } = (await import(`./${name}.bench.ts`)) as { benchmark: Benchmark };
const rows = await benchmark.run({ ...options, log: (line) => process.stderr.write(`  ${name}: ${line}\n`) });
process.send?.(rows);
if (process.send === undefined) console.log(JSON.stringify(rows, null, 2));
process.disconnect?.();
// What a benchmark left behind must not keep the run waiting.
setTimeout(() => process.exit(0), 1000).unref();
