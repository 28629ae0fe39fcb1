/**
 * The URL standard's basic parser as a state machine over UTF-16 units, with state overrides for the setters of `URL`.
 * Longer than other modules because each state is written beside its neighbours, in the standard's order.
 */
import { percentEncode, percentSets } from "./percent.ts";
import { parseHost } from "./url-host.ts";

export interface UrlRecord {
  /** Without the colon. */
  scheme: string;
  username: string;
  password: string;
  /** Serialised; null when there is none. */
  host: string | null;
  port: number | null;
  /** A string when the path is opaque, as in `mailto:a@b`. */
  path: string[] | string;
  query: string | null;
  fragment: string | null;
}

export type State =
  | "scheme start"
  | "scheme"
  | "no scheme"
  | "special relative or authority"
  | "path or authority"
  | "relative"
  | "relative slash"
  | "special authority slashes"
  | "special authority ignore slashes"
  | "authority"
  | "host"
  | "hostname"
  | "port"
  | "file"
  | "file slash"
  | "file host"
  | "path start"
  | "path"
  | "opaque path"
  | "query"
  | "fragment";

export function isSpecial(scheme: string): boolean {
  return scheme === "file" || defaultPort(scheme) !== undefined;
}

export function defaultPort(scheme: string): number | undefined {
  switch (scheme) {
    case "https":
    case "wss":
      return 443;
    case "http":
    case "ws":
      return 80;
    case "ftp":
      return 21;
    default:
      return undefined;
  }
}

