/** Tables of outbound messages. */

// biome-ignore lint/suspicious/noEmptyInterface: filled by the area's migration
export interface ChannelTables {}
