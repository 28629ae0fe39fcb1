import assert from "node:assert/strict";
import { test } from "node:test";
import { canonicalHost, matchesHost } from "../base/host-pattern.ts";
import { BackplaneError } from "../errors/error.ts";
import { parseTarget } from "./target.ts";

const hostile = [
  "http://api.vendor.com/",
  "ftp://api.vendor.com/",
  "file:///etc/passwd",
  "data:text/plain,x",
  "javascript:1",
  "unix:/var/run/docker.sock",
  "gopher://api.vendor.com/",
  "//api.vendor.com/",
  "/path",
  "",
  "https:/api.vendor.com/",
  "https:api.vendor.com",
  "https:\\\\api.vendor.com\\",
  "https://api.vendor.com\\@evil.com/",
  "https://user@api.vendor.com/",
  "https://user:pass@api.vendor.com/",
  "https://@api.vendor.com/",
  "https://api.vendor.com:pass@evil.com/",
  "https://api.vendor.com:8443/",
  "https://api.vendor.com:80/",
  "https://api.vendor.com:0/",
  "https://api.vendor.com:99999/",
  "https://api.vendor.com./",
  "https://api..vendor.com/",
  "https://.vendor.com/",
  "https://api%2evendor.com/",
  "https://api.vendor.com%00.evil.com/",
  "https://api.vendor.com\t/",
  "https://api.ven\ndor.com/",
  " https://api.vendor.com/",
  "https://api.vendor.com/a b",
  "https://api.vendor.com/\r\nX: y",
  "https://api.vendor.com/\u00a0",
  "https://127.0.0.1/",
  "https://127.1/",
  "https://2130706433/",
  "https://0x7f000001/",
  "https://0x7f.0.0.1/",
  "https://0177.0.0.1/",
  "https://017700000001/",
  "https://①②⑦.⓪.⓪.①/",
  "https://127。0。0。1/",
  "https://8.8.8.8/",
  "https://1.2.3.4.5/",
  "https://foo.0x7f/",
  "https://[::1]/",
  "https://[::ffff:127.0.0.1]/",
  "https://[::ffff:7f00:1]/",
  "https://[fe80::1%25eth0]/",
  "https://[2606:4700::1]/",
  "https://[v1.x]/",
  "https://localhost/",
  "https://LOCALHOST/",
  "https://ⓛocalhost/",
  "https://foo.localhost/",
  "https://-api.vendor.com/",
  `https://${"a".repeat(64)}.com/`,
  `https://api.vendor.com/${"a".repeat(20_000)}`,
];

test("URLs with hostile spellings are refused as egress_denied", () => {
  for (const url of hostile) {
    assert.throws(
      () => parseTarget(url),
      (error) => error instanceof BackplaneError && error.code === "egress_denied",
      JSON.stringify(url.slice(0, 60)),
    );
  }
});

test("plain https URLs pass; hosts become lower-case punycode and fragments go", () => {
  assert.equal(parseTarget("https://api.vendor.com/v1?x=1#part").url.href, "https://api.vendor.com/v1?x=1");
  assert.equal(parseTarget("HTTPS://API.Vendor.COM:443/A").url.href, "https://api.vendor.com/A");
  assert.equal(parseTarget("https://bücher.example/").host, "xn--bcher-kva.example");
  assert.equal(parseTarget("https://ａｐｉ.vendor.com/").host, "api.vendor.com");
  assert.equal(parseTarget("http://api.vendor.com/", (host) => host === "api.vendor.com").host, "api.vendor.com");
});

test("a pattern matches its own host, or names below its domain, and nothing that only looks alike", () => {
  assert.ok(matchesHost("api.vendor.com", "api.vendor.com"));
  assert.ok(matchesHost("API.Vendor.com", "api.vendor.com"));
  assert.ok(matchesHost("*.vendor.com", "a.b.vendor.com"));
  assert.ok(matchesHost("bücher.example", "xn--bcher-kva.example"));
  const no = [
    ["*.vendor.com", "vendor.com"],
    ["*.vendor.com", "evilvendor.com"],
    ["vendor.com", "api.vendor.com"],
    ["api.vendor.com", "api.vendor.com.evil.com"],
    ["api.vendor.com", "xn--pi-7kc.vendor.com"],
    ["*", "vendor.com"],
    ["*.com", "vendor.com"],
    ["*.*", "vendor.com"],
    ["a*.vendor.com", "ab.vendor.com"],
    ["", "vendor.com"],
    ["127.0.0.1", "127.0.0.1"],
    ["vendor.com.", "vendor.com"],
    ["vendor.com:443", "vendor.com"],
  ] as const;
  for (const [pattern, host] of no) assert.equal(matchesHost(pattern, host), false, `${pattern} ${host}`);
});

test("a canonical host is a fixed point", () => {
  for (const host of ["api.vendor.com", "xn--bcher-kva.example", "a_b.vendor.com"])
    assert.equal(canonicalHost(host), host);
  for (const text of [
    "1.2.3.4",
    "::1",
    "[::1]",
    "a b",
    "a%2e",
    "x/y",
    "u@h.com",
    "h.com:1",
    "a..b",
    "a.",
    ".a",
    "foo.0x1",
    "foo.12",
  ])
    assert.equal(canonicalHost(text), undefined, text);
});
