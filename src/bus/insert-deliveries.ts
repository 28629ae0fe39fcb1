/** Adds deliveries, many in a statement; an item id that the consumer had before is refused by its index. */
import { sql } from "kysely";
import { BackplaneError } from "../errors/error.ts";
import type { Tx } from "../store/store.ts";
import type { DeliveryInput } from "./delivery.ts";
import { storableJson } from "./event-record.ts";

const maxPayloadBytes = 1024 * 1024;

function payloadText(payload: unknown): string {
  const text = storableJson(payload, "$.payload");
  const size = Buffer.byteLength(text);
  if (size > maxPayloadBytes) throw new BackplaneError("payload_too_large", { size, limit: maxPayloadBytes });
  return text;
}

/** Of one statement: jsonb takes no more than 256 MB. */
const mostRows = 500;
const mostCharacters = 16 * 1024 * 1024;

/** True for each that is new. */
export async function insertDeliveries(tx: Tx, inputs: readonly DeliveryInput[]): Promise<boolean[]> {
  const fresh = new Set<string>();
  let rows: string[] = [];
  let characters = 0;
  const insert = async (): Promise<void> => {
    // One parameter, so that the statement is the same for any number of rows. Of equal ids in one the first is the new one.
    const result = await sql<{ organization_id: string; consumer: string; item_id: string }>`
      insert into deliveries (organization_id, consumer, kind, key, item_id, payload, due, traceparent)
      select o, c, k, y, i, p, coalesce(d, now()), t from jsonb_to_recordset(${`[${rows.join(",")}]`}::jsonb)
        as v(o text, c text, k text, y text, i text, p jsonb, d timestamptz, t text)
      on conflict (organization_id, consumer, item_id) do nothing returning organization_id, consumer, item_id`.execute(
      tx,
    );
    for (const row of result.rows) fresh.add(JSON.stringify([row.organization_id, row.consumer, row.item_id]));
    rows = [];
    characters = 0;
  };
  for (const d of inputs) {
    const { organization: o, consumer: c, kind: k, itemId: i, traceparent: t } = d;
    const fields = JSON.stringify({ o, c, k, y: d.key ?? i, i, d: d.due?.toISOString(), t });
    const row = `${fields.slice(0, -1)},"p":${payloadText(d.payload)}}`;
    if (rows.length === mostRows || (rows.length > 0 && characters + row.length > mostCharacters)) await insert();
    rows.push(row);
    characters += row.length;
  }
  if (rows.length > 0) await insert();
  return inputs.map((d) => fresh.delete(JSON.stringify([d.organization, d.consumer, d.itemId])));
}
