/** Reads what a guest's `drain` gave back. The text is judged as hostile: an isolate may have been broken from within. */

export interface OutboxRecord {
  kind: string;
  id: number;
  aux: number;
  name: string;
  body: string;
}

/** Calls `onRecord` for each record. False when the text is not well formed: the isolate is to be given up. */
export function readOutbox(text: string, onRecord: (record: OutboxRecord) => void): boolean {
  let at = 0;
  while (at < text.length) {
    const lineEnd = text.indexOf("\n", at);
    if (lineEnd < 0 || lineEnd - at > 64) return false;
    const kind = text[at]!;
    let position = at + 1;
    const numbers: [number, number, number, number] = [0, 0, 0, 0];
    for (let field = 0; field < 4; field++) {
      if (text.charCodeAt(position) !== 32) return false;
      position += 1;
      let value = 0;
      const start = position;
      for (; position < lineEnd; position++) {
        const digit = text.charCodeAt(position) - 48;
        if (digit < 0 || digit > 9) break;
        value = value * 10 + digit;
      }
      if (position === start || value > 0xffffffff) return false;
      numbers[field] = value;
    }
    if (position !== lineEnd) return false;
    const [id, aux, nameLength, bodyLength] = numbers;
    const nameEnd = lineEnd + 1 + nameLength;
    const bodyEnd = nameEnd + bodyLength;
    if (nameLength > 100 || bodyEnd > text.length) return false;
    onRecord({ kind, id, aux, name: text.slice(lineEnd + 1, nameEnd), body: text.slice(nameEnd, bodyEnd) });
    at = bodyEnd;
  }
  return true;
}
