/**
 * The real hub for tests: composed and served as `npm start` does, on a fresh in-memory store and a temporary data folder.
 * Disposing it closes everything and fails when a runner process is left over.
 */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Hub } from "../../src/hub.ts";
import { type RunningHub, startHub } from "../../src/main.ts";
import { packPlugin } from "../../src/packages/pack.ts";
import { pluginFolder } from "../../src/packages/plugin-folder.fixture.ts";
import type { HubSettings } from "../../src/settings.ts";
import type { Store } from "../../src/store/store.ts";
import { openTestStore } from "../../src/store/test-store.ts";

export interface TestHubOptions extends Partial<HubSettings> {
  /** Publish the plugins of `plugins/` and make the demo installations. @default false */
  bundled?: boolean;
  /** `folder`: an embedded store that outlives this hub, in `dataDir`. @default "memory" */
  storage?: "memory" | "folder";
  /** A store of the test's own. */
  store?: Store;
}

export interface RequestOptions {
  /** @default the hub admin's; `null` for none */
  token?: string | null;
  /** Sent as `x-organization-id`. */
  org?: string | undefined;
  /** JSON unless it is bytes or a string. */
  body?: unknown;
  headers?: Record<string, string>;
}

export interface TestAnswer {
  status: number;
  headers: Headers;
  text: string;
  /** The parsed body; `undefined` when it is not JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape, and assert what they find.
  body: any;
}

/** Manifest fields over the smallest manifest, and the code of `index.ts`. */
export interface PluginSource {
  manifest: Record<string, unknown> & { id: string };
  code: string;
}

export interface Keys {
  id: string;
  adminKey: string;
  memberKey: string;
  viewerKey: string;
}

export interface TestHub extends AsyncDisposable {
  readonly url: string;
  readonly hub: Hub;
  readonly dataDir: string;
  request(method: string, path: string, options?: RequestOptions): Promise<TestAnswer>;
  /** Makes the organisation with a key of each role. */
  organization(id: string): Promise<Keys>;
  /** Packs and publishes, over HTTP, for an organisation. */
  publish(org: string, source: PluginSource): Promise<TestAnswer>;
  /** Publishes, installs with all grants, configures and activates. */
  install(org: string, source: PluginSource, config?: Record<string, unknown>): Promise<void>;
  /** Calls a function as hub admin. */
  call(org: string, plugin: string, name: string, parameters?: unknown, more?: object): Promise<TestAnswer>;
  close(options?: { drainMs?: number }): Promise<void>;
}

export async function startTestHub({
  bundled = false,
  storage = "memory",
  store,
  ...settings
}: TestHubOptions = {}): Promise<TestHub> {
  const dataDir = settings.dataDir ?? (await mkdtemp(join(tmpdir(), "backplane-hub-")));
  const own = storage === "memory" && settings.databaseUrl === undefined ? (store ?? (await openTestStore())) : store;
  const running = await startHub(
    { port: 0, logLevel: "silent", ...(bundled ? {} : { pluginsDir: null }), ...settings, dataDir },
    own ? { store: own } : {},
  );
  return testHub(running, dataDir, settings.dataDir === undefined);
}

function testHub(running: RunningHub, dataDir: string, ownsFolder: boolean): TestHub {
  const { hub, url } = running;

  const request: TestHub["request"] = async (method, path, { token, org, body, headers = {} } = {}) => {
    const bearer = token === undefined ? hub.adminToken : token;
    const isRaw = typeof body === "string" || body instanceof Uint8Array;
    const answer = await fetch(url + path, {
      method,
      headers: {
        ...(bearer === null ? {} : { authorization: `Bearer ${bearer}` }),
        ...(org === undefined ? {} : { "x-organization-id": org }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      redirect: "manual",
      ...(body === undefined
        ? {}
        : { body: isRaw ? (body as string | Uint8Array<ArrayBuffer>) : JSON.stringify(body) }),
    });
    const text = await answer.text();
    return { status: answer.status, headers: answer.headers, text, body: parse(text) };
  };

  const must = async (expected: number, asked: Promise<TestAnswer>): Promise<TestAnswer> => {
    const answer = await asked;
    assert.equal(answer.status, expected, answer.text);
    return answer;
  };

  const publish: TestHub["publish"] = async (org, source) =>
    request("POST", "/api/packages", {
      org,
      body: await packSource(source),
      headers: { "content-type": "application/gzip" },
    });

  let closed: Promise<void> | undefined;
  const close: TestHub["close"] = (options) => {
    closed ??= (async () => {
      const pids = hub.runtime.status().runners.map(({ pid }) => pid);
      await running.close(options);
      await assertGone(pids);
      if (ownsFolder) await rm(dataDir, { recursive: true, force: true });
    })();
    return closed;
  };

  return {
    url,
    hub,
    dataDir,
    request,
    publish,
    async organization(id) {
      await must(201, request("POST", "/api/organizations", { body: { id, name: id } }));
      const key = async (role: string): Promise<string> =>
        (await must(201, request("POST", `/api/organizations/${id}/api-keys`, { body: { name: role, role } }))).body
          .key;
      return { id, adminKey: await key("admin"), memberKey: await key("member"), viewerKey: await key("viewer") };
    },
    async install(org, source, config = {}) {
      await must(201, publish(org, source));
      const { id } = source.manifest;
      await must(201, request("POST", "/api/plugins", { org, body: { id, grants: "all", config } }));
      await must(200, request("POST", `/api/plugins/${encodeURIComponent(id)}/activate`, { org }));
    },
    call: (org, plugin, name, parameters = {}, more = {}) =>
      request("POST", `/api/plugins/${encodeURIComponent(plugin)}`, {
        org,
        body: { function: name, parameters, ...more },
      }),
    close,
    [Symbol.asyncDispose]: () => close({ drainMs: 0 }),
  };
}

/** A package's bytes, packed once per content. */
export async function packSource({ manifest, code }: PluginSource): Promise<Uint8Array> {
  const full = { name: manifest.id, version: "1.0.0", entrypoint: "./index.ts", ...manifest };
  const key = JSON.stringify([full, code]);
  let packing = packed.get(key);
  if (!packing) {
    packing = pack(full, code);
    packed.set(key, packing);
  }
  return packing;
}

const packed = new Map<string, Promise<Uint8Array>>();

async function pack(manifest: object, code: string): Promise<Uint8Array> {
  await using folder = await pluginFolder({ "plugin.json": JSON.stringify(manifest), "index.ts": code });
  return (await packPlugin(folder.dir)).tgz;
}

/** Polls until `look` gives something, for at most `ms`. */
export async function until<T>(
  look: () => Promise<T | undefined | false> | T | undefined | false,
  ms = 15_000,
): Promise<T> {
  const deadline = Date.now() + ms;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    assert.ok(Date.now() < deadline, `not within ${ms} ms: ${look}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

async function assertGone(pids: readonly number[]): Promise<void> {
  const left = (): number[] =>
    pids.filter((pid) => {
      try {
        return process.kill(pid, 0);
      } catch {
        return false;
      }
    });
  for (let waited = 0; left().length > 0 && waited < 3_000; waited += 25)
    await new Promise((resolve) => setTimeout(resolve, 25));
  assert.deepEqual(left(), [], "runner processes are left over");
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
