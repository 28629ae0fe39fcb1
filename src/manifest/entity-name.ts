/** What an entity of the data model may be called; grants and the table of entities must agree, so both ask here. */
const shape = /^[a-z][a-z0-9_]{0,62}$/;

export function isEntityName(text: string): boolean {
  return shape.test(text);
}
