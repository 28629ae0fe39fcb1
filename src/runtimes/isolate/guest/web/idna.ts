/**
 * Domain to ASCII for URLs. ASCII names take a short path. For the others this maps as UTS 46 does in the common case (NFKC,
 * lower case, ignored code points removed) and encodes Punycode; the hub parses every URL again before it connects.
 */

const base = 36;
const longestDomain = 1024;

function adapt(delta: number, points: number, first: boolean): number {
  let value = first ? Math.floor(delta / 700) : delta >> 1;
  value += Math.floor(value / points);
  let k = 0;
  for (; value > 455; k += base) value = Math.floor(value / 35);
  return k + Math.floor((36 * value) / (value + 38));
}

const threshold = (k: number, bias: number): number => (k <= bias ? 1 : k >= bias + 26 ? 26 : k - bias);

/** RFC 3492. */
export function encodePunycode(label: string): string {
  const points = Array.from(label, (character) => character.codePointAt(0) as number);
  let output = "";
  for (const point of points) if (point < 128) output += String.fromCharCode(point);
  const basic = output.length;
  let handled = basic;
  if (basic > 0) output += "-";
  let n = 128;
  let delta = 0;
  let bias = 72;
  while (handled < points.length) {
    let next = 0x110000;
    for (const point of points) if (point >= n && point < next) next = point;
    delta += (next - n) * (handled + 1);
    n = next;
    for (const point of points) {
      if (point < n) delta++;
      if (point !== n) continue;
      let q = delta;
      for (let k = base; ; k += base) {
        const t = threshold(k, bias);
        if (q < t) break;
        output += digit(t + ((q - t) % (base - t)));
        q = Math.floor((q - t) / (base - t));
      }
      output += digit(q);
      bias = adapt(delta, handled + 1, handled === basic);
      delta = 0;
      handled++;
    }
    delta++;
    n++;
  }
  return output;
}

const digit = (value: number): string => String.fromCharCode(value < 26 ? value + 97 : value + 22);

/** Undefined when the text is not Punycode. */
export function decodePunycode(text: string): string | undefined {
  const split = text.lastIndexOf("-");
  const points = Array.from(split > 0 ? text.slice(0, split) : "", (character) => character.charCodeAt(0));
  let n = 128;
  let i = 0;
  let bias = 72;
  for (let at = split > 0 ? split + 1 : split === 0 ? 1 : 0; at < text.length; ) {
    const start = i;
    let weight = 1;
    for (let k = base; ; k += base) {
      const code = at < text.length ? text.charCodeAt(at++) : 0;
      const value = code >= 97 && code <= 122 ? code - 97 : code >= 48 && code <= 57 ? code - 22 : base;
      if (value >= base) return undefined;
      i += value * weight;
      if (i > 0x7fffffff) return undefined;
      const t = threshold(k, bias);
      if (value < t) break;
      weight *= base - t;
    }
    bias = adapt(i - start, points.length + 1, start === 0);
    n += Math.floor(i / (points.length + 1));
    i %= points.length + 1;
    if (n > 0x10ffff || (n >= 0xd800 && n <= 0xdfff)) return undefined;
    points.splice(i++, 0, n);
  }
  let output = "";
  for (const point of points) output += String.fromCodePoint(point);
  return output;
}

// The regular expressions stand inside the functions: making one with character properties costs the engine a while, and
// most isolates never see such a host.

/** One character at a time: a final sigma must not depend on its place, and nothing but a stop may turn into a dot. */
function map(domain: string): string {
  const ignored = /\u00ad|\u034f|[\u180b-\u180f]|\u200b|\u2060|\u2064|[\ufe00-\ufe0f]|\ufeff|[\u{e0100}-\u{e01ef}]/gu;
  const prepared = domain
    .replace(ignored, "")
    .replace(/[\u3002\uff0e\uff61]/g, ".")
    .replace(/\u1e9e/g, "ß");
  let mapped = "";
  for (const character of prepared) {
    const folded = character.normalize("NFKC").toLowerCase();
    mapped += character !== "." && folded.includes(".") ? "\ufffd" : folded.normalize("NFKC");
  }
  return mapped.normalize("NFC");
}

function validLabel(label: string): boolean {
  const disallowed = /[\p{Cc}\p{Cf}\p{Cn}\p{Co}\p{Cs}\p{Zs}\p{Zl}\p{Zp}\ufffc\ufffd]/u;
  if (disallowed.test(label.replace(/[\u200c\u200d]/g, "")) || /^\p{M}/u.test(label)) return false;
  // The heart of the bidi rule: letters of both directions do not share a label.
  const rightToLeft =
    /(?=[\p{L}\p{N}])[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;
  return !(rightToLeft.test(label) && /[a-z]/.test(label));
}

/** The lower-case ASCII form, or undefined when the domain is not valid. */
export function domainToAscii(domain: string): string | undefined {
  const ascii = /^[\0-\x7f]*$/.test(domain);
  if (ascii && !/(^|\.)xn--/i.test(domain)) return domain.toLowerCase();
  if (domain.length > longestDomain) return undefined;
  const labels = map(domain).split(".");
  for (let i = 0; i < labels.length; i++) {
    const label = labels[i] as string;
    if (label.startsWith("xn--")) {
      const decoded = decodePunycode(label.slice(4));
      if (decoded === undefined || decoded === "" || /^[\0-\x7f]*$/.test(decoded)) return undefined;
      if (map(decoded) !== decoded || !validLabel(decoded) || encodePunycode(decoded) !== label.slice(4))
        return undefined;
      continue;
    }
    if (!validLabel(label)) return undefined;
    if (!/^[\0-\x7f]*$/.test(label)) labels[i] = `xn--${encodePunycode(label)}`;
  }
  const result = labels.join(".");
  return result === "" ? undefined : result;
}
