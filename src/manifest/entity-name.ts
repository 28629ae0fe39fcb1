/** What an entity of the data model may be called; grants and the table of entities must agree, so both ask here. */
const shape = /^[a-z][a-z0-9_]{0,62}$/;
/** Asked twice for every row that is written, mostly of a few names. */
const known = new Set<string>();

export function isEntityName(text: string): boolean {
  if (known.has(text)) return true;
  const fits = shape.test(text);
  if (fits && known.size < 1000) known.add(text);
  return fits;
}
