/**
 * A seeded sample of the corpus against a whole hub, as its users meet it: a process of its own, attacks published as packages
 * and called over HTTP. After each the hub answers, another organisation's plugin answers rightly, and the process is the same.
 * ESCAPE_SEED and ESCAPE_HUB_ATTACKS change the run.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { errorTable } from "../../src/errors/table.ts";
import { packageEntries, tgz } from "../../src/packages/tar.fixture.ts";
import { type Attack, loadAttacks, shuffled } from "./attack.ts";
import { descendants } from "./machine.ts";

const seed = Number(process.env["ESCAPE_SEED"] ?? Date.now() % 1_000_000);
const count = Number(process.env["ESCAPE_HUB_ATTACKS"] ?? 36);
// `data.getById` answers null on an empty store: attacks that need its answer belong to the corpus on the port.
const fits = (attack: Attack): boolean =>
  (attack.mode ?? "call") === "call" &&
  attack.args === undefined &&
  attack.argsDepth === undefined &&
  attack.handler === undefined &&
  attack.config === undefined &&
  attack.bundlePad === undefined &&
  !attack.code.includes("getById") &&
  // The hub grants `crypto` to everyone; this one knows the list of the proving ground.
  attack.id !== "ability-absent";
const only = (process.env["ESCAPE_ONLY"] ?? "").split(",").filter((part) => part !== "");
const chosen = loadAttacks().filter(
  (attack) => fits(attack) && (only.length === 0 || only.some((part) => attack.id.includes(part))),
);
const attacks = shuffled(chosen, seed).slice(0, count);

const root = join(import.meta.dirname, "../..");
const adminToken = randomBytes(32).toString("hex");
const canary = `canary-hub-${randomBytes(12).toString("hex")}`;
const sawCanary: string[] = [];

let hub: ChildProcess;
let url = "";
let output = "";
let dataDir = "";
let exited = false;

interface Answer {
  status: number;
  body: Record<string, unknown>;
  text: string;
}

async function request(method: string, path: string, organization: string, body?: unknown): Promise<Answer> {
  const bytes = body instanceof Uint8Array;
  const answer = await fetch(url + path, {
    method,
    headers: {
      authorization: `Bearer ${adminToken}`,
      "x-organization-id": organization,
      ...(body === undefined ? {} : { "content-type": bytes ? "application/gzip" : "application/json" }),
    },
    ...(body === undefined ? {} : { body: bytes ? new Uint8Array(body) : JSON.stringify(body) }),
    signal: AbortSignal.timeout(30_000),
  });
  const text = await answer.text();
  if (organization !== "canary" && text.includes(canary)) sawCanary.push(`${method} ${path}`);
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    parsed = {};
  }
  return { status: answer.status, text, body: (parsed ?? {}) as Record<string, unknown> };
}

async function deploy(
  organization: string,
  id: string,
  name: string,
  code: string,
  more: object,
): Promise<Answer | undefined> {
  const manifest = {
    id,
    name: id,
    version: "1.0.0",
    type: "domain",
    entrypoint: "./index.js",
    contributes: { functions: [{ name, description: "called by the test", parameters: { type: "object" } }] },
    ...more,
  };
  const published = await request("POST", "/api/packages", organization, tgz(packageEntries(manifest, code)));
  // Code that cannot be a plugin is refused at the door; the caller judges whether that may be.
  if (published.body["code"] === "invalid_package") return published;
  assert.equal(published.status, 201, published.text);
  const config = "configSchema" in more ? { secret: canary } : {};
  const installed = await request("POST", "/api/plugins", organization, { id, grants: "all", config });
  assert.equal(installed.status, 201, installed.text);
  const activated = await request("POST", `/api/plugins/${encodeURIComponent(id)}/activate`, organization);
  assert.ok(activated.status < 300, activated.text);
  return undefined;
}

async function assertCanaryAnswers(): Promise<void> {
  const n = randomBytes(8).toString("hex");
  const { status, body, text } = await request("POST", "/api/plugins/acme.canary", "canary", {
    function: "ping",
    parameters: { n },
  });
  assert.equal(status, 200, text);
  assert.deepEqual(body["result"], { n, length: canary.length });
}

describe(`a hub under attack (${attacks.length} attacks, seed ${seed})`, { timeout: 300_000 }, () => {
  before(async () => {
    dataDir = mkdtempSync(join(tmpdir(), "backplane-escape-"));
    const start = `import { startHub } from ${JSON.stringify(join(root, "src/main.ts"))}; const { url } = await startHub(); console.log("Backplane listening on " + url);`;
    hub = spawn(process.execPath, ["--no-node-snapshot", "--input-type=module", "-e", start], {
      cwd: root,
      env: {
        PATH: process.env["PATH"],
        PORT: "0",
        BACKPLANE_DATA: dataDir,
        BACKPLANE_ADMIN_TOKEN: adminToken,
        BACKPLANE_CANARY: canary,
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    hub.on("exit", () => {
      exited = true;
    });
    for (const stream of [hub.stdout!, hub.stderr!]) stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
    for (let i = 0; i < 600 && url === "" && !exited; i += 1) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      url = /listening on (\S+)/.exec(output)?.[1] ?? "";
    }
    assert.notEqual(url, "", `the hub did not start: ${output.slice(-2000)}`);
    for (const id of ["canary", "attackers"]) {
      assert.equal((await request("POST", "/api/organizations", id, { id, name: id })).status, 201);
    }
    const code =
      "globalThis.__backplanePlugin = { functions: { async ping({ n }, ctx) { return { n, length: ctx.config.secret.length }; } } };";
    const configSchema = { type: "object", properties: { secret: { type: "string" } }, required: ["secret"] };
    assert.equal(await deploy("canary", "acme.canary", "ping", code, { configSchema }), undefined);
    await assertCanaryAnswers();
  });

  after(async () => {
    const family = hub.pid === undefined ? [] : descendants(hub.pid);
    hub.kill("SIGKILL");
    await new Promise((resolve) => setTimeout(resolve, 1500));
    const left = family.filter(({ pid, command }) =>
      descendants(1).some((now) => now.pid === pid && now.command === command),
    );
    for (const { pid } of left) process.kill(pid, "SIGKILL");
    rmSync(dataDir, { recursive: true, force: true });
    assert.deepEqual(left, [], "runners outlive a hub that was killed");
  });

  for (const attack of attacks) {
    it(`${attack.invariant} holds through HTTP against ${attack.id}`, async () => {
      const id = `escape.${attack.id}`;
      const timeoutMs = Math.min(attack.limits?.timeoutMs ?? 8000, 8000);
      const refused = await deploy("attackers", id, "attack", attack.code, {
        permissions: ["data:read:thing", "event:publish:flood.*"],
        resources: { memoryMb: 32, cpuMs: attack.limits?.cpuMs ?? 200, timeoutMs, concurrency: 4 },
      });
      if (refused !== undefined) {
        assert.equal(attack.class, "load", refused.text);
        assert.ok(!refused.text.includes(root), "the refusal names the host");
        return await assertCanaryAnswers();
      }
      const [outcome] = await Promise.all([
        request("POST", `/api/plugins/${encodeURIComponent(id)}`, "attackers", { function: "attack", parameters: {} }),
        assertCanaryAnswers(),
      ]);
      const code = outcome.status === 200 ? "completes" : String(outcome.body["code"]);
      assert.ok(
        code === "completes" || (Object.hasOwn(errorTable, code) && code !== "internal"),
        `${outcome.status} ${outcome.text.slice(0, 500)}`,
      );
      const breach = (outcome.body["result"] as { breach?: unknown } | null | undefined)?.breach ?? null;
      assert.equal(breach, null);
      assert.ok(!outcome.text.includes(root), `the answer names the host: ${outcome.text.slice(0, 600)}`);
      assert.equal((await fetch(`${url}/healthz`)).status, 200);
      await assertCanaryAnswers();
      assert.equal(exited, false, "the hub ended");
      await request("DELETE", `/api/plugins/${encodeURIComponent(id)}`, "attackers");
    });
  }

  it("shows no canary and no host path in executions, events, dead letters or its own log", async () => {
    for (const path of [
      "/api/executions?limit=200",
      "/api/events?limit=200",
      "/api/dead-letters",
      "/api/plugins",
      "/api/packages",
    ]) {
      const answer = await request("GET", path, "attackers");
      assert.equal(answer.status, 200, `${path}: ${answer.text.slice(0, 300)}`);
      assert.ok(!answer.text.includes(root), `${path} names the host`);
    }
    assert.deepEqual(sawCanary, []);
    assert.ok(!output.includes(canary), "the hub's log holds the canary");
  });
});
