/** Follows the hub's event stream (server-sent events) and goes on where it broke off when the connection is lost. */
import { setTimeout as sleep } from "node:timers/promises";
import { parseJsonText } from "../../base/json.ts";
import { CliFailure } from "./failure.ts";
import type { HubClient } from "./hub-client.ts";

export interface LoggedEvent {
  id: string;
  type: string;
  source: string;
  subject?: string;
  time: string;
  data: unknown;
}

export interface FollowOptions {
  type?: string | undefined;
  after?: string | undefined;
  /** Ends the iteration. */
  signal: AbortSignal;
  onOpen?(): void;
  /** Wait before connecting again, ms. @default 1000 */
  retryMs?: number;
}

export async function* followEvents(
  hub: HubClient,
  { type, after, signal, onOpen, retryMs = 1000 }: FollowOptions,
): AsyncGenerator<LoggedEvent> {
  let last: string | undefined;
  let opened = false;
  while (!signal.aborted) {
    try {
      const response = await hub.open("/api/events/stream", {
        query: { type, after: last === undefined ? after : undefined },
        headers: { accept: "text/event-stream", ...(last === undefined ? {} : { "last-event-id": last }) },
        signal,
        timeoutMs: Number.POSITIVE_INFINITY,
      });
      if (!opened) onOpen?.();
      opened = true;
      for await (const { id, data } of readMessages(response)) {
        yield parseJsonText(data) as unknown as LoggedEvent;
        last = id ?? last;
      }
    } catch (error) {
      if (signal.aborted) return;
      // Before the first connection a failure is final; after it the hub is expected back.
      const refused = error instanceof CliFailure && error.code !== "no_hub" && error.code !== "shutting_down";
      if (!opened || refused) throw error;
    }
    await sleep(retryMs, undefined, { signal }).catch(() => {});
  }
}

interface Message {
  id: string | undefined;
  data: string;
}

/** Messages of a `text/event-stream` body; comments and other event names are passed over. */
export async function* readMessages(response: Response): AsyncGenerator<Message> {
  let buffer = "";
  let id: string | undefined;
  let name = "";
  let data: string[] = [];
  if (!response.body) return;
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    buffer += chunk;
    for (let end = buffer.indexOf("\n"); end >= 0; end = buffer.indexOf("\n")) {
      const line = buffer.slice(0, end).replace(/\r$/, "");
      buffer = buffer.slice(end + 1);
      if (line === "") {
        if (data.length > 0 && (name === "" || name === "message")) yield { id, data: data.join("\n") };
        name = "";
        data = [];
        continue;
      }
      const colon = line.indexOf(":");
      const field = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
      if (field === "data") data.push(value);
      else if (field === "id") id = value;
      else if (field === "event") name = value;
    }
  }
}
