/** Pages of a list that is short enough to be read whole, such as the connections of one plugin. */
import { decodeCursor, encodeCursor } from "../../base/cursor.ts";

/** What comes behind the cursor, in order of the keys, which differ. Error: `invalid_cursor`. */
export function pageOf<Item>(
  items: readonly Item[],
  keyOf: (item: Item) => string,
  { limit, cursor }: { limit: number; cursor?: string | undefined },
): { items: Item[]; nextCursor: string | null } {
  const after = cursor === undefined ? undefined : String(decodeCursor(cursor, 1)[0]);
  const rest = items
    .map((item) => ({ item, key: keyOf(item) }))
    .filter(({ key }) => after === undefined || key > after)
    .sort((a, b) => (a.key < b.key ? -1 : 1));
  const shown = rest.slice(0, limit);
  const last = shown.at(-1);
  return {
    items: shown.map(({ item }) => item),
    nextCursor: last && rest.length > limit ? encodeCursor([last.key]) : null,
  };
}
