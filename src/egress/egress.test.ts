import assert from "node:assert/strict";
import { test } from "node:test";
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";
import { BackplaneError, isErrorCode } from "../errors/error.ts";
import { runInTransactionScope } from "../store/transaction-scope.ts";
import { createEgress, type EgressExchange, type EgressOptions, type EgressRequest } from "./egress.ts";
import { parseOverride } from "./override.ts";
import { makeCertificate } from "./test-certificate.ts";
import { startRawServer, startServer } from "./test-server.ts";

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();
const hosts = ["api.vendor.com", "b.vendor.com"];

/** An egress whose named hosts are served by `origin`. */
function overridden(origin: string, options: EgressOptions = {}, names: readonly string[] = hosts) {
  const egress = createEgress({
    override: parseOverride(JSON.stringify(Object.fromEntries(names.map((n) => [n, origin])))),
    ...options,
  });
  return { ...egress, [Symbol.asyncDispose]: () => egress.close() };
}

function request(url: string, more: Partial<EgressRequest> = {}): EgressRequest {
  return { url, allowedHosts: hosts, timeoutMs: 5_000, ...more };
}

async function fails(promise: Promise<unknown>, code: string, reason?: RegExp): Promise<BackplaneError> {
  assert.ok(isErrorCode(code));
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof BackplaneError, String(error));
    assert.equal(error.code, code, error.message);
    if (reason) assert.match(error.message, reason);
    assert.doesNotMatch(error.message, /127\.0\.0|169\.254|\b10\.\d/, "the sentence tells no internal address");
    return error;
  }
  return assert.fail(`expected ${code}`);
}

test("a request reaches the overridden origin under the declared host name", async () => {
  await using server = await startServer((req, res) => {
    let body = "";
    req.on("data", (chunk) => {
      body += chunk;
    });
    req.on("end", () => {
      res
        .writeHead(201, { "x-one": "1", "set-cookie": ["a=1", "b=2"] })
        .end(JSON.stringify({ host: req.headers.host, url: req.url, method: req.method, body, headers: req.headers }));
    });
  });
  const seen: EgressExchange[] = [];
  await using egress = overridden(server.origin, { observe: (e) => seen.push(e) });
  const answer = await egress.fetch(
    request("https://api.vendor.com/v1/x?y=1#z", {
      method: "post",
      headers: [
        ["X-Api", "k"],
        ["Host", "evil.com"],
        ["Content-Length", "1"],
        ["Connection", "x-api"],
      ],
      body: Buffer.from("héllo"),
    }),
  );
  const echo = JSON.parse(text(answer.body));
  assert.equal(answer.status, 201);
  assert.deepEqual(
    { host: echo.host, url: echo.url, method: echo.method, body: echo.body },
    { host: "api.vendor.com", url: "/v1/x?y=1", method: "POST", body: "héllo" },
  );
  assert.equal(echo.headers["x-api"], "k");
  assert.equal(echo.headers["user-agent"], "Backplane");
  assert.equal(answer.url, "https://api.vendor.com/v1/x?y=1");
  assert.deepEqual(
    answer.headers.filter(([n]) => n === "set-cookie"),
    [
      ["set-cookie", "a=1"],
      ["set-cookie", "b=2"],
    ],
  );
  assert.equal(seen[0]?.outcome, 201);
  assert.equal(seen[0]?.requestBytes, 6);
  // http is allowed for an overridden host, and for none else.
  assert.equal((await egress.fetch(request("http://api.vendor.com/"))).status, 201);
  await fails(
    egress.fetch(request("http://other.com/", { allowedHosts: ["other.com"] })),
    "egress_denied",
    /only https/,
  );
});

test("a host without a grant is refused even when overridden, and before any name is resolved", async () => {
  await using server = await startServer((_, res) => res.end("x"));
  await using egress = overridden(server.origin, { resolve: () => assert.fail("resolved") });
  await fails(
    egress.fetch(request("https://api.vendor.com/", { allowedHosts: ["b.vendor.com"] })),
    "egress_denied",
    /network:outbound:api\.vendor\.com/,
  );
  await fails(egress.fetch(request("https://evil.com/")), "egress_denied");
  await fails(egress.fetch(request("https://api.vendor.com.evil.com/")), "egress_denied");
  await fails(egress.fetch(request("https://127.0.0.1/", { allowedHosts: ["127.0.0.1", "*"] })), "egress_denied");
  assert.equal(server.connections, 0);
});

