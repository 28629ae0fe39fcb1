/** `URL`, by the URL standard. */
import { percentEncode, percentSets } from "./percent.ts";
import { tag } from "./primordials.ts";
import { defaultPort, parseUrl, type State, serializePath, serializeUrl, type UrlRecord } from "./url-parser.ts";
import { bindParams, replaceParams, URLSearchParams } from "./url-search-params.ts";

let recordOf: (value: unknown) => UrlRecord | undefined;

function parse(input: unknown, base: unknown): UrlRecord | undefined {
  let parsedBase: UrlRecord | undefined;
  if (base !== undefined) {
    parsedBase = recordOf(base) ?? parseUrl(`${base as string}`);
    if (parsedBase === undefined) return undefined;
  }
  return parseUrl(`${input as string}`, parsedBase);
}

export class URL {
  #url: UrlRecord;
  #params: URLSearchParams | undefined;

  static {
    recordOf = (value) => (typeof value === "object" && value !== null && #url in value ? value.#url : undefined);
  }

  constructor(url: string | URL, base?: string | URL) {
    const record = parse(url, base);
    if (record === undefined) {
      throw Object.assign(new TypeError("Invalid URL"), { code: "ERR_INVALID_URL", input: `${url as string}` });
    }
    this.#url = record;
  }

  static canParse(url: string | URL, base?: string | URL): boolean {
    return parse(url, base) !== undefined;
  }

  static parse(url: string | URL, base?: string | URL): URL | null {
    return URL.canParse(url, base) ? new URL(url, base) : null;
  }

  /** Runs the parser on a copy, so that a refused value changes nothing. */
  #set(text: string, override: State): void {
    const copy: UrlRecord = {
      ...this.#url,
      path: typeof this.#url.path === "string" ? this.#url.path : [...this.#url.path],
    };
    const result = parseUrl(text, undefined, { url: copy, override });
    if (result !== undefined) this.#url = result;
    else if (override === "host" && copy.host !== this.#url.host) {
      // `host = "a:bad"` sets the host and ignores the port.
      this.#url.host = copy.host;
    }
  }

  get href(): string {
    return serializeUrl(this.#url);
  }
  set href(value: string) {
    const record = parseUrl(`${value}`);
    if (record === undefined) throw new TypeError("Invalid URL");
    this.#url = record;
    if (this.#params) replaceParams(this.#params, record.query ?? "");
  }

  get origin(): string {
    const { scheme, host, port, path } = this.#url;
    if (scheme === "blob" && typeof path === "string") {
      const inner = parseUrl(path);
      return inner && (inner.scheme === "http" || inner.scheme === "https") ? new URL(path).origin : "null";
    }
    if (defaultPort(scheme) === undefined) return "null";
    return `${scheme}://${host}${port === null ? "" : `:${port}`}`;
  }

  get protocol(): string {
    return `${this.#url.scheme}:`;
  }
  set protocol(value: string) {
    this.#set(`${value}:`, "scheme start");
  }

  #cannotHaveCredentials(): boolean {
    return !this.#url.host || this.#url.scheme === "file";
  }

  get username(): string {
    return this.#url.username;
  }
  set username(value: string) {
    if (!this.#cannotHaveCredentials()) this.#url.username = percentEncode(`${value}`, percentSets.userinfo);
  }

  get password(): string {
    return this.#url.password;
  }
  set password(value: string) {
    if (!this.#cannotHaveCredentials()) this.#url.password = percentEncode(`${value}`, percentSets.userinfo);
  }

  get host(): string {
    const { host, port } = this.#url;
    return host === null ? "" : port === null ? host : `${host}:${port}`;
  }
  set host(value: string) {
    if (typeof this.#url.path !== "string") this.#set(`${value}`, "host");
  }

  get hostname(): string {
    return this.#url.host ?? "";
  }
  set hostname(value: string) {
    if (typeof this.#url.path !== "string") this.#set(`${value}`, "hostname");
  }

  get port(): string {
    return this.#url.port === null ? "" : `${this.#url.port}`;
  }
  set port(value: string) {
    if (this.#cannotHaveCredentials()) return;
    const text = `${value}`;
    if (text === "") this.#url.port = null;
    else this.#set(text, "port");
  }

  get pathname(): string {
    return serializePath(this.#url);
  }
  set pathname(value: string) {
    if (typeof this.#url.path === "string") return;
    this.#url.path = [];
    parseUrl(`${value}`, undefined, { url: this.#url, override: "path start" });
  }

  get search(): string {
    return this.#url.query ? `?${this.#url.query}` : "";
  }
  set search(value: string) {
    const text = `${value}`;
    const query = text[0] === "?" ? text.slice(1) : text;
    if (text === "") this.#url.query = null;
    else {
      this.#url.query = "";
      parseUrl(query, undefined, { url: this.#url, override: "query" });
    }
    if (this.#params) replaceParams(this.#params, this.#url.query ?? "");
  }

  get searchParams(): URLSearchParams {
    if (this.#params === undefined) {
      const params = new URLSearchParams();
      replaceParams(params, this.#url.query ?? "");
      bindParams(params, () => {
        this.#url.query = params.toString() || null;
      });
      this.#params = params;
    }
    return this.#params;
  }

  get hash(): string {
    return this.#url.fragment ? `#${this.#url.fragment}` : "";
  }
  set hash(value: string) {
    const text = `${value}`;
    if (text === "") {
      this.#url.fragment = null;
      return;
    }
    this.#url.fragment = "";
    parseUrl(text[0] === "#" ? text.slice(1) : text, undefined, { url: this.#url, override: "fragment" });
  }

  toString(): string {
    return this.href;
  }

  toJSON(): string {
    return this.href;
  }
}
tag(URL, "URL");
for (const name of Object.getOwnPropertyNames(URL.prototype)) {
  if (name !== "constructor") Object.defineProperty(URL.prototype, name, { enumerable: true });
}