const alpha = /[a-z]/i;
const schemeCharacter = /[a-z0-9+.-]/i;
const driveLetter = /^[a-z][:|]$/i;
const normalDriveLetter = /^[a-z]:$/i;
const startsWithDrive = /^[a-z][:|]([/\\?#]|$)/i;
const singleDot = /^(\.|%2e)$/i;
const doubleDot = /^(\.|%2e){2}$/i;
const edges = /^[\0-\x20]+|[\0-\x20]+$/g;
const tabsAndNewlines = /[\t\n\r]/g;

/** True when nothing was set because the input does not allow it; the parser then leaves `url` as it was. */
type Failure = undefined;

/**
 * Parses `input`. Gives undefined on failure. With `override`, changes `url` in place, starting at that state; the result
 * is then `url` itself, or undefined when the setter has to be ignored.
 */
export function parseUrl(
  input: string,
  base?: UrlRecord,
  change?: { url: UrlRecord; override: State },
): UrlRecord | Failure {
  const override = change?.override;
  const url: UrlRecord = change?.url ?? {
    scheme: "",
    username: "",
    password: "",
    host: null,
    port: null,
    path: [],
    query: null,
    fragment: null,
  };
  let text = input.toWellFormed();
  if (!override) text = text.replace(edges, "");
  text = text.replace(tabsAndNewlines, "");
  let state: State = override ?? "scheme start";
  let buffer = "";
  let atSignSeen = false;
  let inBrackets = false;
  let passwordSeen = false;

  for (let at = 0; ; at++) {
    // The empty string stands for the end of the input.
    const c = at < text.length ? (text[at] as string) : "";
    switch (state) {
      case "scheme start":
        if (alpha.test(c)) {
          buffer += c.toLowerCase();
          state = "scheme";
        } else if (!override) {
          state = "no scheme";
          at--;
        } else return undefined;
        break;

      case "scheme":
        if (c !== "" && schemeCharacter.test(c)) {
          buffer += c.toLowerCase();
          break;
        }
        if (c === ":") {
          if (override) {
            if (isSpecial(url.scheme) !== isSpecial(buffer)) return url;
            if ((url.username !== "" || url.password !== "" || url.port !== null) && buffer === "file") return url;
            if (url.scheme === "file" && !url.host) return url;
            url.scheme = buffer;
            if (url.port === defaultPort(url.scheme)) url.port = null;
            return url;
          }
          url.scheme = buffer;
          buffer = "";
          if (url.scheme === "file") state = "file";
          else if (isSpecial(url.scheme)) {
            state = base?.scheme === url.scheme ? "special relative or authority" : "special authority slashes";
          } else if (text[at + 1] === "/") {
            state = "path or authority";
            at++;
          } else {
            url.path = "";
            state = "opaque path";
          }
        } else if (!override) {
          buffer = "";
          state = "no scheme";
          at = -1;
        } else return undefined;
        break;

      case "no scheme":
        if (!base || (typeof base.path === "string" && c !== "#")) return undefined;
        if (typeof base.path === "string") {
          url.scheme = base.scheme;
          url.path = base.path;
          url.query = base.query;
          url.fragment = "";
          state = "fragment";
        } else {
          state = base.scheme === "file" ? "file" : "relative";
          at--;
        }
        break;

      case "special relative or authority":
        if (c === "/" && text[at + 1] === "/") {
          state = "special authority ignore slashes";
          at++;
        } else {
          state = "relative";
          at--;
        }
        break;

      case "path or authority":
        if (c === "/") state = "authority";
        else {
          state = "path";
          at--;
        }
        break;

      case "relative": {
        const from = base as UrlRecord;
        url.scheme = from.scheme;
        if (c === "/") state = "relative slash";
        else if (isSpecial(url.scheme) && c === "\\") state = "relative slash";
        else {
          copyAuthority(url, from);
          url.path = (from.path as string[]).slice();
          url.query = from.query;
          if (c === "?") {
            url.query = "";
            state = "query";
          } else if (c === "#") {
            url.fragment = "";
            state = "fragment";
          } else if (c !== "") {
            url.query = null;
            shorten(url);
            state = "path";
            at--;
          }
        }
        break;
      }

      case "relative slash":
        if (isSpecial(url.scheme) && (c === "/" || c === "\\")) state = "special authority ignore slashes";
        else if (c === "/") state = "authority";
        else {
          copyAuthority(url, base as UrlRecord);
          state = "path";
          at--;
        }
        break;

      case "special authority slashes":
        state = "special authority ignore slashes";
        if (c === "/" && text[at + 1] === "/") at++;
        else at--;
        break;

      case "special authority ignore slashes":
        if (c !== "/" && c !== "\\") {
          state = "authority";
          at--;
        }
        break;

      case "authority":
        if (c === "@") {
          if (atSignSeen) buffer = `%40${buffer}`;
          atSignSeen = true;
          const colon = passwordSeen ? -1 : buffer.indexOf(":");
          if (passwordSeen) url.password += percentEncode(buffer, percentSets.userinfo);
          else if (colon >= 0) {
            url.username += percentEncode(buffer.slice(0, colon), percentSets.userinfo);
            url.password += percentEncode(buffer.slice(colon + 1), percentSets.userinfo);
            passwordSeen = true;
          } else url.username += percentEncode(buffer, percentSets.userinfo);
          buffer = "";
        } else if (endsAuthority(c, url.scheme)) {
          if (atSignSeen && buffer === "") return undefined;
          at -= buffer.length + 1;
          buffer = "";
          state = "host";
        } else buffer += c;
        break;

      case "host":
      case "hostname":
        if (override && url.scheme === "file") {
          at--;
          state = "file host";
        } else if (c === ":" && !inBrackets) {
          if (buffer === "" || override === "hostname") return undefined;
          const host = parseHost(buffer, isSpecial(url.scheme));
          if (host === undefined) return undefined;
          url.host = host;
          buffer = "";
          state = "port";
        } else if (endsAuthority(c, url.scheme)) {
          at--;
          if (isSpecial(url.scheme) && buffer === "") return undefined;
          if (override && buffer === "" && (url.username !== "" || url.password !== "" || url.port !== null)) {
            return undefined;
          }
          const host = parseHost(buffer, isSpecial(url.scheme));
          if (host === undefined) return undefined;
          url.host = host;
          buffer = "";
          state = "path start";
          if (override) return url;
        } else {
          if (c === "[") inBrackets = true;
          if (c === "]") inBrackets = false;
          buffer += c;
        }
        break;

      case "port":
        if (c !== "" && c >= "0" && c <= "9") buffer += c;
        else if (endsAuthority(c, url.scheme) || override) {
          if (buffer !== "") {
            const port = Number(buffer);
            if (port > 65535) return undefined;
            url.port = port === defaultPort(url.scheme) ? null : port;
            buffer = "";
            if (override) return url;
          }
          if (override) return undefined;
          state = "path start";
          at--;
        } else return undefined;
        break;

      case "file":
        url.scheme = "file";
        url.host = "";
        if (c === "/" || c === "\\") state = "file slash";
        else if (base?.scheme === "file") {
          url.host = base.host;
          url.path = (base.path as string[]).slice();
          url.query = base.query;
          if (c === "?") {
            url.query = "";
            state = "query";
          } else if (c === "#") {
            url.fragment = "";
            state = "fragment";
          } else if (c !== "") {
            url.query = null;
            if (startsWithDrive.test(text.slice(at))) url.path = [];
            else shorten(url);
            state = "path";
            at--;
          }
        } else {
          state = "path";
          at--;
        }
        break;

      case "file slash":
        if (c === "/" || c === "\\") state = "file host";
        else {
          if (base?.scheme === "file") {
            url.host = base.host;
            const first = base.path[0];
            if (!startsWithDrive.test(text.slice(at)) && first !== undefined && normalDriveLetter.test(first)) {
              (url.path as string[]).push(first);
            }
          }
          state = "path";
          at--;
        }
        break;

      case "file host":
        if (c === "" || c === "/" || c === "\\" || c === "?" || c === "#") {
          at--;
          if (!override && driveLetter.test(buffer)) state = "path";
          else if (buffer === "") {
            url.host = "";
            if (override) return url;
            state = "path start";
          } else {
            const host = parseHost(buffer, true);
            if (host === undefined) return undefined;
            url.host = host === "localhost" ? "" : host;
            if (override) return url;
            buffer = "";
            state = "path start";
          }
        } else buffer += c;
        break;

      case "path start":
        if (isSpecial(url.scheme)) {
          state = "path";
          if (c !== "/" && c !== "\\") at--;
        } else if (!override && c === "?") {
          url.query = "";
          state = "query";
        } else if (!override && c === "#") {
          url.fragment = "";
          state = "fragment";
        } else if (c !== "") {
          state = "path";
          if (c !== "/") at--;
        } else if (override && url.host === null) (url.path as string[]).push("");
        break;

      case "path": {
        const slash = c === "/" || (c === "\\" && isSpecial(url.scheme));
        if (c !== "" && !slash && (override || (c !== "?" && c !== "#"))) {
          buffer += c;
          break;
        }
        let segment = percentEncode(buffer, percentSets.path);
        const path = url.path as string[];
        if (doubleDot.test(segment)) {
          shorten(url);
          if (!slash) path.push("");
        } else if (singleDot.test(segment)) {
          if (!slash) path.push("");
        } else {
          if (url.scheme === "file" && path.length === 0 && driveLetter.test(segment)) segment = `${segment[0]}:`;
          path.push(segment);
        }
        buffer = "";
        if (c === "?") {
          url.query = "";
          state = "query";
        } else if (c === "#") {
          url.fragment = "";
          state = "fragment";
        }
        break;
      }

      case "opaque path":
        if (c !== "" && c !== "?" && c !== "#") {
          buffer += c;
          break;
        }
        // A space before the query or the fragment is encoded, so that it survives when those are removed.
        if (c !== "" && buffer.endsWith(" ")) buffer = `${buffer.slice(0, -1)}%20`;
        url.path = percentEncode(buffer, percentSets.c0);
        buffer = "";
        if (c === "?") {
          url.query = "";
          state = "query";
        } else if (c === "#") {
          url.fragment = "";
          state = "fragment";
        }
        break;

      case "query":
        if (c !== "" && (override || c !== "#")) {
          buffer += c;
          break;
        }
        url.query += percentEncode(buffer, isSpecial(url.scheme) ? percentSets.specialQuery : percentSets.query);
        buffer = "";
        if (c === "#") {
          url.fragment = "";
          state = "fragment";
        }
        break;

      case "fragment":
        url.fragment += percentEncode(text.slice(at), percentSets.fragment);
        return url;
    }
    if (c === "" && at >= text.length) return url;
  }
}

function endsAuthority(c: string, scheme: string): boolean {
  return c === "" || c === "/" || c === "?" || c === "#" || (c === "\\" && isSpecial(scheme));
}

function copyAuthority(url: UrlRecord, base: UrlRecord): void {
  url.username = base.username;
  url.password = base.password;
  url.host = base.host;
  url.port = base.port;
}

function shorten(url: UrlRecord): void {
  const path = url.path as string[];
  if (url.scheme === "file" && path.length === 1 && normalDriveLetter.test(path[0] as string)) return;
  path.pop();
}

export function serializePath(url: UrlRecord): string {
  if (typeof url.path === "string") return url.path;
  let text = "";
  for (const segment of url.path) text += `/${segment}`;
  return text;
}

export function serializeUrl(url: UrlRecord, withoutFragment = false): string {
  let text = `${url.scheme}:`;
  if (url.host !== null) {
    text += "//";
    if (url.username !== "" || url.password !== "") {
      text += url.username;
      if (url.password !== "") text += `:${url.password}`;
      text += "@";
    }
    text += url.host;
    if (url.port !== null) text += `:${url.port}`;
  } else if (typeof url.path !== "string" && url.path.length > 1 && url.path[0] === "") text += "/.";
  text += serializePath(url);
  if (url.query !== null) text += `?${url.query}`;
  if (!withoutFragment && url.fragment !== null) text += `#${url.fragment}`;
  return text;
}
