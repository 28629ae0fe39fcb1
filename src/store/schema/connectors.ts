/** Tables of the connector engine. */

// biome-ignore lint/suspicious/noEmptyInterface: filled by the area's migration
export interface ConnectorTables {}
