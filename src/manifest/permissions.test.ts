import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { describePermission, fixedPermissions, parsePermission, targetedExamples } from "./permissions.ts";

/** What is refused, and a part of the sentence that says why or what to write. */
const refused: [string, RegExp][] = [
  ["", /unknown/],
  ["*", /everything/],
  ["*:*", /everything/],
  ["read:orgs", /Did you mean `read:org`/],
  ["Read:Org", /Did you mean `read:org`/],
  ["netwrk:outbound:api.vendor.com", /Did you mean `network:outbound:api.vendor.com`/],
  ["storage:read:x", /takes nothing after/],
  ["event:publish", /does not say what for/],
  ["event:publish:", /does not say what for/],
  ["network:outbound:", /does not say what for/],
  ["network:outbound:*", /every host/],
  ["network:outbound:com", /public suffix/],
  ["network:outbound:co.uk", /public suffix/],
  ["network:outbound:github.io", /public suffix/],
  ["network:outbound:*.com", /public suffix/],
  ["network:outbound:*.co.uk", /public suffix/],
  ["network:outbound:*.github.io", /public suffix/],
  ["network:outbound:api.*.com", /whole first label/],
  ["network:outbound:api*.vendor.com", /whole first label/],
  ["network:outbound:**.vendor.com", /whole first label/],
  ["network:outbound:*.*.vendor.com", /whole first label/],
  ["network:outbound:127.0.0.1", /IP address/],
  ["network:outbound:2130706433", /IP address/],
  ["network:outbound:0x7f000001", /IP address/],
  ["network:outbound:0x7f.1", /IP address/],
  ["network:outbound:017700000001", /IP address/],
  ["network:outbound:127.1", /IP address/],
  ["network:outbound:1.2.3.4.5", /IP address/],
  ["network:outbound:*.0.0.1", /IP address/],
  ["network:outbound:::1", /IP address/],
  ["network:outbound:[::1]", /IP address/],
  ["network:outbound:::ffff:127.0.0.1", /IP address/],
  ["network:outbound:fe80::1%eth0", /IP address/],
  ["network:outbound:１２７.0.0.1", /IP address/],
  ["network:outbound:①②⑦.0.0.1", /IP address/],
  ["network:outbound:localhost", /local network/],
  ["network:outbound:api.localhost", /local network/],
  ["network:outbound:metadata.google.internal", /local network/],
  ["network:outbound:printer.local", /local network/],
  ["network:outbound:1.0.0.127.in-addr.arpa", /local network/],
  ["network:outbound:vendor", /single label|public suffix/],
  ["network:outbound:api.vendor.com:443", /port.*`api\.vendor\.com`/],
  ["network:outbound:user@api.vendor.com", /user information/],
  ["network:outbound:user:pw@api.vendor.com", /user information/],
  ["network:outbound:https://api.vendor.com/v1", /URL.*`api\.vendor\.com`/],
  ["network:outbound:api.vendor.com/v1", /path.*`api\.vendor\.com`/],
  ["network:outbound:api.vendor.com\\@evil.com", /user information/],
  ["network:outbound:api.vendor.com#x", /path/],
  ["network:outbound:api.vendor.com?x", /path/],
  ["network:outbound:api.vendor.com.", /ends with a dot.*`api\.vendor\.com`/],
  ["network:outbound:.api.vendor.com", /not a host name/],
  ["network:outbound:api..vendor.com", /not a host name/],
  ["network:outbound:-api.vendor.com", /not a host name/],
  ["network:outbound:api_x.vendor.com", /not a host name/],
  ["network:outbound:Api.Vendor.com", /upper-case.*`api\.vendor\.com`/],
  ["network:outbound:bücher.example", /`xn--bcher-kva\.example`/],
  ["network:outbound:аpi.vendor.com", /other than ASCII/],
  ["network:outbound:api。vendor.com", /other than ASCII/],
  ["network:outbound:api.vendor.com\n", /white space|control/],
  ["network:outbound: api.vendor.com", /white space/],
  ["network:outbound:api.vendor.com%00", /IP address|not a host name/],
  ["network:outbound:xn--a.vendor.com", /punycode/],
  [`network:outbound:${"a".repeat(64)}.com`, /not a host name/],
  [`network:outbound:${"a.".repeat(200)}com`, /longer than|not a host name/],
  ["event:publish:*", /every event/],
  ["event:publish:*.*", /every event/],
  ["event:publish:order", /`order\.\*`/],
  ["event:publish:order*", /at the end, after a dot/],
  ["event:publish:order.*.x", /at the end/],
  ["event:publish:Order.*", /not a/],
  ["event:publish:ordеr.*", /not a/],
  ["event:publish:plugin.*", /only the hub/],
  ["event:publish:plugin.installed", /only the hub/],
  ["event:subscribe:*", /every event/],
  ["event:subscribe:>", /every event/],
  ["event:subscribe:order.", /not an event pattern/],
  ["data:read:*", /each entity/],
  ["data:write:a.b", /letter followed by/],
  ["data:read:Contacts", /write `contacts`/],
  ["data:write:calendarEvents", /write `calendar_events`/],
  ["data:read:9lives", /lower-case letter/],
  [`data:read:${"a".repeat(64)}`, /lower-case letter/],
  ["data:read:contacts,messages", /letter followed by/],
  ["data:delete:contacts", /unknown/],
  ["filesystem:read:/", /whole disk/],
  ["filesystem:read:C:/", /whole disk/],
  ["filesystem:read:relative/path", /absolute/],
  ["filesystem:read:/home/../etc", /`\.\.`/],
  ["filesystem:read:C:\\Users\\..\\x", /`\.\.`/],
  ["filesystem:read:/home/*", /wildcard/],
  ["filesystem:read:C:/Users:stream", /characters/],
  ["filesystem:write:/home/x", /unknown/],
  ["plugin:call:*", /not a plugin id/],
  ["plugin:call:Acme.Base", /`acme\.base`/],
  ["plugin:call:acme.bаse", /ASCII/],
  ["__proto__", /unknown/],
  ["constructor", /unknown/],
  ["constructor:prototype:x", /unknown/],
  [`data:read:${"a".repeat(400)}`, /longer than/],
];

