/**
 * OpenTelemetry spans around the hub's own steps, with our trace ids as parent. Uses only the API package: without an SDK
 * registered by whoever runs the hub, every call here does nothing.
 */
import {
  type Attributes,
  context,
  trace as otel,
  ROOT_CONTEXT,
  type Span,
  SpanStatusCode,
  TraceFlags,
} from "@opentelemetry/api";
import { BackplaneError } from "../errors/error.ts";
import type { Trace } from "./trace.ts";

/** Runs `work` in a span named `name` under `parent`. A failure marks the span with the error's code and is thrown on. */
export async function withSpan<T>(
  name: string,
  parent: Trace,
  attributes: Attributes,
  work: (span: Span) => Promise<T>,
): Promise<T> {
  const parentContext = otel.setSpanContext(ROOT_CONTEXT, {
    traceId: parent.traceId,
    spanId: parent.spanId,
    traceFlags: parent.sampled === false ? TraceFlags.NONE : TraceFlags.SAMPLED,
    isRemote: false,
  });
  const span = otel.getTracer("backplane").startSpan(name, { attributes }, parentContext);
  try {
    return await context.with(otel.setSpan(parentContext, span), () => work(span));
  } catch (error) {
    // The message may hold what a plugin said; the code is ours.
    span.setStatus({ code: SpanStatusCode.ERROR, message: error instanceof BackplaneError ? error.code : "internal" });
    throw error;
  } finally {
    span.end();
  }
}
