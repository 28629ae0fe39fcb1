/** The one thing both ends of the PGlite worker need to know of PostgreSQL's wire protocol. */

/** Whether an answer ends with ReadyForQuery, as every answer of a sound database does. */
export function endsReady(bytes: Uint8Array): boolean {
  const start = bytes.byteLength - 6;
  return start >= 0 && bytes[start] === 0x5a && bytes[start + 4] === 5;
}
