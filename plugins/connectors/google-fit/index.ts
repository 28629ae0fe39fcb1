/**
 * Sessions and measurements over the Google Fit REST API (https://developers.google.com/fit/rest/v1/get-started), which is in
 * its last year; `com.google.health` is what comes after it.
 */
import { definePlugin, isHttpError, type PluginContext, type RawItem, type SecretHandle } from "@backplane/plugin-api";
import { toEntities } from "../health-model.ts";
import { syncWindows, type Window } from "../health-windows.ts";
import { type FitPoint, nanosOf, readFitPoint, readSession, type Session, sessionId, streams } from "./readings.ts";

interface Config {
  clientId: string;
  clientSecret: SecretHandle;
  startDate: string;
  kinds: string[];
  /** The connection's access token. */
  google: SecretHandle;
}

type Context = PluginContext<Config>;

interface SessionsPage {
  session?: Session[];
  deletedSession?: Session[];
  nextPageToken?: string;
}

interface Dataset {
  point?: FitPoint[];
  nextPageToken?: string;
}

const base = "https://fitness.googleapis.com/fitness/v1/users/me";
const ending = "Google Fit's REST API is in its last year; install com.google.health and move there.";
/** The cursor of changed and deleted sessions, beside those of the kinds. */
const changesKey = "session-changes";

export default definePlugin<Config>({
  init(ctx) {
    ctx.logger.warn(ending);
  },
  connector: {
    async *sync(options, ctx) {
      const { kinds, startDate } = ctx.config;
      const read = (kind: string, window: Window): AsyncGenerator<RawItem> =>
        kind === "session" ? sessionsOf(window, ctx) : pointsOf(kind, window, ctx);
      const { cursors } = yield* syncWindows({ kinds, options, startDate, windowDays, read });
      if (!("session" in cursors)) return { cursors };
      const token = yield* changedSessions(options.cursors?.[changesKey], ctx);
      return { cursors: { ...cursors, ...(token === undefined ? {} : { [changesKey]: { token } }) } };
    },
    mapToUnifiedModel: toEntities,
  },
  async health(ctx) {
    try {
      await ctx.http.get(`${base}/dataSources?dataTypeName=com.google.step_count.delta`, authorization(ctx));
      return { status: "degraded", message: ending };
    } catch (error) {
      if (isHttpError(error, 401) || isHttpError(error, 403))
        return { status: "unhealthy", message: `Google refuses the token: connect the account again. ${ending}` };
      throw error;
    }
  },
});

const authorization = ({ config }: Context): Record<string, string> => ({ authorization: `Bearer ${config.google}` });

function windowDays(kind: string): number {
  if (kind === "heart-rate") return 2;
  return kind === "session" || kind === "weight" || kind === "body-fat" ? 90 : 7;
}

/** Sessions of a span come at once: page tokens belong to the list of changes. */
async function* sessionsOf({ from, to }: Window, ctx: Context): AsyncGenerator<RawItem> {
  const query = new URLSearchParams({ startTime: from, endTime: to });
  const { session = [] } = await ctx.http.get<SessionsPage>(`${base}/sessions?${query}`, authorization(ctx));
  for (const one of session) {
    const item = readSession(one);
    if (item) yield item;
  }
}

/** What changed since the token, deletions with it; without one, what changed in the last 30 days. */
async function* changedSessions(cursor: unknown, ctx: Context): AsyncGenerator<RawItem, string | undefined> {
  let token = tokenOf(cursor);
  for (let page = 0; page < 1000; page += 1) {
    const query = new URLSearchParams({ includeDeleted: "true", ...(token === undefined ? {} : { pageToken: token }) });
    let answer: SessionsPage;
    try {
      answer = await ctx.http.get<SessionsPage>(`${base}/sessions?${query}`, authorization(ctx));
    } catch (error) {
      // A token that Google has forgotten: the changes of the last 30 days are read instead.
      if (token === undefined || !isHttpError(error, 400)) throw error;
      ctx.logger.info("the token of changed sessions was refused; reading the last 30 days");
      token = undefined;
      continue;
    }
    const { session = [], deletedSession = [], nextPageToken } = answer;
    const start = Date.parse(`${ctx.config.startDate}T00:00:00Z`);
    for (const one of session) {
      const item = Number(one.startTimeMillis) >= start ? readSession(one) : undefined;
      if (item) yield item;
    }
    for (const { id } of deletedSession) yield { id: sessionId(id), type: "session", data: null, deleted: true };
    const isEnd =
      nextPageToken === undefined || nextPageToken === token || session.length + deletedSession.length === 0;
    token = nextPageToken ?? token;
    if (isEnd) return token;
  }
  return token;
}

function tokenOf(cursor: unknown): string | undefined {
  const token = typeof cursor === "object" && cursor !== null ? (cursor as { token?: unknown }).token : undefined;
  return typeof token === "string" ? token : undefined;
}

/** Newest first, page by page. A stream that the person does not have is 404, and empty. */
async function* pointsOf(kind: string, { from, to }: Window, ctx: Context): AsyncGenerator<RawItem> {
  const source = streams[kind]?.source;
  if (source === undefined) return;
  const address = `${base}/dataSources/${encodeURIComponent(source)}/datasets/${nanosOf(from)}-${nanosOf(to)}`;
  let pageToken: string | undefined;
  let restarts = 0;
  for (;;) {
    const query = new URLSearchParams({ limit: "1000", ...(pageToken === undefined ? {} : { pageToken }) });
    let dataset: Dataset;
    try {
      dataset = await ctx.http.get<Dataset>(`${address}?${query}`, authorization(ctx));
    } catch (error) {
      if (isHttpError(error, 404) && pageToken === undefined) return;
      // A page token that is no longer good: the window is read again, which stores nothing twice.
      if (!isHttpError(error, 400) || pageToken === undefined || ++restarts > 1) throw error;
      pageToken = undefined;
      continue;
    }
    for (const point of dataset.point ?? []) {
      const item = readFitPoint(kind, point);
      if (item) yield item;
    }
    if (!dataset.nextPageToken || dataset.nextPageToken === pageToken) return;
    pageToken = dataset.nextPageToken;
  }
}
