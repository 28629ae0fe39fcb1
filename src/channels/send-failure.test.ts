/** What a failed send means: every code the hub or a service can give, with and without a request to the service. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { BackplaneError } from "../errors/error.ts";
import { type ErrorCode, errorTable } from "../errors/table.ts";
import { classifySendFailure } from "./send-failure.ts";

const codes = Object.keys(errorTable) as ErrorCode[];
const none = {};
const once = { "data.query": 3, "http.fetch": 1 };
const guest = (fields: object): BackplaneError =>
  new BackplaneError("plugin_error", { plugin: "p", reason: "r", guest: { name: "Error", ...fields } });
const kind = (error: BackplaneError, abilityCalls: Record<string, number> | undefined): string =>
  classifySendFailure({ error, abilityCalls }).kind;

test("without a request nothing was sent, so the outcome is never unknown", () => {
  for (const code of codes.filter((one) => one !== "result_invalid")) {
    for (const calls of [undefined, none, { "data.upsert": 1 }]) {
      const found = kind(new BackplaneError(code), calls);
      assert.ok(found === "again" || found === "refused", `${code}: ${found}`);
    }
  }
});

test("after a request only what the service or the hub's egress said is certain", () => {
  for (const code of codes.filter((one) => one !== "plugin_error" && one !== "result_invalid"))
    assert.equal(kind(new BackplaneError(code), once), "unknown", code);
  assert.equal(kind(guest({}), once), "unknown");
  assert.equal(kind(guest({}), { "plugins.call": 1 }), "unknown");
  assert.equal(kind(guest({ code: "egress_timeout" }), once), "unknown");
  assert.equal(kind(guest({ code: "database_unavailable" }), once), "unknown");
  for (const code of ["egress_denied", "secret_misused", "connection_required", "connection_expired"])
    assert.equal(kind(guest({ code }), once), "refused", code);
  assert.equal(kind(guest({ code: "connection_unavailable" }), once), "again");
});

test("a connection that never came about has sent nothing", () => {
  for (const reason of [
    "it refused the connection",
    "no connection could be made in time",
    "its certificate is not valid (X)",
  ]) {
    const error = new BackplaneError("plugin_error", {
      plugin: "p",
      reason,
      guest: { name: "E", code: "egress_failed" },
    });
    assert.equal(kind(error, once), "again", reason);
  }
  const broken = "the connection broke before the answer was complete";
  const error = new BackplaneError("plugin_error", {
    plugin: "p",
    reason: broken,
    guest: { name: "E", code: "egress_failed" },
  });
  assert.equal(kind(error, once), "unknown");
});

test("HTTP statuses: refused, again, or nobody knows", () => {
  const by = (status: number): string => kind(guest({ status }), once);
  for (const status of [400, 401, 403, 404, 409, 410, 413, 422, 451])
    assert.equal(by(status), "refused", String(status));
  for (const status of [425, 429, 500, 503]) assert.equal(by(status), "again", String(status));
  for (const status of [200, 302, 408, 501, 502, 504, 599]) assert.equal(by(status), "unknown", String(status));
});

test("a service that says when to come back holds the channel, uncounted, for at most an hour", () => {
  const slower = (status: number, retryAfter?: number): object =>
    classifySendFailure({
      error: guest({ status, ...(retryAfter === undefined ? {} : { retryAfter }) }),
      abilityCalls: once,
    });
  assert.deepEqual(slower(429, 3), { kind: "again", counted: false, hold: true, waitMs: 3000 });
  assert.deepEqual(slower(429, 1e9), { kind: "again", counted: false, hold: true, waitMs: 3_600_000 });
  assert.deepEqual(slower(429), { kind: "again", counted: true, hold: true });
  assert.deepEqual(slower(503, 2), { kind: "again", counted: false, hold: true, waitMs: 2000 });
  assert.deepEqual(slower(503), { kind: "again", counted: true });
});

test("whatever a guest says of its error, there is an answer", () => {
  fc.assert(
    fc.property(fc.anything(), fc.boolean(), (said, requested) => {
      const error = new BackplaneError("plugin_error", { plugin: "p", reason: "r", guest: said });
      assert.match(kind(error, requested ? once : none), /^(again|refused|unknown)$/);
    }),
    { seed: 11 },
  );
});
