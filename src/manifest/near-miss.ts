/** "Did you mean": the known word nearest to a mistyped one, if it is near enough to be meant. */

/** Compares without case, `_`, `-` and spaces first, then by edit distance (a swap counts one). */
export function nearest(word: string, known: Iterable<string>): string | undefined {
  if (word.length === 0 || word.length > 64) return undefined;
  const plain = (text: string): string => text.toLowerCase().replace(/[_\s-]/g, "");
  const target = plain(word);
  let best: string | undefined;
  let bestDistance = Math.min(3, Math.floor(target.length / 3)) + 1;
  let tried = 0;
  for (const candidate of known) {
    if (candidate === word || candidate.length > 128) continue;
    if (++tried > 200) break;
    const other = plain(candidate);
    if (other === target) return candidate;
    if (Math.abs(other.length - target.length) >= bestDistance) continue;
    const distance = editDistance(target, other);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** `; did you mean \`x\`?` or `""`. */
export function didYouMean(word: string, known: Iterable<string>): string {
  const found = nearest(word, known);
  return found === undefined ? "" : ` Did you mean \`${found}\`?`;
}

function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = last[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      let least = Math.min(change, last[j]! + 1, row[j - 1]! + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) least = Math.min(least, before[j - 2]! + 1);
      row.push(least);
    }
    before = last;
    last = row;
  }
  return last[b.length]!;
}