test("names that lead to a private address are refused, also when only one of many answers is private", async () => {
  const answers: Record<string, string[]> = {
    "private.vendor.com": ["10.0.0.7"],
    "mixed.vendor.com": ["8.8.8.8", "169.254.169.254"],
    "mapped.vendor.com": ["::ffff:127.0.0.1"],
    "zone.vendor.com": ["fe80::1%1"],
    "six.vendor.com": ["2606:4700::1", "::1"],
    "nat.vendor.com": ["64:ff9b::7f00:1"],
    "odd.vendor.com": ["0x7f.1"],
  };
  await using egress = {
    ...createEgress({ resolve: async (host) => answers[host] ?? [] }),
    [Symbol.asyncDispose]: async () => {},
  };
  for (const host of Object.keys(answers)) {
    await fails(
      egress.fetch(request(`https://${host}/`, { allowedHosts: ["*.vendor.com"] })),
      "egress_denied",
      /not public/,
    );
  }
  await fails(
    egress.fetch(request("https://none.vendor.com/", { allowedHosts: ["*.vendor.com"] })),
    "egress_failed",
    /no address/,
  );
});

test("a real localhost-like name never reaches this machine", async () => {
  await using server = await startServer((_, res) => res.end("x"));
  const egress = createEgress({ resolve: async () => ["127.0.0.1"], testing: { port: server.port } });
  await fails(egress.fetch(request("https://api.vendor.com/")), "egress_denied");
  assert.equal(server.connections, 0);
  await egress.close();
});

test("the connection goes to the checked address while DNS answers differently every time", async () => {
  const tls = makeCertificate(hosts);
  await using server = await startServer((req, res) => res.end(String(req.headers.host)), tls);
  // First answer passes the check; every later one would be the cloud's metadata address.
  let asked = 0;
  const egress = createEgress({
    resolve: async () => (asked++ === 0 ? ["127.0.0.1"] : ["169.254.169.254"]),
    testing: { isAllowedAddress: (a) => a === "127.0.0.1", port: server.port, ca: tls.cert },
  });
  assert.equal(text((await egress.fetch(request("https://api.vendor.com/"))).body), "api.vendor.com");
  assert.equal(asked, 1, "one answer is checked and used");
  await fails(egress.fetch(request("https://api.vendor.com/")), "egress_denied");
  await egress.close();
});

test("TLS proves the host name, not the address", async () => {
  const tls = makeCertificate(["api.vendor.com"]);
  await using server = await startServer((_, res) => res.end("ok"), tls);
  const testing = { isAllowedAddress: () => true, port: server.port, ca: tls.cert };
  const egress = createEgress({ resolve: async () => ["127.0.0.1"], testing });
  assert.equal((await egress.fetch(request("https://api.vendor.com/"))).status, 200);
  await fails(egress.fetch(request("https://b.vendor.com/")), "egress_failed", /certificate/);
  await egress.close();
  const distrusting = createEgress({
    resolve: async () => ["127.0.0.1"],
    testing: { isAllowedAddress: () => true, port: server.port },
  });
  await fails(distrusting.fetch(request("https://api.vendor.com/")), "egress_failed", /certificate/);
  await distrusting.close();
});

test("an address that refuses the connection gives way to the next checked one", async () => {
  const tls = makeCertificate(hosts);
  await using server = await startServer((_, res) => res.end("ok"), tls);
  const egress = createEgress({
    resolve: async () => ["127.0.0.2", "127.0.0.1"],
    testing: { isAllowedAddress: () => true, port: server.port, ca: tls.cert },
  });
  assert.equal(
    (await egress.fetch(request("https://api.vendor.com/", { method: "POST", body: Buffer.from("x") }))).status,
    200,
  );
  await egress.close();
});

test("connections are reused within a partition and never over partitions or hosts", async () => {
  await using server = await startServer((_, res) => res.end("ok"));
  await using egress = overridden(server.origin);
  for (let i = 0; i < 3; i++) {
    await egress.fetch(request("https://api.vendor.com/", { partition: "a" }));
    await new Promise(setImmediate);
  }
  assert.equal(server.connections, 1);
  await egress.fetch(request("https://api.vendor.com/", { partition: "b" }));
  assert.equal(server.connections, 2);
  await egress.fetch(request("https://b.vendor.com/", { partition: "a" }));
  assert.equal(server.connections, 3);
});

