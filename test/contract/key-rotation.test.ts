/** A new master key: a hub started with both seals everything anew, says so, and the former key can go. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { asOrganizationId, asPluginId } from "../../src/base/brands.ts";
import { startTestHub, type TestHub, until } from "../kit/start-test-hub.ts";

const key = (): string => randomBytes(32).toString("base64");
const secret = { type: "string", format: "secret", hosts: ["api.vendor.com"], expose: true };
const source = (id: string) => ({
  manifest: {
    id,
    permissions: ["network:outbound:api.vendor.com"],
    configSchema: { type: "object", properties: { token: secret, other: secret, clientId: { type: "string" } } },
    contributes: {
      functions: [{ name: "show", description: "x" }],
      connections: {
        account: {
          grant: "authorization_code",
          authorizationUrl: "https://api.vendor.com/authorize",
          tokenUrl: "https://api.vendor.com/token",
          hosts: ["api.vendor.com"],
          clientId: "clientId",
          clientAuthentication: "none",
        },
      },
    },
  },
  code: `import { definePlugin } from "@backplane/plugin-api";
export default definePlugin({ functions: { show: (_, { config: { token, other } }) => ({ token, other }) } });`,
});

const finding = async (hub: TestHub): Promise<{ state: string; detail: string }> =>
  (await hub.request("GET", "/api/doctor")).body.findings.find(
    ({ name }: { name: string }) => name === "sealed secrets",
  );

test("started with a new and a former key, the hub seals all secrets anew, audits it, and needs the former no more", async () => {
  const dataDir = await mkdtemp(join(tmpdir(), "backplane-keys-"));
  const [former, current] = [key(), key()];
  const start = (masterKey: string): Promise<TestHub> => startTestHub({ dataDir, storage: "folder", masterKey });
  try {
    {
      await using hub = await start(former);
      for (const org of ["acme", "globex"]) {
        await hub.organization(org);
        await hub.install(org, source("acme.keeper"), { token: `t-${org}`, other: `o-${org}` });
        const { connections, installations } = hub.hub;
        const organization = asOrganizationId(org);
        const installation = await installations.get(organization, asPluginId("acme.keeper"));
        await connections.adopt({ organization, actor: "test" }, installation, "account", { accessToken: `at-${org}` });
      }
      assert.deepEqual(await finding(hub).then(({ state, detail }) => [state, detail]), [
        "active",
        "all 6 under the current key",
      ]);
    }
    {
      await using hub = await start(current);
      const { state, detail } = await finding(hub);
      assert.equal(state, "warning");
      assert.match(detail, /^0 under the current key, 6 under a key this hub does not have/);
    }
    {
      await using hub = await start(`${current},${former}`);
      await until(async () => (await finding(hub)).detail === "all 6 under the current key");
      const { body } = await hub.request("GET", "/api/audit", { org: "acme" });
      const [tokens, noted] = body.entries;
      assert.deepEqual([tokens.action, tokens.details.connection], ["connection.resealed", "account"]);
      assert.deepEqual(
        [noted.action, noted.actor, noted.target, noted.details.secrets],
        ["plugin.secrets_resealed", "system", "acme.keeper", 2],
      );
      assert.equal((await hub.request("GET", "/api/audit/verify", { org: "acme" })).body.fault, undefined);
    }
    await using hub = await start(current);
    for (const org of ["acme", "globex"]) {
      assert.deepEqual((await hub.call(org, "acme.keeper", "show")).body.result, {
        token: `t-${org}`,
        other: `o-${org}`,
      });
      const installation = await hub.hub.installations.get(asOrganizationId(org), asPluginId("acme.keeper"));
      assert.equal((await hub.hub.connections.tokens.use(installation, "account")).token.value, `at-${org}`);
    }
  } finally {
    await rm(dataDir, { recursive: true, force: true });
  }
});
