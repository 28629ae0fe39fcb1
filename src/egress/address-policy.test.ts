import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isPublicAddress } from "./address-policy.ts";

const refused = [
  "0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.127.255.255 127.0.0.1 127.255.255.254 169.254.169.254 172.16.0.1 172.31.255.255",
  "192.0.0.1 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 198.19.255.255 198.51.100.7 203.0.113.9 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255",
  ":: ::1 fe80::1 fe80::1%eth0 febf::1 fec0::1 fc00::1 fd12:3456::1 ff02::1 100::1 2001:db8::1 3fff::1 5f00::1 2001::1 2001:2::1 2001:10::1 2001:20::1",
  "::ffff:127.0.0.1 ::ffff:8.8.8.8 ::ffff:a9fe:a9fe ::127.0.0.1 ::7f00:1 ::8.8.8.8 ::ffff:0:127.0.0.1 2002:7f00:1:: 2002:808:808:: 2001:0:4136:e378::1",
  "64:ff9b::10.0.0.1 64:ff9b::a9fe:a9fe 64:ff9b::127.0.0.1 64:ff9b:1::8.8.8.8 4000::1 1::1 8000::1",
  "127.1 0x7f000001 2130706433 0177.0.0.1 010.0.0.1 8.8.8 1.2.3.4.5 256.1.1.1 8.8.8.8%lo localhost [::1] 8.8.8.8:443 1.1.1.1.",
].flatMap((line) => line.split(" "));

test("addresses that are not public, in every family and embedding, are refused", () => {
  for (const address of [...refused, "", " 8.8.8.8"]) assert.equal(isPublicAddress(address), false, address);
});

test("public addresses are allowed, also behind the NAT64 prefix", () => {
  for (const address of [
    "8.8.8.8",
    "1.1.1.1",
    "172.32.0.1",
    "100.128.0.1",
    "2606:4700:4700::1111",
    "2a00:1450::1",
    "64:ff9b::8.8.8.8",
    "64:FF9B::808:808",
  ]) {
    assert.equal(isPublicAddress(address), true, address);
  }
});

test("an IPv4 address written as IPv6 is never more public than the address itself", () => {
  const octet = fc.nat(255);
  fc.assert(
    fc.property(fc.tuple(octet, octet, octet, octet), (octets) => {
      const v4 = octets.join(".");
      const hex = octets.map((o) => o.toString(16).padStart(2, "0"));
      const tail = `${hex[0]}${hex[1]}:${hex[2]}${hex[3]}`;
      assert.equal(isPublicAddress(`::ffff:${v4}`), false);
      assert.equal(isPublicAddress(`::ffff:${tail}`), false);
      assert.equal(isPublicAddress(`2002:${tail}::`), false);
      assert.equal(isPublicAddress(`64:ff9b::${tail}`), isPublicAddress(v4));
    }),
  );
});
