/** Tables of rules and their runs. */

// biome-ignore lint/suspicious/noEmptyInterface: filled by the area's migration
export interface RuleTables {}
