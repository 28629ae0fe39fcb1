/** A catalog such as the bundled operator plugins give, and the two example rules of Made Open's document, word for word. */
import { compileRule } from "./compile-rule.ts";
import type { CompiledRule, OperatorCatalog, OperatorEntry, RuleEvent, RuleFault } from "./types.ts";

function operator(plugin: string, properties: Record<string, unknown>, required: string[] = []): OperatorEntry {
  return {
    plugin,
    parameters: { type: "object", properties, required, additionalProperties: false },
    permissions: [],
    idempotent: true,
  };
}

const text = { type: "string" };
const contact = { type: ["string", "null"] };

export const testCatalog: OperatorCatalog = {
  conditions: new Map([
    [
      "comms.missedCalls",
      operator("io.madeopen.comms-rules", { contactId: contact, count: { type: "integer", minimum: 1 } }),
    ],
    [
      "comms.callCount",
      operator(
        "io.madeopen.comms-rules",
        {
          contactId: contact,
          direction: { enum: ["inbound", "outbound", "any"] },
          windowDays: { type: "number" },
          count: { type: "integer" },
        },
        ["contactId"],
      ),
    ],
    ["contact.HasTag", operator("io.madeopen.contact-rules", { contactId: contact, tag: text }, ["tag"])],
    ["location.IsUserAtPlace", operator("io.madeopen.location-rules", { placeType: text, placeId: text })],
    ["free.Form", { plugin: "acme.free", permissions: [], idempotent: false }],
  ]),
  actions: new Map([
    [
      "comms.sendEmail",
      operator("io.madeopen.comms-rules", { to: text, subject: text, body: text, replyToMessageId: text }, [
        "to",
        "subject",
        "body",
      ]),
    ],
    [
      "comms.sendSms",
      operator("io.madeopen.comms-rules", { to: text, body: { ...text, maxLength: 1600 } }, ["to", "body"]),
    ],
    [
      "comms.createFollowUp",
      operator("io.madeopen.comms-rules", { contactId: text, dueAt: text, note: text }, ["contactId", "dueAt"]),
    ],
    ["free.Act", { plugin: "acme.free", permissions: [], idempotent: false }],
  ]),
  variables: new Map([
    [
      "followUp",
      {
        plugin: "io.madeopen.comms-rules",
        schema: {
          type: "object",
          properties: { id: text, contactId: text, dueAt: text, title: text },
          additionalProperties: false,
        },
      },
    ],
    ["device", { plugin: "acme.free" }],
  ]),
  offered: new Map([
    ["smart-home.SetLightingScene", "acme.smart-home"],
    ["scene", "acme.smart-home"],
  ]),
  installable: new Map([
    ["places.Arrived", "io.example.places"],
    ["nearby", "io.example.places"],
  ]),
};

export const vipRule = `# "If a VIP misses 3+ calls, send them a follow-up email"
name: VIP Missed Call Follow-up
trigger:
  event: comms.CallMissed
conditions:
  - operator: comms.missedCalls
    params:
      contactId: "{{ event.fromContactId }}"
      count: 3
  - operator: contact.HasTag
    params:
      tag: "vip"
actions:
  - operator: comms.sendEmail
    params:
      to: "{{ event.fromContactId }}"
      subject: "Sorry we missed you"
      body: "We noticed we've missed your last few calls. Please reply to this email or call us back at your convenience."
`;

export const officeRule = `# "When I arrive at the office, send my pending follow-ups"
name: Office Arrival Follow-up Flush
trigger:
  event: location.PlaceArrived
conditions:
  - operator: location.IsUserAtPlace
    params:
      placeType: work
actions:
  - operator: comms.sendSms
    params:
      to: "{{ followUp.contactId }}"
      body: "Hey! I'm now at the office — happy to connect. Give me a call or reply here."
`;

/** Throws the faults, for tests about what a good rule does. */
export function compiled(source: string, catalog: OperatorCatalog = testCatalog): CompiledRule {
  const { rule, faults } = compileRule(source, catalog);
  if (rule === undefined) throw new Error(JSON.stringify(faults, null, 1));
  return rule;
}

export function faultsOf(source: string, catalog: OperatorCatalog = testCatalog): RuleFault[] {
  return compileRule(source, catalog).faults;
}

/** A rule with these lines for its filter, in a `filter: >-` block. */
export function withFilter(filter: string): string {
  return `name: test\ntrigger:\n  event: test.Happened\n  filter: ${JSON.stringify(filter)}\nactions:\n  - operator: free.Act\n`;
}

export function testEvent(type: string, data: unknown, more: Partial<RuleEvent> = {}): RuleEvent {
  return {
    id: "e-1",
    type,
    source: "test",
    time: "2026-01-31T09:30:00.000Z",
    organization: "org-1",
    data,
    ...more,
  };
}