test("idle pools are closed when there are too many", async () => {
  await using server = await startServer((_, res) => res.end("ok"));
  await using egress = overridden(server.origin, { maxPools: 2 });
  for (const partition of ["a", "b", "c", "a"])
    assert.equal((await egress.fetch(request("https://api.vendor.com/", { partition }))).status, 200);
  assert.equal(server.connections, 4);
});

test("redirects are followed, and every hop is checked like a first request", async () => {
  await using server = await startServer((req, res) => {
    const to = new URL(req.url!, "http://x").searchParams.get("to");
    if (to === null)
      return void res.end(
        `${req.method} ${req.headers.host} ${req.headers.authorization ?? "-"} ${req.headers.cookie ?? "-"} ${req.headers["content-type"] ?? "-"}`,
      );
    res.writeHead(Number(req.url!.slice(1, 4)), { location: to }).end("moved");
  });
  await using egress = overridden(server.origin);
  const go = (status: number, to: string, more: Partial<EgressRequest> = {}) =>
    egress.fetch(
      request(`https://api.vendor.com/${status}?to=${encodeURIComponent(to)}`, {
        headers: [
          ["authorization", "Bearer x"],
          ["cookie", "s=1"],
          ["content-type", "text/plain"],
        ],
        ...more,
      }),
    );
  const post = { method: "POST", body: Buffer.from("x") };
  const relative = await go(302, "/next");
  assert.equal(text(relative.body), "GET api.vendor.com Bearer x s=1 text/plain");
  assert.deepEqual([relative.url, relative.redirected], ["https://api.vendor.com/next", true]);
  assert.equal(
    text((await go(302, "https://b.vendor.com/")).body),
    "GET b.vendor.com - - text/plain",
    "credentials stay behind",
  );
  assert.equal(text((await go(302, "/n", post)).body), "GET api.vendor.com Bearer x s=1 -", "302 turns POST into GET");
  assert.equal(text((await go(303, "/n", { method: "PUT" })).body), "GET api.vendor.com Bearer x s=1 -");
  assert.equal(text((await go(307, "/n", post)).body), "POST api.vendor.com Bearer x s=1 text/plain");
  assert.equal(text((await go(308, "https://b.vendor.com/", post)).body), "POST b.vendor.com - - text/plain");
  const refused = [
    "https://evil.com/",
    "http://169.254.169.254/latest/meta-data/",
    "https://169.254.169.254/",
    "https://127.0.0.1/",
    "https://[::1]/",
    `${server.origin}/`,
    "file:///etc/passwd",
    "ftp://api.vendor.com/",
    "https://api.vendor.com:22/",
    "https://user:pw@api.vendor.com/",
    "//evil.com/",
    "\\\\evil.com\\x",
    "https://localhost/",
    "data:text/html,x",
  ];
  for (const to of refused) await fails(go(302, to), "egress_denied");
  await fails(go(302, "https://api.vendor.com:99999/"), "egress_denied", /not a URL/);
  assert.equal((await go(302, "https://evil.com/", { redirect: "manual" })).status, 302);
  await fails(go(302, "/next", { redirect: "error" }), "egress_failed");
  assert.equal((await go(304, "/next")).status, 304, "304 is no redirect");
});

test("a redirect to a name with a private address is refused", async () => {
  await using server = await startServer((_, res) =>
    res.writeHead(302, { location: "https://inner.vendor.com/" }).end(),
  );
  await using egress = overridden(server.origin, { resolve: async () => ["192.168.0.1"] }, ["api.vendor.com"]);
  await fails(
    egress.fetch(request("https://api.vendor.com/", { allowedHosts: ["*.vendor.com"] })),
    "egress_denied",
    /not public/,
  );
});

test("redirect loops end after five hops", async () => {
  let hits = 0;
  await using server = await startServer((_, res) => {
    hits += 1;
    res.writeHead(302, { location: `/${hits}` }).end();
  });
  await using egress = overridden(server.origin);
  await fails(egress.fetch(request("https://api.vendor.com/")), "egress_failed", /more than 5/);
  assert.equal(hits, 6);
});

