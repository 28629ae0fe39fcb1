import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { locateHub } from "./locate-hub.ts";

async function place(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "locate-"));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

async function hubIn(
  folder: string,
  { token, url, pid = process.pid }: { token: string; url?: string; pid?: number },
): Promise<void> {
  const data = join(folder, ".backplane");
  await mkdir(data, { recursive: true });
  await writeFile(join(data, "admin-token"), `${token}\n`);
  if (url !== undefined) await writeFile(join(data, "hub.json"), JSON.stringify({ url, pid }));
}

test("with nothing around it is the default address, without a token", async (t) => {
  const dir = await place(t);
  const { url, token, organization, urlFrom } = locateHub({ env: {}, cwd: dir, home: dir });
  assert.deepEqual(
    { url, token, organization, urlFrom },
    { url: "http://127.0.0.1:7400", token: undefined, organization: "demo", urlFrom: "default" },
  );
});

test("a hub of a folder above is found, with its port and its admin's token", async (t) => {
  const dir = await place(t);
  await hubIn(dir, { token: "bpa_1", url: "http://127.0.0.1:4711" });
  const cwd = join(dir, "plugins", "x");
  await mkdir(cwd, { recursive: true });
  const found = locateHub({ env: {}, cwd, home: "/nowhere" });
  assert.equal(found.url, "http://127.0.0.1:4711");
  assert.equal(found.token, "bpa_1");
});

test("a running hub farther away comes before a nearer folder whose hub has ended", async (t) => {
  const dir = await place(t);
  const home = join(dir, "home");
  const cwd = join(dir, "work");
  await hubIn(cwd, { token: "bpa_old", url: "http://127.0.0.1:1", pid: 2 ** 30 });
  await hubIn(home, { token: "bpa_live", url: "http://127.0.0.1:2" });
  const found = locateHub({ env: {}, cwd, home });
  assert.deepEqual([found.url, found.token], ["http://127.0.0.1:2", "bpa_live"]);
});

test("the token of this machine's hub is never sent to another machine", async (t) => {
  const dir = await place(t);
  await hubIn(dir, { token: "bpa_1" });
  for (const url of [
    "https://hub.example.com",
    "http://127.0.0.1.example.com",
    "http://10.0.0.1:7400",
    "http://localhost.example.com",
  ])
    assert.equal(
      locateHub({ env: { BACKPLANE_URL: url, BACKPLANE_ADMIN_TOKEN: "bpa_env" }, cwd: dir, home: dir }).token,
      undefined,
      url,
    );
  assert.equal(locateHub({ env: { BACKPLANE_URL: "http://localhost:1/" }, cwd: dir, home: dir }).token, "bpa_1");
  assert.equal(
    locateHub({ env: { BACKPLANE_URL: "https://hub.example.com", BACKPLANE_TOKEN: "bp_x" }, cwd: dir, home: dir })
      .token,
    "bp_x",
  );
});

test("an address in hub.json that is not of this machine is not believed", async (t) => {
  const dir = await place(t);
  await hubIn(dir, { token: "bpa_1", url: "https://evil.example.com" });
  assert.equal(locateHub({ env: {}, cwd: dir, home: dir }).url, "http://127.0.0.1:7400");
});

test("BACKPLANE_DATA alone counts when it is set", async (t) => {
  const dir = await place(t);
  await hubIn(dir, { token: "bpa_1" });
  assert.equal(locateHub({ env: { BACKPLANE_DATA: "elsewhere" }, cwd: dir, home: dir }).token, undefined);
  assert.equal(locateHub({ env: { BACKPLANE_DATA: ".backplane" }, cwd: dir, home: "/nowhere" }).token, "bpa_1");
});
