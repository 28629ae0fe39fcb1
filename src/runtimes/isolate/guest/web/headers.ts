/** `Headers`: names in lower case, values joined, iteration sorted; refuses what could break a header line. */
import { tag } from "./primordials.ts";

type Pair = [string, string];

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const badValue = /[\0\r\n]|[^\0-\xff]/;
const padding = /^[\t\n\r ]+|[\t\n\r ]+$/g;

function headerName(name: unknown): string {
  const text = `${name as string}`;
  if (!token.test(text)) throw new TypeError(`'${text.slice(0, 80)}' is not a header name`);
  return text.toLowerCase();
}

function headerValue(value: unknown): string {
  const text = `${value as string}`.replace(padding, "");
  if (badValue.test(text)) throw new TypeError("A header value has a line break or a character beyond Latin-1");
  return text;
}

/** The pairs as they go over the wire, several `set-cookie` kept apart. */
export let headerPairs: (headers: Headers) => Pair[];
/** From here on the headers refuse changes, as those of an answer do. */
export let lockHeaders: (headers: Headers) => void;

export class Headers {
  #pairs: Pair[] = [];
  #locked = false;

  static {
    headerPairs = (headers) => headers.#sorted();
    lockHeaders = (headers) => {
      headers.#locked = true;
    };
  }

  constructor(init?: unknown) {
    if (init === undefined || init === null) return;
    if (typeof init !== "object") throw new TypeError("Headers take pairs or an object");
    if (#pairs in init) {
      for (const [name, value] of init.#pairs) this.#pairs.push([name, value]);
    } else if (typeof (init as Iterable<unknown>)[Symbol.iterator] === "function") {
      for (const entry of init as Iterable<Iterable<unknown>>) {
        const pair = typeof entry === "object" && entry !== null ? [...entry] : [];
        if (pair.length !== 2) throw new TypeError("Each entry must be a pair of name and value");
        this.append(pair[0] as string, pair[1] as string);
      }
    } else {
      for (const name of Object.keys(init)) this.append(name, (init as Record<string, string>)[name] as string);
    }
  }

  #check(): void {
    if (this.#locked) throw new TypeError("These headers cannot be changed");
  }

  append(name: string, value: string): void {
    const key = headerName(name);
    const text = headerValue(value);
    this.#check();
    this.#pairs.push([key, text]);
  }

  delete(name: string): void {
    const key = headerName(name);
    this.#check();
    this.#pairs = this.#pairs.filter((pair) => pair[0] !== key);
  }

  get(name: string): string | null {
    const key = headerName(name);
    let joined: string | null = null;
    for (const [known, value] of this.#pairs)
      if (known === key) joined = joined === null ? value : `${joined}, ${value}`;
    return joined;
  }

  getSetCookie(): string[] {
    return this.#pairs.filter((pair) => pair[0] === "set-cookie").map((pair) => pair[1]);
  }

  has(name: string): boolean {
    const key = headerName(name);
    return this.#pairs.some((pair) => pair[0] === key);
  }

  set(name: string, value: string): void {
    const key = headerName(name);
    const text = headerValue(value);
    this.#check();
    const first = this.#pairs.findIndex((pair) => pair[0] === key);
    if (first < 0) this.#pairs.push([key, text]);
    else {
      this.#pairs[first] = [key, text];
      this.#pairs = this.#pairs.filter((pair, index) => index <= first || pair[0] !== key);
    }
  }

  #sorted(): Pair[] {
    const names = [...new Set(this.#pairs.map((pair) => pair[0]))].sort();
    const pairs: Pair[] = [];
    for (const name of names) {
      if (name === "set-cookie") for (const cookie of this.getSetCookie()) pairs.push([name, cookie]);
      else pairs.push([name, this.get(name) as string]);
    }
    return pairs;
  }

  forEach(callback: (value: string, name: string, headers: Headers) => void, thisArg?: unknown): void {
    for (const [name, value] of this.#sorted()) Reflect.apply(callback, thisArg, [value, name, this]);
  }

  *entries(): IterableIterator<Pair> {
    yield* this.#sorted();
  }

  *keys(): IterableIterator<string> {
    for (const [name] of this.#sorted()) yield name;
  }

  *values(): IterableIterator<string> {
    for (const [, value] of this.#sorted()) yield value;
  }

  declare [Symbol.iterator]: () => IterableIterator<Pair>;
}
tag(Headers, "Headers");
Object.defineProperty(Headers.prototype, Symbol.iterator, {
  value: Headers.prototype.entries,
  writable: true,
  configurable: true,
});
