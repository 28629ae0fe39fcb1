import assert from "node:assert/strict";
import { test } from "node:test";
import { openTestIsolate } from "./test-isolate.ts";

test("Headers join, sort, keep cookies apart, and refuse line breaks", async () => {
  using isolate = await openTestIsolate();
  assert.deepEqual(
    await isolate.run(
      `const h = new Headers({ B: " 2 ", a: "1" }); h.append("A", "x"); h.append("set-cookie", "c=1"); h.append("Set-Cookie", "d=2"); return [[...h], h.get("a"), h.getSetCookie(), h.has("B"), h.get("none")]`,
    ),
    [
      [
        ["a", "1, x"],
        ["b", "2"],
        ["set-cookie", "c=1"],
        ["set-cookie", "d=2"],
      ],
      "1, x",
      ["c=1", "d=2"],
      true,
      null,
    ],
  );
  for (const bad of [
    `["a b", "x"]`,
    `["", "x"]`,
    `["a", "x\\r\\ny: z"]`,
    `["a", "x\\0"]`,
    `["a", "€"]`,
    `["a:", "x"]`,
  ]) {
    await assert.rejects(isolate.run(`new Headers([${bad}])`), /TypeError/, bad);
  }
});

test("Response reads its body once, in every way", async () => {
  using isolate = await openTestIsolate();
  assert.deepEqual(
    await isolate.run(
      `return [await new Response('{"a":1}').json(), await new Response("é").text(), [...await new Response("é").bytes()], (await new Response(new Uint8Array([1, 2])).arrayBuffer()).byteLength, await new Response(null).text()]`,
    ),
    [{ a: 1 }, "é", [195, 169], 2, ""],
  );
  await assert.rejects(isolate.run(`const r = new Response("x"); await r.text(); await r.text()`), /read already/);
  assert.deepEqual(
    await isolate.run(
      `const r = new Response("x", { status: 201, headers: { a: "b" } }); const c = r.clone(); await r.text(); return [await c.text(), c.status, c.ok, c.headers.get("a"), r.bodyUsed, c.headers.get("content-type")]`,
    ),
    ["x", 201, true, "b", true, "text/plain;charset=UTF-8"],
  );
  assert.deepEqual(
    await isolate.run(
      `const j = Response.json({ a: 1 }); const d = Response.redirect("https://a.b/c", 307); const e = Response.error(); return [j.headers.get("content-type"), await j.json(), d.status, d.headers.get("location"), e.type, e.status]`,
    ),
    ["application/json", { a: 1 }, 307, "https://a.b/c", "error", 0],
  );
  await assert.rejects(isolate.run(`new Response("x", { status: 204 })`), /has no body/);
  await assert.rejects(isolate.run(`new Response("x", { status: 99 })`), /RangeError/);
  await assert.rejects(isolate.run(`Response.redirect("https://a.b").headers.set("a", "b")`), /cannot be changed/);
});

test("Request takes over from another request and refuses what fetch refuses", async () => {
  using isolate = await openTestIsolate();
  assert.deepEqual(
    await isolate.run(
      `const r = new Request("https://A.b/x y", { method: "post", body: "hi", headers: { q: "1" } }); const s = new Request(r, { headers: { z: "2" } }); return [r.url, r.method, r.bodyUsed, s.method, await s.text(), [...s.headers], s.signal.aborted]`,
    ),
    [
      "https://a.b/x%20y",
      "POST",
      true,
      "POST",
      "hi",
      [
        ["content-type", "text/plain;charset=UTF-8"],
        ["z", "2"],
      ].filter(([n]) => n !== "content-type"),
      false,
    ],
  );
  for (const bad of [
    `"/relative"`,
    `"https://u:p@a.b"`,
    `"https://a.b", { method: "TRACE" }`,
    `"https://a.b", { body: "x" }`,
    `"https://a.b", { signal: {} }`,
    `"https://a.b", { redirect: "x" }`,
  ]) {
    await assert.rejects(isolate.run(`new Request(${bad})`), /TypeError/, bad);
  }
});

test("forms go over the wire and come back", async () => {
  using isolate = await openTestIsolate();
  assert.deepEqual(
    await isolate.run(`
      const form = new FormData(); form.append('na"me', "v\\n1"); form.append("f", new Blob([new Uint8Array([0, 255, 13, 10, 45, 45])], { type: "image/x" }), "ü.png");
      const r = new Response(form); const type = r.headers.get("content-type"); const back = await r.formData(); const file = back.get("f");
      return [type.startsWith("multipart/form-data; boundary="), back.get('na"me'), file.name, file.type, [...await file.bytes()], file instanceof File]`),
    [true, "v\r\n1", "ü.png", "image/x", [0, 255, 13, 10, 45, 45], true],
  );
  assert.deepEqual(
    await isolate.run(`return [...await new Response(new URLSearchParams("a=1&b=%20x+y")).formData()]`),
    [
      ["a", "1"],
      ["b", " x y"],
    ],
  );
  await assert.rejects(isolate.run(`return new Response("x").formData()`), /not a form/);
  assert.deepEqual(
    await isolate.run(
      `const b = new Blob(["abc", new Uint8Array([100])], { type: "Text/X" }); return [b.size, b.type, await b.slice(1, -1).text(), await b.text()]`,
    ),
    [4, "text/x", "bc", "abcd"],
  );
});

test("a body made by Node's multipart encoder is understood", async () => {
  using isolate = await openTestIsolate();
  const form = new FormData();
  form.append("text", "héllo");
  form.append("file", new File([Buffer.from([1, 2, 3])], "a.bin"));
  const response = new Response(form);
  const type = response.headers.get("content-type") as string;
  const body = Buffer.from(await response.arrayBuffer()).toString("base64");
  assert.deepEqual(
    await isolate.run(
      `const f = await new Response(Uint8Array.fromBase64("${body}"), { headers: { "content-type": ${JSON.stringify(type)} } }).formData(); return [f.get("text"), f.get("file").name, [...await f.get("file").bytes()]]`,
    ),
    ["héllo", "a.bin", [1, 2, 3]],
  );
});
