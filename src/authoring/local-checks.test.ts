import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { BackplaneError } from "../errors/error.ts";
import { checkMachine, type Finding } from "./local-checks.ts";

async function check(
  t: TestContext,
  env: Record<string, string>,
  prepare?: (dir: string) => Promise<void>,
): Promise<(name: string) => Finding | undefined> {
  const cwd = await mkdtemp(join(tmpdir(), "doctor-"));
  t.after(() => rm(cwd, { recursive: true, force: true }));
  await prepare?.(cwd);
  const findings = await checkMachine({
    env,
    cwd,
    readSettings: () => {
      if (env["PORT"] === "x") throw new BackplaneError("invalid_settings", { reason: "PORT must be a number" });
    },
  });
  return (name) => findings.find((finding) => finding.name === name);
}

test("on a sound machine nothing is a problem, and the walls are named", async (t) => {
  const finding = await check(t, {});
  for (const name of [
    "Node",
    "isolates",
    "bundler",
    "environment",
    "data folder",
    "store",
    "deliveries",
    "separate process",
    "permission model",
  ])
    assert.equal(finding(name)?.state, "active", name);
});

test("wrong settings, an override and a bad key are each a finding", async (t) => {
  const finding = await check(t, {
    PORT: "x",
    BACKPLANE_EGRESS_OVERRIDE: '{"api.vendor.com":"http://127.0.0.1:9"}',
    BACKPLANE_MASTER_KEY: "short",
  });
  assert.equal(finding("environment")?.state, "problem");
  assert.match(finding("egress override")?.detail ?? "", /^TEST SETTING: .*api\.vendor\.com/);
  assert.equal(finding("master key")?.state, "problem");
});

test("a database or bus that does not answer is a problem that names the variable or the address", async (t) => {
  const imposter = createServer((socket) => void socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
  await new Promise<void>((resolve) => imposter.listen(0, "127.0.0.1", resolve));
  t.after(() => imposter.close());
  const { port } = imposter.address() as AddressInfo;
  const finding = await check(t, {
    DATABASE_URL: "postgres://me@127.0.0.1:9/none",
    NATS_URL: `nats://127.0.0.1:${port}`,
  });
  assert.equal(finding("store")?.state, "problem");
  assert.match(finding("store")?.detail ?? "", /^DATABASE_URL: /);
  assert.match(finding("deliveries")?.detail ?? "", /is no NATS server/);
});

test("a token that others can read, and a data folder that is a file, are problems", {
  skip: process.platform === "win32",
}, async (t) => {
  const open = await check(t, {}, async (dir) => {
    await mkdir(join(dir, ".backplane"));
    await writeFile(join(dir, ".backplane/admin-token"), "t");
    await chmod(join(dir, ".backplane/admin-token"), 0o644);
  });
  assert.match(open("admin token")?.detail ?? "", /chmod 600/);
  const wrong = await check(t, {}, (dir) => writeFile(join(dir, ".backplane"), ""));
  assert.equal(wrong("data folder")?.state, "problem");
});
