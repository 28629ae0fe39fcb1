/** Egress and secrets together, as the http ability joins them: whatever a server answers, a sealed value reaches only its own hosts. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { createEgress, type EgressRequest, type EgressResponse } from "../../src/egress/egress.ts";
import { parseOverride } from "../../src/egress/override.ts";
import { startServer } from "../../src/egress/test-server.ts";
import { BackplaneError } from "../../src/errors/error.ts";
import { sealConfig } from "../../src/secrets/config.ts";
import { openSecrets } from "../../src/secrets/installation-secrets.ts";
import { createVault } from "../../src/secrets/vault.ts";

const CANARY = "canary-7f3a/9+é";
const seen: { host: string; text: string }[] = [];
const scope = {
  vault: createVault({ masterKeys: [randomBytes(32)] }),
  schema: { properties: { key: { type: "string", format: "secret", hosts: ["api.vendor.com"] } } },
  organization: "acme",
  installation: "i-1",
};

async function answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
  const body = Buffer.concat(await Array.fromAsync(req as AsyncIterable<Buffer>));
  const everything = `${req.method} ${req.url}\n${req.rawHeaders.join("\n")}\n${body}`;
  seen.push({ host: String(req.headers.host), text: everything });
  const url = new URL(req.url!, "http://x");
  const key = url.searchParams.get("key") ?? String(req.headers["x-key"] ?? "");
  if (url.pathname === "/echo")
    res.end(everything + JSON.stringify({ key }) + Buffer.from(`u:${key}`).toString("base64"));
  else if (url.pathname === "/gzip") res.writeHead(200, { "content-encoding": "gzip" }).end(gzipSync(`it was ${key}`));
  else if (url.pathname === "/raw") res.end(Buffer.from(`raw ${key}`, "latin1"));
  else if (url.pathname === "/header") res.writeHead(200, { "x-echo": key }).end();
  else if (url.pathname === "/to-query")
    res.writeHead(302, { location: `https://b.vendor.com/collect?k=${encodeURIComponent(key)}` }).end();
  else if (url.pathname === "/to-path")
    res.writeHead(302, { location: `https://b.vendor.com/${encodeURIComponent(key)}` }).end();
  else if (url.pathname === "/to-b") res.writeHead(307, { location: "https://b.vendor.com/collect" }).end();
  else if (url.pathname === "/to-self") res.writeHead(302, { location: `/echo?key=${encodeURIComponent(key)}` }).end();
  else res.end("ok");
}

async function withPlugin(
  work: (fetch: (request: Partial<EgressRequest>) => Promise<EgressResponse>, handle: string) => Promise<void>,
): Promise<void> {
  await using server = await startServer((req, res) => void answer(req, res));
  const egress = createEgress({
    override: parseOverride(JSON.stringify({ "api.vendor.com": server.origin, "b.vendor.com": server.origin })),
  });
  const secrets = await openSecrets(scope, (await sealConfig(scope, { key: CANARY })).sealed);
  seen.length = 0;
  try {
    await work(async (request) => {
      return await egress.fetch({
        url: "https://api.vendor.com/",
        allowedHosts: ["api.vendor.com", "b.vendor.com"],
        timeoutMs: 3_000,
        ...request,
        onHop(hop) {
          return secrets.fill(hop).request;
        },
        onAnswer(given) {
          const redactor = secrets.answerRedactor();
          return {
            ...given,
            headers: given.headers.map(([n, v]) => [n, redactor.text(v)]),
            body: redactor.bytes(given.body),
          };
        },
      });
    }, String(secrets.guestConfig["key"]));
  } finally {
    await egress.close();
  }
}

const spelt = [
  CANARY,
  encodeURIComponent(CANARY),
  Buffer.from(CANARY).toString("latin1"),
  Buffer.from(CANARY).toString("base64").slice(2, -4),
];
const shows = (text: string): boolean => spelt.some((spelling) => text.includes(spelling));
const leaked = (): boolean => seen.some(({ host, text }) => host === "b.vendor.com" && shows(text));
const isMisuse = (error: unknown): boolean =>
  error instanceof BackplaneError && error.code === "secret_misused" && !shows(error.message);

test("a sealed value reaches its host, and an echo of it comes back as the handle", async () => {
  await withPlugin(async (fetch, handle) => {
    const echo = await fetch({
      url: `https://api.vendor.com/echo?key=${handle}`,
      headers: [["authorization", `Basic ${Buffer.from(`u:${handle}`).toString("base64")}`]],
      method: "POST",
      body: Buffer.from(JSON.stringify({ k: handle })),
    });
    assert.ok(shows(seen[0]!.text), "the server got the value");
    const text = Buffer.from(echo.body).toString();
    assert.ok(!shows(text), text);
    assert.ok(text.includes(handle));
    assert.ok(echo.url.includes(handle));
    const packed = await fetch({ url: `https://api.vendor.com/gzip?key=${handle}` });
    assert.equal(Buffer.from(packed.body).toString(), `it was ${handle}`);
  });
});

test("an echo in a header shows the handle, also where the redirect is not followed", async () => {
  await withPlugin(async (fetch, handle) => {
    const header = await fetch({ url: "https://api.vendor.com/header", headers: [["x-key", handle]] });
    assert.equal(header.headers.find(([name]) => name === "x-echo")?.[1], handle);
    const body = await fetch({ url: "https://api.vendor.com/raw", headers: [["x-key", handle]] });
    assert.equal(Buffer.from(body.body).toString(), `raw ${handle}`);
    const manual = await fetch({ url: `https://api.vendor.com/to-query?key=${handle}`, redirect: "manual" });
    assert.equal(manual.headers.find(([name]) => name === "location")?.[1], `https://b.vendor.com/collect?k=${handle}`);
  });
});

test("a bound host that redirects the value to another host is stopped, in query and path", async () => {
  await withPlugin(async (fetch, handle) => {
    for (const path of ["/to-query", "/to-path"])
      await assert.rejects(fetch({ url: `https://api.vendor.com${path}?key=${handle}` }), isMisuse);
    assert.equal(seen.filter(({ host }) => host === "b.vendor.com").length, 0);
  });
});

test("a redirect within the bound host fills the value again", async () => {
  await withPlugin(async (fetch, handle) => {
    const echo = await fetch({ url: `https://api.vendor.com/to-self?key=${handle}` });
    assert.ok(seen[1]!.text.includes(`key=${encodeURIComponent(CANARY)}`));
    assert.ok(echo.url.endsWith(`/echo?key=${handle}`));
  });
});

test("a redirect to another host loses secret headers and refuses secret bodies", async () => {
  await withPlugin(async (fetch, handle) => {
    const redirected = await fetch({
      url: "https://api.vendor.com/to-b",
      headers: [
        ["authorization", `Bearer x`],
        ["x-api-key", `k-${"a".repeat(3)}`],
      ],
    });
    assert.equal(redirected.status, 200);
    assert.doesNotMatch(seen[1]!.text, /Bearer/);
    await assert.rejects(
      fetch({ url: "https://api.vendor.com/to-b", method: "POST", body: Buffer.from(handle) }),
      isMisuse,
    );
    assert.ok(!leaked());
  });
});

test("sent straight to an unbound host the value never leaves, and neither does the handle", async () => {
  await withPlugin(async (fetch, handle) => {
    const tries: Partial<EgressRequest>[] = [
      { url: `https://b.vendor.com/?q=${handle}` },
      { url: `https://b.vendor.com/${handle}` },
      { url: "https://b.vendor.com/", headers: [["x", handle]] },
      {
        url: "https://b.vendor.com/",
        headers: [["authorization", `Basic ${Buffer.from(`${handle}:`).toString("base64")}`]],
      },
      { url: "https://b.vendor.com/", method: "POST", body: Buffer.from(handle) },
    ];
    for (const request of tries) await assert.rejects(fetch(request), isMisuse);
    assert.equal(seen.length, 0);
  });
});
