/** Hubs that start at the same moment on one empty database all come up. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { must, startHub } from "./crash-hub.ts";
import { sharedDatabase } from "./shared-services.ts";

test("three hubs on one empty PostgreSQL: each listens, and the demo organisation is made once", async (t) => {
  if (!process.env["TEST_DATABASE_URL"]) return t.skip("needs TEST_DATABASE_URL");
  await using database = await sharedDatabase();
  const folder = await mkdtemp(join(tmpdir(), "backplane-together-"));
  const starts = await Promise.allSettled([0, 1, 2].map((n) => startHub(join(folder, `hub-${n}`), database.env)));
  const hubs = starts.flatMap((start) => (start.status === "fulfilled" ? [start.value] : []));
  try {
    for (const start of starts) if (start.status === "rejected") throw start.reason;
    const { organizations } = (await must(hubs[0]!.url, "/api/organizations", { method: "GET" })) as {
      organizations: { id: string }[];
    };
    assert.deepEqual(
      organizations.map(({ id }) => id),
      ["demo"],
    );
  } finally {
    for (const { child } of hubs) child.kill("SIGKILL");
    await rm(folder, { recursive: true, force: true });
  }
});
