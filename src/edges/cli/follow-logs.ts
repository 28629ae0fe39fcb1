/** Follows a plugin's log by asking again and again for what came after the last line. */
import { CliFailure } from "./failure.ts";
import { type HubClient, pluginPath } from "./hub-client.ts";
import { type Printer, printable } from "./printer.ts";

export interface LogLine {
  seq: number;
  at: string;
  level: string;
  message: string;
  data?: unknown;
  executionId: string | null;
}

export interface FollowLogsOptions {
  /** `seq` of the last line seen. */
  after: number;
  level?: string | undefined;
  execution?: string | undefined;
  signal: AbortSignal;
  wait(ms: number): Promise<unknown>;
  /** @default 300 */
  everyMs?: number;
}

export async function* followLogs(
  hub: HubClient,
  id: string,
  { after, level, execution, signal, wait, everyMs = 300 }: FollowLogsOptions,
): AsyncGenerator<LogLine> {
  let last = after;
  while (!signal.aborted) {
    try {
      const { logs } = await hub.call<{ logs: LogLine[] }>(pluginPath(id, "/logs"), {
        query: { after: last, level, execution, limit: 200 },
        signal,
      });
      for (const line of logs) {
        last = line.seq;
        yield line;
      }
      if (logs.length > 0) continue;
    } catch (error) {
      if (signal.aborted) return;
      // A hub that restarts is waited for.
      if (!(error instanceof CliFailure) || (error.code !== "no_hub" && error.code !== "shutting_down")) throw error;
    }
    await wait(everyMs).catch(() => {});
  }
}

const levelColours = { debug: "dim", info: "green", warn: "yellow", error: "red" } as const;

export function showLogLine(print: Printer, { at, level, message, data }: LogLine): void {
  const shown = level.padEnd(5);
  const colour = levelColours[level as keyof typeof levelColours];
  const extra = data === undefined ? "" : ` ${print.colour("dim", printable(JSON.stringify(data)))}`;
  print.line(
    `${print.colour("dim", at)} ${colour ? print.colour(colour, shown) : printable(shown)} ${printable(message)}${extra}`,
  );
}
