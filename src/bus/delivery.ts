/** The words of durable work: what is enqueued, what a handler gets, and what a handler may throw. */
import type { JsonValue } from "../base/json.ts";
import type { EventRecord } from "./event-record.ts";

export type DeliveryKind = "event" | "webhook" | "execution" | "message" | "sync" | "rule";

export interface DeliveryInput {
  organization: string;
  consumer: string;
  kind: DeliveryKind;
  /** Items of one key reach the consumer strictly one after the other. @default itemId, which means unordered */
  key?: string | undefined;
  /** Dedupe key within the consumer: the same item again is not a second delivery. */
  itemId: string;
  payload: unknown;
  /** Not before this time. @default now */
  due?: Date | undefined;
  traceparent?: string | undefined;
}

export interface DeliveryRef {
  organization: string;
  consumer: string;
  itemId: string;
}

export interface Delivery {
  organization: string;
  id: number;
  consumer: string;
  kind: DeliveryKind;
  key: string;
  itemId: string;
  /** 1 at the first try. */
  attempt: number;
  maxAttempts: number;
  payload: JsonValue;
  /** Present for kind `event`. */
  event?: EventRecord;
  /** How many events caused one another up to this one. */
  depth: number;
  traceparent?: string;
  enqueuedAt: Date;
  /** Aborts when the delivery is cancelled, its lease is lost, or the hub stops and will not wait longer. */
  signal: AbortSignal;
}

/** Why a delivery failed: stored with it, and the reason of a dead letter. */
export interface DeliveryFault {
  code: string;
  message: string;
}

/** Thrown by a handler: trying again cannot help, so this is a dead letter now. */
export class DeadLetter extends Error {
  readonly code: string;
  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "DeadLetter";
    this.code = code;
  }
}

/** Thrown by a handler: not now, for a reason that is not the item's (plugin paused, rate limited). It does not count as an attempt. */
export class RetryLater extends Error {
  readonly ms: number;
  constructor(ms: number, message = "not now", options?: ErrorOptions) {
    super(message, options);
    this.name = "RetryLater";
    this.ms = ms;
  }
}

export type DeliveryHandler = (delivery: Delivery) => Promise<void>;

/** Code and first line of anything thrown; stacks stay out of the database. */
export function faultOf(error: unknown): DeliveryFault {
  const code =
    typeof error === "object" && error !== null && "code" in error && typeof error.code === "string"
      ? error.code
      : "handler_failed";
  const message = error instanceof Error ? error.message : String(error);
  return { code: clean(code).slice(0, 100), message: clean(message).slice(0, 2000) };
}

// A fault is written to jsonb, which takes neither NUL nor lone surrogates.
function clean(text: string): string {
  return text.replaceAll("\u0000", "").toWellFormed();
}
