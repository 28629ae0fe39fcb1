/** Hosts of URLs: domains, IPv4 in every spelling, IPv6, opaque hosts. Each parser gives the serialised host or undefined. */
import { domainToAscii } from "./idna.ts";
import { percentDecodeText, percentEncode, percentSets } from "./percent.ts";

const forbiddenHost = /[\0\t\n\r #/:<>?@[\\\]^|]/;
const forbiddenDomain = /[\0-\x20#%/:<>?@[\\\]^|\x7f]/;

export function parseHost(input: string, special: boolean): string | undefined {
  if (input[0] === "[") {
    if (input[input.length - 1] !== "]") return undefined;
    const pieces = parseIpv6(input.slice(1, -1));
    return pieces && `[${serializeIpv6(pieces)}]`;
  }
  if (!special) return forbiddenHost.test(input) ? undefined : percentEncode(input, percentSets.c0);
  const decoded = input.includes("%") ? percentDecodeText(input) : input;
  const domain = domainToAscii(decoded);
  if (domain === undefined || domain === "" || forbiddenDomain.test(domain)) return undefined;
  if (endsInNumber(domain)) {
    const address = parseIpv4(domain);
    return address === undefined ? undefined : serializeIpv4(address);
  }
  return domain;
}

function endsInNumber(domain: string): boolean {
  const parts = domain.split(".");
  if (parts[parts.length - 1] === "" && parts.length > 1) parts.pop();
  const last = parts[parts.length - 1] as string;
  return /^(\d+|0x[0-9a-f]*)$/i.test(last);
}

function parseIpv4(domain: string): number | undefined {
  const parts = domain.split(".");
  if (parts[parts.length - 1] === "" && parts.length > 1) parts.pop();
  if (parts.length > 4) return undefined;
  let address = 0;
  for (let i = 0; i < parts.length; i++) {
    const value = parseIpv4Number(parts[i] as string);
    if (value === undefined) return undefined;
    if (i < parts.length - 1) {
      if (value > 255) return undefined;
      address += value * 256 ** (3 - i);
    } else {
      if (value >= 256 ** (5 - parts.length)) return undefined;
      address += value;
    }
  }
  return address;
}

function parseIpv4Number(text: string): number | undefined {
  if (text === "") return undefined;
  if (/^0x/i.test(text)) return /^0x[0-9a-f]*$/i.test(text) ? (text.length === 2 ? 0 : Number(text)) : undefined;
  if (text.length > 1 && text[0] === "0") return /^[0-7]+$/.test(text) ? Number.parseInt(text, 8) : undefined;
  return /^\d+$/.test(text) ? Number(text) : undefined;
}

function serializeIpv4(address: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join(".");
}

function parseIpv6(text: string): number[] | undefined {
  const pieces = [0, 0, 0, 0, 0, 0, 0, 0];
  let index = 0;
  let compress = -1;
  let at = 0;
  if (text[0] === ":") {
    if (text[1] !== ":") return undefined;
    at = 2;
    compress = ++index;
  }
  while (at < text.length) {
    if (index === 8) return undefined;
    if (text[at] === ":") {
      if (compress !== -1) return undefined;
      at++;
      compress = ++index;
      continue;
    }
    const start = at;
    let value = 0;
    while (at - start < 4 && /[0-9a-f]/i.test(text[at] ?? ""))
      value = value * 16 + Number.parseInt(text[at++] as string, 16);
    if (text[at] === ".") {
      if (at === start || index > 6) return undefined;
      const octets = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text.slice(start));
      if (octets === null) return undefined;
      for (let i = 1; i <= 4; i++) {
        const octet = octets[i] as string;
        if (Number(octet) > 255 || (octet.length > 1 && octet[0] === "0")) return undefined;
      }
      pieces[index++] = Number(octets[1]) * 256 + Number(octets[2]);
      pieces[index++] = Number(octets[3]) * 256 + Number(octets[4]);
      break;
    }
    if (text[at] === ":") {
      if (++at === text.length) return undefined;
    } else if (at < text.length) return undefined;
    pieces[index++] = value;
  }
  if (compress === -1) return index === 8 ? pieces : undefined;
  const moved = index - compress;
  for (let i = 0; i < moved; i++) {
    const from = index - 1 - i;
    const value = pieces[from] as number;
    pieces[from] = 0;
    pieces[7 - i] = value;
  }
  return pieces;
}

function serializeIpv6(pieces: number[]): string {
  let bestStart = -1;
  let bestLength = 1;
  for (let i = 0; i < 8; ) {
    let length = 0;
    while (i + length < 8 && pieces[i + length] === 0) length++;
    if (length > bestLength) {
      bestStart = i;
      bestLength = length;
    }
    i += length + 1;
  }
  let text = "";
  for (let i = 0; i < 8; i++) {
    if (i === bestStart) {
      text += i === 0 ? "::" : ":";
      i += bestLength - 1;
      continue;
    }
    text += (pieces[i] as number).toString(16);
    if (i < 7) text += ":";
  }
  return text;
}
