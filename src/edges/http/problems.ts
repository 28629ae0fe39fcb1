/** Every way a request can go wrong, answered as one problem document: our errors, the framework's, and the parser's. */
import { STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { BackplaneError, toBackplaneError } from "../../errors/error.ts";
import { toProblem } from "../../errors/problem.ts";
import type { Trace } from "../../telemetry/trace.ts";

export interface ProblemOptions {
  traceOf(request: FastifyRequest): Trace;
  /** Told about what the hub itself did wrong. */
  onError?(error: unknown, context: { method: string; url: string; traceId: string }): void;
}

/** Answers `error` on `reply`. */
export type AnswerProblem = (error: unknown, request: FastifyRequest, reply: FastifyReply) => FastifyReply;

export function createAnswerProblem({ traceOf, onError }: ProblemOptions): AnswerProblem {
  return (given, request, reply) => {
    const error = fromFastify(given, request);
    const { traceId } = traceOf(request);
    const { status, audience } = error.row;
    if (status >= 500 && audience !== "author") onError?.(error, { method: request.method, url: request.url, traceId });
    const problem = toProblem(error, traceId);
    if (error.code === "payload_too_large") takeTheRest(request, reply);
    if (error.code === "unauthenticated") reply.header("www-authenticate", "Bearer");
    if (status === 429 || status === 503) reply.header("retry-after", String(problem.retryAfter ?? 1));
    // What a 400 is about is always named, if only as the whole body.
    if (status === 400) problem.errors ??= [{ path: "$", message: problem.detail }];
    return reply
      .code(status)
      .type("application/problem+json")
      .send({ ...problem, ...(error.details["problem"] as object | undefined) });
  };
}

/** Bytes of a refused body that are read and thrown away; whoever sends more loses the connection. */
const maxThrownAway = 256 * 1024 * 1024;

/**
 * Who is still sending a body must be able to read why it is refused. A connection that closes on unread bytes is reset,
 * and the answer is lost with it.
 */
function takeTheRest({ raw }: FastifyRequest, reply: FastifyReply): void {
  if (raw.complete) return;
  reply.removeHeader("connection");
  let left = maxThrownAway;
  raw.on("data", (bytes: Buffer) => {
    left -= bytes.byteLength;
    if (left < 0) raw.destroy();
  });
}

export function setProblems(app: FastifyInstance, answer: AnswerProblem): void {
  app.setErrorHandler((error, request, reply) => answer(error, request, reply));
  app.setNotFoundHandler((request, reply) =>
    answer(new BackplaneError("not_found", { thing: "path" }), request, reply),
  );
}

/** Bytes that are no HTTP request never reach a route; the answer is written by hand. */
export function answerClientError(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === "ECONNRESET" || socket.destroyed || !socket.writable) {
    socket.destroy();
    return;
  }
  const { problem, status } = parserProblem(error.code);
  const body = JSON.stringify(problem);
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\ncontent-type: application/problem+json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
}

function parserProblem(code: string | undefined): { status: number; problem: object } {
  if (code === "HPE_HEADER_OVERFLOW") {
    const problem = toProblem(new BackplaneError("payload_too_large", { size: "header", limit: "16384" }));
    return {
      status: 431,
      problem: { ...problem, status: 431, detail: "The request's head is too large; at most 16 KiB are taken." },
    };
  }
  if (code === "ERR_HTTP_REQUEST_TIMEOUT") {
    const problem = toProblem(new BackplaneError("invalid_json", { reason: "the request did not arrive in time" }));
    return { status: 408, problem: { ...problem, status: 408 } };
  }
  const detail = "The bytes are not an HTTP request.";
  const problem = toProblem(new BackplaneError("invalid_input", {}, { errors: [{ path: "$", message: detail }] }));
  return { status: 400, problem: { ...problem, detail } };
}

/** Fastify's own errors, in our words. */
function fromFastify(error: unknown, request: FastifyRequest): BackplaneError {
  if (error instanceof BackplaneError) return error;
  const { code, statusCode } = error as { code?: string; statusCode?: number };
  switch (code) {
    case "FST_ERR_CTP_BODY_TOO_LARGE":
      return new BackplaneError("payload_too_large", {
        size: request.headers["content-length"] ?? "more",
        limit: request.routeOptions.bodyLimit,
      });
    case "FST_ERR_CTP_INVALID_MEDIA_TYPE":
    case "FST_ERR_CTP_INVALID_TYPE":
      return new BackplaneError("unsupported_media_type", {
        type: String(request.headers["content-type"] ?? "none").slice(0, 100),
        expected: request.routeOptions.config?.contentTypes ?? "application/json",
      });
    case "FST_ERR_CTP_INVALID_CONTENT_LENGTH":
      return new BackplaneError("invalid_json", { reason: "the body does not have the announced length" });
    case "FST_ERR_BAD_URL":
    case "FST_ERR_MAX_PARAM_LENGTH":
      return new BackplaneError("not_found", { thing: "path" });
    default:
      if (statusCode === 400) return new BackplaneError("invalid_json", { reason: "the request cannot be read" });
      if (statusCode === 404 || statusCode === 414) return new BackplaneError("not_found", { thing: "path" });
      return toBackplaneError(error);
  }
}
