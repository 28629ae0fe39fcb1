import assert from "node:assert/strict";
import { createCipheriv } from "node:crypto";
import { test } from "node:test";
import { openTestIsolate } from "./test-isolate.ts";

test("randomness is ChaCha20 under the hub's seed, and the key is replaced as it goes", async () => {
  using isolate = await openTestIsolate();
  const drawn = (await isolate.run(`return crypto.getRandomValues(new Uint8Array(1000)).toHex()`)) as string;
  // Each round gives four blocks: the first holds the next key, the others are drawn from.
  let key = Buffer.alloc(32, 7);
  let expected = "";
  while (expected.length < drawn.length) {
    const stream = createCipheriv("chacha20", key, Buffer.alloc(16)).update(Buffer.alloc(256));
    key = stream.subarray(0, 32);
    expected += stream.subarray(64).toString("hex");
  }
  assert.equal(drawn, expected.slice(0, drawn.length));
});

test("random values and UUIDs keep the web's rules", async () => {
  using isolate = await openTestIsolate();
  assert.match(
    (await isolate.run(`return crypto.randomUUID()`)) as string,
    /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
  );
  assert.equal(await isolate.run(`return new Set(Array.from({ length: 1000 }, () => crypto.randomUUID())).size`), 1000);
  assert.equal(
    await isolate.run(
      `const a = new Uint32Array(4); return crypto.getRandomValues(a) === a && a.some((n) => n > 65535)`,
    ),
    true,
  );
  await assert.rejects(isolate.run(`crypto.getRandomValues(new Float64Array(1))`), /TypeMismatchError/);
  await assert.rejects(isolate.run(`crypto.getRandomValues(new Uint8Array(65537))`), /QuotaExceededError/);
});

test("crypto.subtle asks the hub, with keys as records", async () => {
  using isolate = await openTestIsolate();
  isolate.answer = (_, [operation, ...rest]) => {
    if (operation === "digest") return { $bytes: Buffer.from("digested").toString("base64") };
    if (operation === "importKey")
      return {
        type: "secret",
        format: rest[0],
        data: rest[1],
        algorithm: rest[2],
        extractable: rest[3],
        usages: rest[4],
      };
    if (operation === "sign") return { $bytes: "AQI=" };
    throw { name: "BackplaneError", code: "ability_input", message: "no" };
  };
  assert.equal(
    await isolate.run(
      `return new TextDecoder().decode(await crypto.subtle.digest("SHA-256", new TextEncoder().encode("x")))`,
    ),
    "digested",
  );
  assert.deepEqual(isolate.called[0], ["crypto.subtle", ["digest", { name: "SHA-256" }, { $bytes: "eA==" }]]);
  assert.deepEqual(
    await isolate.run(
      `globalThis.key = await crypto.subtle.importKey("raw", new Uint8Array([1]), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]); return [...new Uint8Array(await crypto.subtle.sign("HMAC", key, new Uint8Array([9])))]`,
    ),
    [1, 2],
  );
  assert.deepEqual(isolate.called[2], [
    "crypto.subtle",
    [
      "sign",
      { name: "HMAC" },
      {
        type: "secret",
        format: "raw",
        data: { $bytes: "AQ==" },
        algorithm: { name: "HMAC", hash: "SHA-256" },
        extractable: false,
        usages: ["sign"],
      },
      { $bytes: "CQ==" },
    ],
  ]);
  assert.deepEqual(
    await isolate.run(`return [key.type, key.extractable, key.usages, JSON.stringify(key), Object.keys(key)]`),
    ["secret", false, ["sign"], "{}", []],
  );
  await assert.rejects(isolate.run(`return crypto.subtle.exportKey("raw", key)`), /InvalidAccessError/);
  await assert.rejects(
    isolate.run(`return crypto.subtle.verify("HMAC", key, new Uint8Array(1), new Uint8Array(1))`),
    /InvalidAccessError/,
  );
  await assert.rejects(
    isolate.run(`return crypto.subtle.generateKey("AES-GCM", true, ["encrypt"])`),
    /AbilityError: no/,
  );
  await assert.rejects(isolate.run(`new CryptoKey({}, {})`), /Illegal constructor/);
});
