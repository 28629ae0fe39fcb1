/** Tables of OAuth connections. */

// biome-ignore lint/suspicious/noEmptyInterface: filled by the area's migration
export interface ConnectionTables {}