const accepted = [
  ...fixedPermissions,
  ...targetedExamples,
  "network:outbound:graph.microsoft.com",
  "network:outbound:*.vendor.com",
  "network:outbound:*.eu.vendor.co.uk",
  "network:outbound:site.github.io",
  "network:outbound:xn--bcher-kva.example",
  "event:publish:connector.*",
  "event:publish:data.*",
  "event:publish:comms.MessageReceived",
  "event:subscribe:comms.sms.*",
  "event:subscribe:plugin.*",
  "data:read:calendar_events",
  "data:read:conversations",
  "data:read:messages",
  `data:read:${"a".repeat(63)}`,
  "filesystem:read:/home/agent/inbox",
  "filesystem:read:C:\\Users\\Public",
  "plugin:call:mlebotics/slack-notifier",
];

describe("permission grammar", () => {
  for (const [text, reason] of refused) {
    test(`refuses ${JSON.stringify(text.slice(0, 60))} by name and says why`, () => {
      const { permission, fault } = parsePermission(text);
      assert.equal(permission, undefined);
      assert.match(fault!, reason);
      assert.match(fault!, /^Permission `/);
    });
  }

  for (const text of accepted) {
    test(`takes ${text} with a sentence and a risk`, () => {
      const { permission, fault } = parsePermission(text);
      assert.equal(fault, undefined);
      assert.equal(permission!.text, text);
      assert.match(permission!.sentence, /^[A-Z].*\.$/);
      assert.ok(["low", "medium", "high"].includes(permission!.risk));
    });
  }

  test("rates what can reach or change more as riskier", () => {
    const risk = (text: string): string => describePermission(text).risk;
    assert.equal(risk("network:outbound:api.vendor.com"), "medium");
    assert.equal(risk("network:outbound:*.vendor.com"), "high");
    assert.equal(risk("data:read:contacts"), "medium");
    assert.equal(risk("data:write:contacts"), "high");
    assert.equal(risk("event:publish:greeter.*"), "low");
    assert.equal(risk("event:publish:data.*"), "medium");
    assert.equal(risk("event:publish:comms.MessageReceived"), "medium");
    for (const asks of ["event:publish:comms.*", "event:publish:comms.MessageRequested"]) {
      assert.equal(risk(asks), "high");
      assert.match(describePermission(asks).sentence, /send messages in your name/);
    }
  });

  test("shows the letters behind punycode, so that a look-alike can be seen", () => {
    assert.match(describePermission("network:outbound:xn--bcher-kva.example").sentence, /bücher\.example/);
  });

  test("never throws, and what it takes has one spelling", () => {
    const piece = fc.constantFrom(
      ...accepted,
      ...refused.map(([text]) => text),
      ":",
      "*",
      ".",
      "network:outbound:",
      "event:publish:",
      "xn--",
      "%",
      "@",
      "\u0000",
      "٠",
      "ß",
      "ı",
    );
    const text = fc.oneof(
      fc.string({ unit: "binary", maxLength: 60 }),
      fc.array(fc.oneof(piece, fc.string({ maxLength: 8 })), { maxLength: 4 }).map((parts) => parts.join("")),
    );
    fc.assert(
      fc.property(text, (candidate) => {
        const { permission, fault } = parsePermission(candidate);
        assert.equal(permission === undefined, fault !== undefined);
        if (permission === undefined) return;
        assert.equal(permission.text, candidate);
        if (permission.namespace !== "filesystem:read") assert.match(candidate, /^[\x21-\x7e]+$/);
        if (permission.namespace === "network:outbound" && permission.target !== undefined) {
          const host = permission.target.replace(/^\*\./, "");
          assert.equal(new URL(`https://${host}/`).host, host, "a URL parser must read the same host");
        }
      }),
      { numRuns: 3000 },
    );
  });

  test("a host of any letters is taken only when a URL parser leaves it as it is", () => {
    const label = fc.string({ unit: fc.constantFrom(..."abz09-.xnA_%:@é。１"), minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(fc.array(label, { minLength: 1, maxLength: 4 }), (labels) => {
        const host = labels.join(".");
        if (parsePermission(`network:outbound:${host}`).permission === undefined) return;
        assert.equal(new URL(`https://${host}/`).hostname, host);
        assert.ok(host.includes("."));
      }),
      { numRuns: 2000 },
    );
  });
});
