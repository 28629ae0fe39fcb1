/** A whole hub in `shared` mode with a thousand installations of small plugins, all of them called and all of them live. */
import { asOrganizationId, asPluginId } from "../src/base/brands.ts";
import { loadFolder } from "../src/packages/load-folder.ts";
import type { Benchmark } from "./benchmark.ts";
import { sleep } from "./parts/engine.ts";
import { renamed, startBenchHub } from "./parts/hub.ts";
import { memoryOf } from "./parts/machine.ts";
import { figure } from "./statistics.ts";

export const benchmark: Benchmark = {
  name: "thousand",
  goals: ["memory-thousand"],
  async run({ quick, log }) {
    const organizations = quick ? 5 : 50;
    const perOrganization = 20;
    const count = organizations * perOrganization;
    await using bench = await startBenchHub({ isolation: "shared" });
    const { hub } = bench;
    const folder = await loadFolder(new URL("./plugin/", import.meta.url).pathname);
    const plugins = Array.from({ length: perOrganization }, (_, n) => asPluginId(`backplane.many${n}`));
    for (const id of plugins) {
      await hub.packages.publishContent(asOrganizationId("*"), renamed(folder, id), { actor: "system" });
    }
    const from = performance.now();
    let answered = 0;
    let failed = 0;
    const fill = async (n: number): Promise<void> => {
      const organization = asOrganizationId(`org-${n}`);
      const context = { organization, actor: "system" };
      await hub.access.createOrganization({ id: organization, name: organization, actor: "system" });
      for (const id of plugins) {
        await hub.lifecycle.install(context, { id, grants: "all" });
        await hub.lifecycle.activate(context, id);
        const { error } = await hub.invoker.run({
          organization,
          plugin: id,
          kind: "function",
          name: "noop",
          args: [{ id: "a" }],
          actor: "system",
        });
        if (error) failed += 1;
        else answered += 1;
      }
    };
    let next = 0;
    const lane = async (): Promise<void> => {
      while (next < organizations) await fill(next++);
    };
    await Promise.all(Array.from({ length: 8 }, lane));
    const seconds = (performance.now() - from) / 1000;
    await sleep(1000);
    const status = hub.runtime.status();
    const runnersMb = status.runners.reduce((sum, { pid }) => sum + memoryOf(pid).privateMb, 0);
    const hubMb = memoryOf(process.pid).privateMb;
    log(
      `${answered} answered, ${failed} failed, ${status.instances} live, ${status.runnersLost} runners lost, ${seconds.toFixed(0)} s`,
    );
    return [
      {
        goal: "memory-thousand",
        // A quick look at a part proves nothing about a thousand.
        ...(quick ? {} : { value: status.instances }),
        text: `${status.instances} of ${count} live; runners ${figure(runnersMb)} MB, hub ${figure(hubMb)} MB; installed, activated and called at ${figure(count / seconds)}/s`,
        parts: {
          live: status.instances,
          answered,
          failed,
          "runners MB": runnersMb,
          "hub MB": hubMb,
          "runners lost": status.runnersLost,
        },
        ...(quick ? { note: `a quick look at ${count}` } : {}),
      },
    ];
  },
};
