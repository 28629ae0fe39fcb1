/** The rules of a bundled plugin's quality.json. Some are checked by bundled.test.ts; the others are a promise of its author. */

export const qualityRules = {
  readme: "README.md says what it does, with the sections Configuration, Permissions and Limits.",
  "permissions-used": "Every permission it asks for is used by its code or its contributions.",
  "bounded-parameters": "Parameters and settings refuse unknown fields, and every text in them has a greatest length.",
  "results-declared": "Every function declares what it returns.",
  "secrets-bound": "Secrets are sealed, bound to hosts (without any they are sent nowhere), and not exposed.",
  tests: "A test beside the code runs it in the production sandbox.",
  "failures-tested": "Its tests show what happens when the vendor, or the caller, is wrong.",
  fixtures: "What the vendor answers or sends in tests is kept in fixtures/, as the vendor documents or sent it.",
  "vendor-sources": "Code names the vendor's documentation that it follows.",
  "vendor-rate-limits": "It keeps to the vendor's rate limits, and waits as long as the vendor says.",
  "bears-repetition": "An event or item that comes again does no harm.",
  "webhooks-verified": "Webhooks whose signature does not verify cause nothing.",
  health: "A health handler tells whether the vendor accepts its credentials.",
} as const;

export type QualityRule = keyof typeof qualityRules;

/** `todo` and `exempt` say why. */
export type QualityEntry = "done" | { status: "todo" | "exempt"; reason: string };
