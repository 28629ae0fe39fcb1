/** `start`: runs a hub in this process until it is told to stop. */
import { once } from "node:events";
import { relative } from "node:path";
import type { Command } from "commander";
import type { Cli } from "../cli.ts";

interface StartOptions {
  port?: string;
  host?: string;
  data?: string;
}

export function startVerb(program: Command, cli: Cli): void {
  const { io, print } = cli;
  program
    .command("start")
    .description("run a hub here")
    .option("--port <port>", "port to listen on (PORT); 0 picks a free one")
    .option("--host <host>", "address to listen on (HOST)")
    .option("--data <folder>", "data folder (BACKPLANE_DATA)")
    .addHelpText(
      "after",
      "\nExamples:\n  backplane start\n  backplane start --port 0 --data /var/lib/backplane\n  DATABASE_URL=postgres://… BACKPLANE_MASTER_KEY=… backplane start",
    )
    .action(async ({ port, host, data }: StartOptions) => {
      const env = {
        ...io.env,
        ...(port === undefined ? {} : { PORT: port }),
        ...(host === undefined ? {} : { HOST: host }),
        ...(data === undefined ? {} : { BACKPLANE_DATA: data }),
      };
      const hub = await cli.startHub(env);
      print.line(`Backplane listening on ${hub.url}`);
      print.line(
        hub.adminTokenFile === null
          ? "Admin token: from BACKPLANE_ADMIN_TOKEN"
          : `Admin token: ${relative(io.cwd, hub.adminTokenFile) || hub.adminTokenFile}`,
      );
      print.line(`API: ${hub.url}/api/docs`);
      if (!io.signal.aborted) await once(io.signal, "abort");
      print.note("Stopping. A second Ctrl-C stops at once.");
      await hub.close();
    });
}