test("bodies arrive decompressed and capped after decompression", async () => {
  const plain = Buffer.from("hello ".repeat(1000));
  const zeros = Buffer.alloc(50 * 1_048_576);
  const bodies: Record<string, [string, Buffer]> = {
    "/gzip": ["gzip", gzipSync(plain)],
    "/deflate": ["deflate", deflateSync(plain)],
    "/br": ["br", brotliCompressSync(plain)],
    "/bomb": ["gzip", gzipSync(zeros)],
    "/brbomb": ["br", brotliCompressSync(zeros)],
    "/members": ["gzip", Buffer.concat(Array(50_000).fill(gzipSync("")))],
    "/stacked": ["gzip, gzip", gzipSync(gzipSync(plain))],
    "/zstd": ["zstd", plain],
    "/damaged": ["gzip", Buffer.from("no gzip")],
    "/cut": ["gzip", gzipSync(plain).subarray(0, 30)],
    "/brdamaged": ["br", Buffer.from("no brotli at all, surely not")],
    "/identity": ["identity", plain],
  };
  await using server = await startServer((req, res) => {
    const [encoding, bytes] = bodies[req.url!]!;
    res.writeHead(200, { "content-encoding": encoding }).end(bytes);
  });
  await using egress = overridden(server.origin);
  const get = (path: string) => egress.fetch(request(`https://api.vendor.com${path}`, { maxResponseBytes: 100_000 }));
  for (const path of ["/gzip", "/deflate", "/br", "/identity"]) {
    const answer = await get(path);
    assert.equal(text(answer.body), plain.toString(), path);
    assert.equal(
      answer.headers.some(([name]) => name === "content-encoding" || name === "content-length"),
      false,
    );
  }
  for (const path of ["/bomb", "/brbomb", "/members"]) await fails(get(path), "egress_too_large");
  for (const path of ["/stacked", "/zstd", "/damaged", "/cut", "/brdamaged"]) await fails(get(path), "egress_failed");
  const head = await egress.fetch(request("https://api.vendor.com/bomb", { method: "HEAD" }));
  assert.equal(head.body.byteLength, 0);
});

test("answers that are too large are cut off, whether they say so or not", async () => {
  let sent = 0;
  await using server = await startServer((req, res) => {
    if (req.url === "/said") return void res.writeHead(200, { "content-length": String(1e9) }).write("x");
    const more = (): void => {
      if (res.destroyed) return;
      sent += 65_536;
      res.write(Buffer.alloc(65_536)) ? setImmediate(more) : res.once("drain", more);
    };
    more();
  });
  await using egress = overridden(server.origin);
  await fails(egress.fetch(request("https://api.vendor.com/said", { maxResponseBytes: 1000 })), "egress_too_large");
  await fails(
    egress.fetch(request("https://api.vendor.com/endless", { maxResponseBytes: 200_000 })),
    "egress_too_large",
  );
  assert.ok(sent < 20_000_000, `the server could send ${sent} bytes`);
});

test("slow servers of every kind end in egress_timeout at the deadline", async () => {
  const http = "HTTP/1.1 200 OK\r\n";
  const drip = (socket: import("node:net").Socket, head: string, piece: string): void => {
    socket.write(head, "latin1");
    const timer = setInterval(() => (socket.destroyed ? clearInterval(timer) : socket.write(piece, "latin1")), 20);
  };
  const behaviours: Record<string, (socket: import("node:net").Socket) => void> = {
    silent: () => {},
    headers: (socket) => drip(socket, http, "x-a: b\r\n"),
    informational: (socket) => drip(socket, "", "HTTP/1.1 102 Processing\r\n\r\n"),
    body: (socket) => drip(socket, `${http}content-length: 100000\r\n\r\n`, "x"),
    chunks: (socket) => drip(socket, `${http}transfer-encoding: chunked\r\n\r\n`, "1\r\nx\r\n"),
    // Empty stored blocks: valid deflate that never yields a byte.
    gzip: (socket) =>
      drip(
        socket,
        `${http}content-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\na\r\n\x1f\x8b\x08\0\0\0\0\0\0\x03\r\n`,
        "5\r\n\0\0\0\xff\xff\r\n",
      ),
    redirect: (socket) => drip(socket, "HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 9000\r\n\r\n", "x"),
  };
  for (const [name, behave] of Object.entries(behaviours)) {
    await using server = await startRawServer((socket) => socket.once("data", () => behave(socket)));
    await using egress = overridden(server.origin);
    const started = performance.now();
    await fails(egress.fetch(request("https://api.vendor.com/", { timeoutMs: 250 })), "egress_timeout");
    const ms = performance.now() - started;
    assert.ok(ms >= 240 && ms < 1_500, `${name}: ${ms} ms`);
  }
});

