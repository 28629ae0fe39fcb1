/**
 * The audit log: who decided what, for each organisation a chain in which every entry carries the hash of the one before.
 * Entries are written in the caller's transaction, so a decision and its record exist together or not at all.
 * The chain shows changes, removals and insertions; that the newest entries were cut off shows only against a head
 * (`seq`, `hash`) noted elsewhere.
 */
import { sql } from "kysely";
import { decodeCursor, encodeCursor } from "../base/cursor.ts";
import type { JsonObject } from "../base/json.ts";
import { BackplaneError } from "../errors/error.ts";
import { json, jsonText } from "../store/json.ts";
import type { Store, Tx } from "../store/store.ts";
import { type ChainedEntry, genesisHash, hashEntry } from "./chain.ts";

export interface AuditRecord {
  organization: string;
  /** `hub_admin`, `key:<id>`, `plugin:<id>` or `hub`. */
  actor: string;
  /** What was done, as `thing.verb`. */
  action: string;
  target: string;
  /** Kept as it is for good: never put a secret in it. @default {} */
  details?: Record<string, unknown> | undefined;
  traceId?: string | undefined;
}

export interface AuditEntry extends ChainedEntry {
  previousHash: string;
  hash: string;
}

export interface AuditHead {
  seq: number;
  hash: string;
}

export interface AuditVerdict {
  valid: boolean;
  /** Entries that were checked and found right. */
  entries: number;
  head: AuditHead;
  /** The first entry that is wrong, and how. */
  fault?: { seq: number; reason: string };
}

export interface AuditListOptions {
  /** @default 50, at most 200 */
  limit?: number | undefined;
  cursor?: string | undefined;
  actor?: string | undefined;
  action?: string | undefined;
  target?: string | undefined;
}

export interface Audit {
  /** Appends to the organisation's chain. Others who append to the same chain wait until `tx` ends. */
  record(tx: Tx, record: AuditRecord): Promise<AuditHead>;
  /** Newest first. Error: `invalid_cursor`. */
  list(organization: string, options?: AuditListOptions): Promise<{ entries: AuditEntry[]; nextCursor: string | null }>;
  /** Recomputes every hash. With `expected`, a head noted earlier, it also finds a log that was cut off or rewritten whole. */
  verifyChain(organization: string, expected?: AuditHead): Promise<AuditVerdict>;
}

const pageSize = 1000;

export function createAudit({ store }: { store: Store }): Audit {
  return {
    async record(tx, record) {
      const { organization, actor, action, target } = record;
      await sql`select pg_advisory_xact_lock(hashtextextended(${`audit:${organization}`}, 0))`.execute(tx);
      const last = await tx
        .selectFrom("audit_log")
        .select(["seq", "hash"])
        .where("organization_id", "=", organization)
        .orderBy("seq", "desc")
        .limit(1)
        .executeTakeFirst();
      // The hash covers what the database will give back: no `undefined`, no NUL, no lone surrogate.
      const entry = JSON.parse(
        jsonText({
          organization,
          seq: (last?.seq ?? 0) + 1,
          at: new Date().toISOString(),
          actor,
          action,
          target,
          details: record.details ?? {},
          traceId: record.traceId ?? null,
        }),
      ) as ChainedEntry;
      const previousHash = last?.hash ?? genesisHash;
      const hash = hashEntry(entry, previousHash);
      await tx
        .insertInto("audit_log")
        .values({
          organization_id: entry.organization,
          seq: entry.seq,
          at: new Date(entry.at),
          actor: entry.actor,
          action: entry.action,
          target: entry.target,
          details: json(entry.details),
          trace_id: entry.traceId,
          previous_hash: previousHash,
          hash,
        })
        .execute();
      return { seq: entry.seq, hash };
    },

    async list(organization, { limit = 50, cursor, actor, action, target } = {}) {
      const size = Math.min(Math.max(limit, 1), 200);
      let query = rowsOf(store, organization)
        .orderBy("seq", "desc")
        .limit(size + 1);
      if (cursor !== undefined) query = query.where("seq", "<", parseCursor(cursor));
      if (actor !== undefined) query = query.where("actor", "=", actor);
      if (action !== undefined) query = query.where("action", "=", action);
      if (target !== undefined) query = query.where("target", "=", target);
      const entries = (await query.execute()).map(toEntry);
      const more = entries.length > size;
      if (more) entries.pop();
      return { entries, nextCursor: more ? encodeCursor([entries.at(-1)!.seq]) : null };
    },

    async verifyChain(organization, expected) {
      let head: AuditHead = { seq: 0, hash: genesisHash };
      let expectedSeen = expected === undefined || expected.seq === 0;
      const fault = (seq: number, reason: string): AuditVerdict => ({
        valid: false,
        entries: head.seq,
        head,
        fault: { seq, reason },
      });
      for (;;) {
        const rows = await rowsOf(store, organization)
          .where("seq", ">", head.seq)
          .orderBy("seq")
          .limit(pageSize)
          .execute();
        for (const entry of rows.map(toEntry)) {
          if (entry.seq !== head.seq + 1) return fault(head.seq + 1, "the entry is missing");
          if (entry.previousHash !== head.hash) return fault(entry.seq, "the entry does not follow the one before it");
          if (entry.hash !== hashEntry(entry, entry.previousHash)) return fault(entry.seq, "the entry was changed");
          if (entry.seq === expected?.seq) {
            if (entry.hash !== expected.hash)
              return fault(entry.seq, "the chain was rewritten: it differs from the head noted before");
            expectedSeen = true;
          }
          head = { seq: entry.seq, hash: entry.hash };
        }
        if (rows.length < pageSize) break;
      }
      if (!expectedSeen) return fault(head.seq + 1, "the newest entries were cut off");
      return { valid: true, entries: head.seq, head };
    },
  };
}

const rowsOf = (store: Store, organization: string) =>
  store.db.selectFrom("audit_log").selectAll().where("organization_id", "=", organization);

type AuditRow = Awaited<ReturnType<ReturnType<typeof rowsOf>["execute"]>>[number];

function toEntry(row: AuditRow): AuditEntry {
  return {
    organization: row.organization_id,
    seq: row.seq,
    at: row.at.toISOString(),
    actor: row.actor,
    action: row.action,
    target: row.target,
    details: row.details as JsonObject,
    traceId: row.trace_id,
    previousHash: row.previous_hash,
    hash: row.hash,
  };
}

function parseCursor(cursor: string): number {
  const [seq] = decodeCursor(cursor, 1);
  if (!Number.isSafeInteger(seq)) throw new BackplaneError("invalid_cursor");
  return seq as number;
}
