/** Tables of the unified data model. */

// biome-ignore lint/suspicious/noEmptyInterface: filled by the area's migration
export interface EntityTables {}