test("a resolver or hook that never answers ends at the deadline, and an abort at once", async () => {
  const egress = createEgress({ resolve: () => new Promise(() => {}) });
  await fails(egress.fetch(request("https://api.vendor.com/", { timeoutMs: 60 })), "egress_timeout");
  await fails(
    egress.fetch(request("https://api.vendor.com/", { timeoutMs: 60, onHop: () => new Promise(() => {}) })),
    "egress_timeout",
  );
  const controller = new AbortController();
  const pending = egress.fetch(request("https://api.vendor.com/", { signal: controller.signal }));
  controller.abort();
  await fails(pending, "cancelled");
  await fails(egress.fetch(request("https://api.vendor.com/", { signal: AbortSignal.abort() })), "cancelled");
  await egress.close();
});

test("servers that speak no valid HTTP, or too much of it, fail with a typed error", async () => {
  const answers: Record<string, [string, string]> = {
    garbage: ["\x00\x01\x02\x03 nonsense\r\n\r\n", "egress_failed"],
    closes: ["", "egress_failed"],
    cut: ["HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc", "egress_failed"],
    upgrade: ["HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n", "egress_failed"],
    giantHeader: [`HTTP/1.1 200 OK\r\nx-big: ${"a".repeat(200_000)}\r\n\r\n`, "egress_too_large"],
    manyHeaders: [
      `HTTP/1.1 200 OK\r\n${Array.from({ length: 20_000 }, (_, i) => `x-${i}: 1`).join("\r\n")}\r\n\r\n`,
      "egress_too_large",
    ],
    twoLengths: ["HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 5\r\n\r\nabcde", "egress_failed"],
    smuggled: ["HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", "egress_failed"],
  };
  for (const [name, [bytes, code]] of Object.entries(answers)) {
    await using server = await startRawServer((socket) => socket.once("data", () => socket.end(bytes, "latin1")));
    await using egress = overridden(server.origin);
    await fails(egress.fetch(request("https://api.vendor.com/")), code).catch((error) =>
      assert.fail(`${name}: ${error.message}`),
    );
  }
});

test("header and method injection is refused before anything is sent", async () => {
  await using server = await startServer((_, res) => res.end("x"));
  await using egress = overridden(server.origin);
  const bad: Partial<EgressRequest>[] = [
    { headers: [["x", "a\r\nHost: evil"]] },
    { headers: [["x", "a\nb"]] },
    { headers: [["x", "a\0b"]] },
    { headers: [["x", "a\u2028b"]] },
    { headers: [["x", "snow ☃"]] },
    { headers: [["x\r\ny", "a"]] },
    { headers: [["", "a"]] },
    { headers: [["x y", "a"]] },
    { headers: [["x:", "a"]] },
    { headers: Array.from({ length: 200 }, (_, i): [string, string] => [`x-${i}`, "1"]) },
    { headers: [["x", "a".repeat(50_000)]] },
    { method: "GET / HTTP/1.1\r\nx: y" },
    { method: "CONNECT" },
    { method: "TRACE" },
    { method: "" },
    { body: new Uint8Array(100), maxRequestBytes: 99, method: "POST" },
  ];
  for (const more of bad) await fails(egress.fetch(request("https://api.vendor.com/", more)), "egress_denied");
  assert.equal(server.connections, 0);
});

