import assert from "node:assert/strict";
import { test } from "node:test";
import { parseManifest } from "./parse-manifest.ts";

const base = {
  grant: "authorization_code",
  authorizationUrl: "https://login.vendor.com/{tenant}/authorize",
  tokenUrl: "https://login.vendor.com/{tenant}/token",
  scopes: ["read"],
  hosts: ["api.vendor.com"],
  parameters: { access_type: "offline" },
};

function manifest(connection: object, name = "account", settings: object = {}): unknown {
  return {
    id: "acme.crm",
    name: "CRM",
    version: "1.0.0",
    permissions: ["network:outbound:login.vendor.com", "network:outbound:api.vendor.com"],
    configSchema: {
      type: "object",
      properties: {
        clientId: { type: "string" },
        clientSecret: { type: "string", format: "secret" },
        tenant: { type: "string" },
        ...settings,
      },
    },
    contributes: { connections: { [name]: connection } },
  };
}

const faultsOf = (value: unknown): Record<string, string> =>
  Object.fromEntries(parseManifest(JSON.stringify(value)).faults.map(({ path, message }) => [path, message]));

test("a connection of each grant is taken", () => {
  assert.deepEqual(faultsOf(manifest(base)), {});
  const { authorizationUrl: _none, ...machine } = base;
  assert.deepEqual(faultsOf(manifest({ ...machine, grant: "client_credentials", clientAuthentication: "post" })), {});
  assert.deepEqual(faultsOf(manifest({ ...base, clientAuthentication: "none", pkce: true })), {});
});

const at = "contributes.connections.account";
const wrong: [title: string, connection: object, path: string, sentence: RegExp][] = [
  ["plain http", { ...base, tokenUrl: "http://login.vendor.com/token" }, `${at}.tokenUrl`, /https/],
  [
    "a setting in the host",
    { ...base, tokenUrl: "https://{tenant}.vendor.com/token" },
    `${at}.tokenUrl`,
    /not the host/,
  ],
  [
    "a setting as the host",
    { ...base, authorizationUrl: "https://{tenant}/x" },
    `${at}.authorizationUrl`,
    /not the host/,
  ],
  [
    "a setting that ends the host",
    { ...base, tokenUrl: "https://login.vendor.com{tenant}/x" },
    `${at}.tokenUrl`,
    /not the host/,
  ],
  [
    "a user before the host",
    { ...base, tokenUrl: "https://api.vendor.com@evil.com/" },
    `${at}.tokenUrl`,
    /user information/,
  ],
  [
    "a revocation address elsewhere",
    { ...base, revocationUrl: "https://other.vendor.com/revoke" },
    `${at}.revocationUrl`,
    /host is that of `tokenUrl`/,
  ],
  ["a port", { ...base, tokenUrl: "https://login.vendor.com:8443/" }, `${at}.tokenUrl`, /port/],
  ["an address of this machine", { ...base, tokenUrl: "https://127.0.0.1/" }, `${at}.tokenUrl`, /IP address/],
  ["a backslash", { ...base, tokenUrl: "https://login.vendor.com\\.evil.com/" }, `${at}.tokenUrl`, /refused|backslash/],
  ["a wildcard", { ...base, tokenUrl: "https://*.vendor.com/" }, `${at}.tokenUrl`, /refused/],
  ["a fragment", { ...base, tokenUrl: "https://login.vendor.com/token#x" }, `${at}.tokenUrl`, /fragments/],
  [
    "a setting that is not there",
    { ...base, tokenUrl: "https://login.vendor.com/{tenent}" },
    `${at}.tokenUrl`,
    /Did you mean `tenant`/,
  ],
  [
    "a secret in the address",
    { ...base, tokenUrl: "https://login.vendor.com/{clientSecret}" },
    `${at}.tokenUrl`,
    /secret/,
  ],
  ["a lone brace", { ...base, tokenUrl: "https://login.vendor.com/{tenant" }, `${at}.tokenUrl`, /Braces/],
  [
    "a token endpoint that is not asked for",
    { ...base, tokenUrl: "https://other.vendor.com/token" },
    `${at}.tokenUrl`,
    /add `network:outbound:other\.vendor\.com`/,
  ],
  [
    "a host that is not asked for",
    { ...base, hosts: ["files.vendor.com"] },
    `${at}.hosts[0]`,
    /add `network:outbound:files\.vendor\.com`/,
  ],
  ["every host", { ...base, hosts: ["*"] }, `${at}.hosts[0]`, /every host/],
  [
    "no authorisation address",
    { ...base, authorizationUrl: undefined },
    `${at}.authorizationUrl`,
    /where the user agrees/,
  ],
  ["one too many", { ...base, grant: "client_credentials" }, `${at}.authorizationUrl`, /remove it/],
  ["a client id that is no setting", { ...base, clientId: "appId" }, `${at}.clientId`, /no setting/],
  ["a client secret that is no setting", { ...base, clientSecret: "appSecret" }, `${at}.clientSecret`, /no setting/],
  ["a client secret in plain", { ...base, clientSecret: "tenant" }, `${at}.clientSecret`, /format/],
  [
    "a secret for none",
    { ...base, clientAuthentication: "none", clientSecret: "clientSecret" },
    `${at}.clientSecret`,
    /remove it/,
  ],
  [
    "a parameter of the hub's",
    { ...base, parameters: { Redirect_Uri: "https://evil.com" } },
    `${at}.parameters.Redirect_Uri`,
    /the hub's own/,
  ],
];
for (const [title, connection, path, sentence] of wrong)
  test(`refused: ${title}`, () => {
    const faults = faultsOf(manifest(connection));
    assert.match(faults[path] ?? JSON.stringify(faults), sentence);
  });

test("refused: a connection with the name of a setting, or of what every object has", () => {
  assert.match(faultsOf(manifest(base, "tenant"))["contributes.connections.tenant"] ?? "", /rename one/);
  assert.match(faultsOf(manifest(base, "constructor"))["contributes.connections.constructor"] ?? "", /choose another/);
});
