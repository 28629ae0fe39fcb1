import assert from "node:assert/strict";
import { test } from "node:test";
import { BackplaneError } from "../../src/errors/error.ts";
import { readSettings } from "../../src/settings.ts";

test("a proxy is believed by number of hops or by address, and none when nothing is said", () => {
  const read = (text?: string) => readSettings({ BACKPLANE_TRUST_PROXY: text }).trustProxy;
  assert.equal(read(), undefined);
  assert.equal(read(""), undefined);
  assert.equal(read("1"), 1);
  assert.equal(read("127.0.0.1"), "127.0.0.1");
  assert.equal(read(" 10.0.0.0/8, ::1 ,fd00::/8, loopback"), "10.0.0.0/8,::1,fd00::/8,loopback");
  for (const wrong of ["0", "11", "true", "*", "proxy.internal", "10.0.0.0/33", "10.0.0.0/0", "1,2", "127.0.0.1,"])
    assert.throws(
      () => read(wrong),
      (error) => error instanceof BackplaneError && /BACKPLANE_TRUST_PROXY must be/.test(error.message),
      wrong,
    );
});

test("a database that is no PostgreSQL is refused by its scheme, and no password is repeated", () => {
  const read = (url: string) => readSettings({ DATABASE_URL: url, BACKPLANE_MASTER_KEY: "key" }).databaseUrl;
  for (const url of ["postgres://a:b@host/db", "postgresql:///db", "socket:/run/postgresql?db=x", "/run/postgresql db"])
    assert.equal(read(url), url);
  assert.throws(
    () => read("mysql://root:hunter2@host/db"),
    (error) =>
      error instanceof BackplaneError &&
      /DATABASE_URL must .*mysql/.test(error.message) &&
      !error.message.includes("hunter2"),
  );
});

test("all wrong variables are named at once", () => {
  assert.throws(
    () => readSettings({ PORT: "x", BACKPLANE_ISOLATION: "none", BACKPLANE_TRUST_PROXY: "all" }),
    /PORT.*BACKPLANE_ISOLATION.*BACKPLANE_TRUST_PROXY/,
  );
});
