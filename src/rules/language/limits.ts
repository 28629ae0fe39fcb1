/** How large a rule may be and what its expressions may cost. */

export const ruleLimits = {
  /** Characters of the source. */
  sourceLength: 64 * 1024,
  /** Levels of the YAML document. */
  depth: 24,
  /** Values in the YAML document. */
  values: 5_000,
  /** Levels of all, any and not. */
  conditionDepth: 8,
  /** Condition nodes. */
  conditions: 100,
  actions: 50,
  triggers: 20,
  expressions: 500,
  /** Characters of one expression. */
  expressionLength: 4_000,
  /** Nodes of one expression's tree. */
  expressionNodes: 500,
  /** Regular expressions in a rule. */
  patterns: 50,
  /** Macros (`map`, `filter`, …) inside one another. */
  comprehensionDepth: 3,
  /** Steps of one evaluation: about one a node, and one for each 16 characters or each item that an operation touches. */
  evaluationSteps: 100_000,
  /** Steps of all the expressions in one action's params together, or in one walk through the conditions. */
  paramsSteps: 400_000,
  /** Steps of all filters that one event meets. */
  matchSteps: 1_000_000,
  /** Characters of a text, items of a list that an evaluation makes. */
  textLength: 256 * 1024,
  listLength: 10_000,
  faults: 100,
} as const;

export type RuleLimits = { [Name in keyof typeof ruleLimits]: number };
