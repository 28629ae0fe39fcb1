import assert from "node:assert/strict";
import { test } from "node:test";
import type { HttpScript } from "../../plugin-api/src/testing.ts";
import { createEgress } from "../egress/egress.ts";
import { createScriptedServices, matches } from "./scripted-services.ts";

const answer = {};

test("a script fits by method and address; a query counts only when it is written", () => {
  const fits = (script: Omit<HttpScript, "answer">, method: string, url: string): boolean =>
    matches({ ...script, answer }, { method, url });
  assert.equal(fits({ url: "https://a.com/x" }, "POST", "https://a.com/x?y=1"), true);
  assert.equal(fits({ url: "https://a.com/x?y=1" }, "GET", "https://a.com/x?y=2"), false);
  assert.equal(fits({ url: "https://a.com/x", method: "post" }, "GET", "https://a.com/x"), false);
  assert.equal(fits({ url: "https://a.com/x" }, "GET", "https://a.com/xy"), false);
  assert.equal(fits({ url: "https://a.com/x*" }, "GET", "https://a.com/xy"), true);
  assert.equal(fits({ url: "https://a.com" }, "GET", "https://a.com/"), true);
  assert.equal(fits({ url: /\/users\/\d+$/ }, "GET", "https://a.com/users/7"), true);
});

test("the guarded client is led here for any granted host, with production's rules", async () => {
  await using services = await createScriptedServices();
  const egress = createEgress({ override: services.override });
  using talk = services.open([
    { method: "POST", url: "https://api.example.com/v1", times: 1, answer: { status: 201, body: { first: true } } },
    { url: "https://api.example.com/v1", answer: ({ json }) => ({ body: { echo: json } }) },
  ]);
  const post = (url: string): ReturnType<typeof egress.fetch> =>
    egress.fetch({
      url,
      method: "POST",
      headers: [
        ["content-type", "application/json"],
        ["x-key", "k"],
      ],
      body: Buffer.from('{"a":1}'),
      allowedHosts: ["*.example.com"],
    });
  const first = await post("https://api.example.com/v1");
  const second = await post("https://api.example.com/v1?q=2");
  assert.deepEqual([first.status, JSON.parse(Buffer.from(second.body).toString())], [201, { echo: { a: 1 } }]);
  assert.deepEqual(
    talk.requests.map(({ url, headers, json }) => [url, headers["x-key"], json]),
    [
      ["https://api.example.com/v1", "k", { a: 1 }],
      ["https://api.example.com/v1?q=2", "k", { a: 1 }],
    ],
  );
  await assert.rejects(post("http://api.example.com/v1"), { code: "egress_denied" });
  await assert.rejects(post("https://other.com/"), { code: "egress_denied" });
  const silent = await post("https://api.example.com/unknown");
  assert.equal(silent.status, 501);
  assert.equal(talk.unanswered[0]?.url, "https://api.example.com/unknown");
  await egress.close();
});