test("onHop fills query, headers and body per hop, sees whether the host changed, and cannot choose another target", async () => {
  await using server = await startServer((req, res) => {
    if (req.url!.startsWith("/go")) res.writeHead(307, { location: "https://b.vendor.com/end?k=HANDLE" }).end();
    else res.end(`${req.url} ${req.headers["x-key"]}`);
  });
  await using egress = overridden(server.origin);
  const hops: string[] = [];
  const answer = await egress.fetch(
    request("https://api.vendor.com/go?k=HANDLE", {
      headers: [["x-key", "HANDLE"]],
      onHop: (hop) => {
        hops.push(`${hop.index} ${hop.host} ${hop.crossHost} ${hop.url.includes("HANDLE")}`);
        return {
          ...hop,
          url: hop.url.replace("HANDLE", "plain"),
          headers: hop.headers.map(([n, v]) => [n, v.replace("HANDLE", "plain")]),
        };
      },
    }),
  );
  assert.deepEqual(hops, ["0 api.vendor.com false true", "1 b.vendor.com true true"]);
  assert.equal(text(answer.body), "/end?k=plain plain");
  assert.equal(answer.url, "https://b.vendor.com/end?k=HANDLE", "the caller never sees what was filled in");
  for (const url of [
    "https://evil.com/",
    "https://b.vendor.com/go",
    "https://api.vendor.com/other",
    "https://u:p@api.vendor.com/go",
  ]) {
    await fails(
      egress.fetch(request("https://api.vendor.com/go", { onHop: (hop) => ({ ...hop, url }) })),
      "egress_denied",
    );
  }
  await fails(
    egress.fetch(request("https://api.vendor.com/go", { onHop: (hop) => ({ ...hop, headers: [["x", "a\r\nb: c"]] }) })),
    "egress_denied",
  );
  await fails(
    egress.fetch(
      request("https://api.vendor.com/go", {
        onHop: () => {
          throw new BackplaneError("secret_misused", { field: "token", reason: "no" });
        },
      }),
    ),
    "secret_misused",
  );
});

test("onAnswer rewrites what the caller and the next hop see", async () => {
  await using server = await startServer((req, res) => {
    if (req.url === "/") res.writeHead(302, { location: "/next?k=plain" }).end();
    else res.end(`got ${req.url}`);
  });
  await using egress = overridden(server.origin);
  const answer = await egress.fetch(
    request("https://api.vendor.com/", {
      onAnswer: (seen) => ({
        ...seen,
        headers: seen.headers.map(([n, v]) => [n, v.replace("plain", "HANDLE")]),
        body: Buffer.from(text(seen.body).replace("HANDLE", "[redacted]")),
      }),
    }),
  );
  assert.equal(text(answer.body), "got /next?k=[redacted]");
});

test("egress refuses to run inside a database transaction", async () => {
  const egress = createEgress();
  const inside = runInTransactionScope(() => egress.fetch(request("https://api.vendor.com/")));
  await fails(inside, "wall_crossed_in_transaction", /egress/);
});

test("the override takes only loopback origins; all else is invalid_settings", () => {
  assert.equal(parseOverride(undefined).size, 0);
  assert.deepEqual(parseOverride('{"API.vendor.com":"http://127.0.0.1:9"}').get("api.vendor.com"), {
    protocol: "http:",
    address: "127.0.0.1",
    port: 9,
  });
  const bad = [
    "{",
    "[]",
    '{"a b":"http://127.0.0.1"}',
    '{"a.com":"http://10.0.0.1"}',
    '{"a.com":"http://evil.com"}',
    '{"a.com":"ftp://127.0.0.1"}',
    '{"a.com":"http://127.0.0.1/x"}',
    '{"a.com":1}',
    '{"a.com":"http://u@127.0.0.1"}',
  ];
  for (const text of bad)
    assert.throws(
      () => parseOverride(text),
      (error) => error instanceof BackplaneError && error.code === "invalid_settings",
      text,
    );
});

test("answers that are gathered slowly fill the hub's memory up to its bound; a small one of another partition still comes", async () => {
  await using server = await startServer((req, res) => {
    if (req.url === "/small") return void res.end("x".repeat(1_000));
    res.write("x".repeat(60_000));
    // The rest never comes.
  });
  await using egress = overridden(server.origin, { maxHeldBytes: 100_000 });
  const stop = new AbortController();
  const slow = [0, 1, 2].map(() =>
    egress.fetch(request("https://api.vendor.com/slow", { partition: "greedy", signal: stop.signal })).catch((e) => e),
  );
  const refused = await Promise.race(slow);
  assert.equal((refused as BackplaneError).code, "egress_failed");
  assert.match((refused as BackplaneError).message, /holds as much of answers as it can/);
  const small = await egress.fetch(request("https://api.vendor.com/small", { partition: "modest" }));
  assert.equal(small.body.byteLength, 1_000);
  stop.abort();
  await Promise.all(slow);
  assert.equal((await egress.fetch(request("https://api.vendor.com/small", { partition: "greedy" }))).status, 200);
});
