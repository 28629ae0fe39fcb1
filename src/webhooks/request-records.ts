/** Raw requests as rows, many in a statement: they are stored as they come, and again when the plugin has answered, with what it accepted. */
import { sql } from "kysely";
import type { Deliveries } from "../bus/deliveries.ts";
import type { DeliveryInput } from "../bus/delivery.ts";
import { jsonRows } from "../store/json.ts";
import type { Tx } from "../store/store.ts";

export interface Received {
  request: {
    organization: string;
    plugin: string;
    method: string;
    headers: Record<string, string>;
    body: Uint8Array;
  };
  id: string;
  url: string;
  traceparent: string;
}

export interface Answered {
  organization: string;
  id: string;
  /** Of the answer. */
  status: number;
  execution: string;
  /** What a plugin refuses is a stranger's: that it came is worth a row, what it said is not worth the disk. */
  forget: boolean;
  /** What the plugin accepted. */
  deliveries: DeliveryInput[];
}

const receivedColumns = {
  organization_id: "text",
  id: "text",
  plugin_id: "text",
  method: "text",
  url: "text",
  headers: "jsonb",
  body: "text",
  traceparent: "text",
} as const;

/** Harmless when it comes twice. */
export async function insertReceived(tx: Tx, received: readonly Received[]): Promise<undefined> {
  const rows = received.map(({ request, id, url, traceparent }) => ({
    organization_id: request.organization,
    id,
    plugin_id: request.plugin,
    method: request.method,
    url,
    headers: request.headers,
    body: Buffer.from(request.body.buffer, request.body.byteOffset, request.body.byteLength).toString("base64"),
    traceparent,
  }));
  await sql`insert into webhook_requests (organization_id, id, plugin_id, method, url, headers, body, traceparent)
    select organization_id, id, plugin_id, method, url, headers, decode(body, 'base64'), traceparent
    from ${jsonRows(rows, receivedColumns)} on conflict do nothing`.execute(tx);
}

const answeredColumns = { o: "text", i: "text", s: "int", e: "text", f: "boolean" } as const;

/** Errors as of `enqueue`. */
export async function writeAnswered(
  tx: Tx,
  deliveries: Pick<Deliveries, "enqueue">,
  answered: readonly Answered[],
): Promise<undefined> {
  const rows = answered.map(({ organization, id, status, execution, forget }) => ({
    ...{ o: organization, i: id, s: status, e: execution, f: forget },
  }));
  await sql`update webhook_requests w set status = rows.s, execution_id = rows.e,
      headers = case when rows.f then '{}' else w.headers end, body = case when rows.f then '' else w.body end
    from ${jsonRows(rows, answeredColumns)} where w.organization_id = rows.o and w.id = rows.i`.execute(tx);
  const accepted = answered.flatMap((one) => one.deliveries);
  if (accepted.length > 0) await deliveries.enqueue(tx, accepted);
}
