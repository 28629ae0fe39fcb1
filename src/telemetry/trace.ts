/** Trace context after W3C Trace Context level 1: what ties a webhook to the events, calls and data changes it leads to. */
import { newOrderedHex } from "../base/ids.ts";
import { randomHex } from "../base/random.ts";

/** One span's place in a trace. */
export interface Trace {
  /** 32 lower-case hex digits, never all zero. */
  traceId: string;
  /** 16 lower-case hex digits, never all zero. */
  spanId: string;
  /** Span id of the parent. */
  parent?: string;
  /** @default true */
  sampled?: boolean;
}

/** A new trace with its first span. Trace ids begin with the time, so that new entries of an index lie together; 80 bits are random. */
export function newTrace(): Trace {
  return { traceId: newOrderedHex(), spanId: newSpanId(), sampled: true };
}

/** A new span of the same trace, below the given one. */
export function childSpan(trace: Trace): Trace {
  return { ...trace, spanId: newSpanId(), parent: trace.spanId };
}

/** Goes on with the trace of a traceparent header, or starts one when there is none that can be read. */
export function continueTrace(traceparent: string | null | undefined): Trace {
  const parent = parseTraceparent(traceparent);
  return parent ? childSpan(parent) : newTrace();
}

/** The header of a request or event that this span causes. */
export function formatTraceparent(trace: Trace): string {
  return `00-${trace.traceId}-${trace.spanId}-${trace.sampled === false ? "00" : "01"}`;
}

const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/** The sender's span, or `undefined` when the header must be ignored: malformed, all-zero ids, version ff. */
export function parseTraceparent(header: string | null | undefined): Trace | undefined {
  if (typeof header !== "string" || header.length > 512) return undefined;
  const parts = TRACEPARENT.exec(header.trim());
  if (!parts) return undefined;
  const [, version, traceId, spanId, flags, rest] = parts as unknown as [
    string,
    string,
    string,
    string,
    string,
    string | undefined,
  ];
  // Later versions may append fields; version 00 has none.
  if (version === "ff" || (version === "00" && rest !== undefined)) return undefined;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

function newSpanId(): string {
  const id = randomHex(8);
  return /^0+$/.test(id) ? newSpanId() : id;
}
