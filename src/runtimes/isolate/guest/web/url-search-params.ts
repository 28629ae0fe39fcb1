/** `URLSearchParams`: form-urlencoded lists, on their own or bound to a `URL`. */
import { percentDecodeText, percentEncode, percentSets } from "./percent.ts";
import { tag } from "./primordials.ts";

type Pair = [string, string];

const wellFormed = (value: unknown): string => `${value as string}`.toWellFormed();

export function parseForm(text: string): Pair[] {
  const pairs: Pair[] = [];
  for (const part of text.split("&")) {
    if (part === "") continue;
    const equals = part.indexOf("=");
    const decode = (raw: string): string => percentDecodeText(raw.replaceAll("+", " "));
    pairs.push(equals < 0 ? [decode(part), ""] : [decode(part.slice(0, equals)), decode(part.slice(equals + 1))]);
  }
  return pairs;
}

export function serializeForm(pairs: readonly Pair[]): string {
  let text = "";
  for (const [name, value] of pairs) {
    if (text !== "") text += "&";
    text += `${encode(name)}=${encode(value)}`;
  }
  return text;
}

const encode = (value: string): string => percentEncode(value, percentSets.form).replaceAll("%20", "+");

/** Ties a list to its URL: `onChange` hears of every change, `replace` sets the list anew without telling. */
export let bindParams: (params: URLSearchParams, onChange: () => void) => void;
export let replaceParams: (params: URLSearchParams, query: string) => void;
export let isParams: (value: unknown) => value is URLSearchParams;

export class URLSearchParams {
  #pairs: Pair[] = [];
  #onChange: (() => void) | undefined;

  static {
    bindParams = (params, onChange) => {
      params.#onChange = onChange;
    };
    replaceParams = (params, query) => {
      params.#pairs = parseForm(query);
    };
    isParams = (value): value is URLSearchParams => typeof value === "object" && value !== null && #pairs in value;
  }

  constructor(init: unknown = "") {
    if (typeof init !== "object" || init === null) {
      const text = wellFormed(init);
      this.#pairs = parseForm(text[0] === "?" ? text.slice(1) : text);
    } else if (typeof (init as Iterable<unknown>)[Symbol.iterator] === "function") {
      for (const entry of init as Iterable<Iterable<unknown>>) {
        const pair = typeof entry === "object" && entry !== null ? [...entry] : [];
        if (pair.length !== 2) throw new TypeError("Each entry must be a pair of name and value");
        this.#pairs.push([wellFormed(pair[0]), wellFormed(pair[1])]);
      }
    } else {
      for (const name of Object.keys(init)) {
        this.#pairs.push([wellFormed(name), wellFormed((init as Record<string, unknown>)[name])]);
      }
    }
  }

  get size(): number {
    return this.#pairs.length;
  }

  append(name: string, value: string): void {
    this.#pairs.push([wellFormed(name), wellFormed(value)]);
    this.#onChange?.();
  }

  delete(name: string, value?: string): void {
    const key = wellFormed(name);
    const only = value === undefined ? undefined : wellFormed(value);
    this.#pairs = this.#pairs.filter((pair) => pair[0] !== key || (only !== undefined && pair[1] !== only));
    this.#onChange?.();
  }

  get(name: string): string | null {
    const key = wellFormed(name);
    return this.#pairs.find((pair) => pair[0] === key)?.[1] ?? null;
  }

  getAll(name: string): string[] {
    const key = wellFormed(name);
    return this.#pairs.filter((pair) => pair[0] === key).map((pair) => pair[1]);
  }

  has(name: string, value?: string): boolean {
    const key = wellFormed(name);
    const only = value === undefined ? undefined : wellFormed(value);
    return this.#pairs.some((pair) => pair[0] === key && (only === undefined || pair[1] === only));
  }

  set(name: string, value: string): void {
    const key = wellFormed(name);
    const fresh: Pair = [key, wellFormed(value)];
    const first = this.#pairs.findIndex((pair) => pair[0] === key);
    if (first < 0) this.#pairs.push(fresh);
    else {
      this.#pairs[first] = fresh;
      this.#pairs = this.#pairs.filter((pair, index) => index <= first || pair[0] !== key);
    }
    this.#onChange?.();
  }

  sort(): void {
    this.#pairs.sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0));
    this.#onChange?.();
  }

  forEach(callback: (value: string, name: string, params: URLSearchParams) => void, thisArg?: unknown): void {
    for (let i = 0; i < this.#pairs.length; i++) {
      const [name, value] = this.#pairs[i] as Pair;
      Reflect.apply(callback, thisArg, [value, name, this]);
    }
  }

  *entries(): IterableIterator<Pair> {
    for (let i = 0; i < this.#pairs.length; i++) yield [...(this.#pairs[i] as Pair)];
  }

  *keys(): IterableIterator<string> {
    for (let i = 0; i < this.#pairs.length; i++) yield (this.#pairs[i] as Pair)[0];
  }

  *values(): IterableIterator<string> {
    for (let i = 0; i < this.#pairs.length; i++) yield (this.#pairs[i] as Pair)[1];
  }

  toString(): string {
    return serializeForm(this.#pairs);
  }

  declare [Symbol.iterator]: () => IterableIterator<Pair>;
}
tag(URLSearchParams, "URLSearchParams");
Object.defineProperty(URLSearchParams.prototype, Symbol.iterator, {
  value: URLSearchParams.prototype.entries,
  writable: true,
  configurable: true,
});
