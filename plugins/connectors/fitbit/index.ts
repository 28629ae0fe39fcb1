/**
 * Activity, sleep, heart and body data over the Fitbit Web API (https://dev.fitbit.com/build/reference/web-api/), with its
 * subscriptions. The API was announced to end in September 2026; `com.google.health` is what comes after it.
 */
import {
  definePlugin,
  type HttpError,
  type IncomingChanges,
  isHttpError,
  type PluginContext,
  type RawItem,
  type SecretHandle,
} from "@backplane/plugin-api";
import { addDays, dateOf, type HealthItem, toEntities } from "../health-model.ts";
import { syncWindows, type Window } from "../health-windows.ts";
import {
  type ActivityLog,
  type BodyLog,
  type DayValue,
  localTimes,
  readActivity,
  readBody,
  readDay,
  readSleep,
  type SleepLog,
  type ToUtc,
} from "./readings.ts";

interface Config {
  clientId: string;
  clientSecret: SecretHandle;
  verificationCode?: SecretHandle;
  startDate: string;
  kinds: string[];
  /** The connection's access token. */
  fitbit: SecretHandle;
}

type Context = PluginContext<Config>;

/** https://dev.fitbit.com/build/reference/web-api/developer-guide/using-subscriptions/ */
interface Notification {
  collectionType: string;
  /** Absent for `userRevokedAccess`. */
  date?: string;
}

interface Incoming extends Notification {
  id: string;
  key: string;
}

const base = "https://api.fitbit.com";
const ending = "Fitbit announced the end of this API for September 2026; install com.google.health and move there.";

/** What a notification of a collection may have changed. */
const kindsOfCollection: Readonly<Record<string, readonly string[]>> = {
  activities: ["activity", "steps", "distance", "calories", "heart"],
  sleep: ["sleep"],
  body: ["weight", "body-fat"],
};

export default definePlugin<Config>({
  init(ctx) {
    ctx.logger.warn(ending);
  },
  connector: {
    async *sync(options, ctx) {
      const read = createReader(ctx);
      const { kinds, startDate } = ctx.config;
      return yield* syncWindows({ kinds, options, startDate, windowDays, read });
    },
    mapToUnifiedModel: toEntities,
    async registerRealtimeListener(_webhookUrl, ctx) {
      // Where Fitbit posts is set in the application's settings at Fitbit; a subscription says for whom and of what.
      for (const [collection, kinds] of Object.entries(kindsOfCollection)) {
        if (!kinds.some((kind) => ctx.config.kinds.includes(kind))) continue;
        await ctx.http.post(
          `${base}/1/user/-/${collection}/apiSubscriptions/backplane-${collection}.json`,
          "",
          authorization(ctx),
        );
      }
    },
    async handleIncomingEvent(payload, ctx): Promise<IncomingChanges> {
      const { id, collectionType, date } = payload as Incoming;
      if (collectionType === "userRevokedAccess") {
        const data = { plugin: "com.fitbit", connection: "fitbit", reason: collectionType };
        return { events: [{ type: "connector.NeedsReconnect", data, id }] };
      }
      if (date === undefined) return {};
      const read = createReader(ctx);
      const window = { from: `${date}T00:00:00.000Z`, to: `${addDays(date, 1)}T00:00:00.000Z` };
      const items: RawItem[] = [];
      for (const kind of kindsOfCollection[collectionType] ?? [])
        if (ctx.config.kinds.includes(kind)) for await (const item of read(kind, window)) items.push(item);
      return { items };
    },
  },
  async webhook(request, ctx) {
    const code = request.method === "GET" ? new URL(request.url).searchParams.get("verify") : null;
    if (code !== null) return { status: (await isOurCode(code, ctx)) ? 204 : 404, accept: [] };
    // The signature is base64 as it stands in the header; decoding it as part of a URL would turn `+` into a space.
    const expected = await ctx.crypto.hmac({
      hash: "SHA-1",
      key: `${ctx.config.clientSecret}&`,
      data: request.rawBody,
      encoding: "base64",
    });
    if (!(await ctx.crypto.timingSafeEqual(expected, request.headers["x-fitbit-signature"] ?? ""))) {
      ctx.logger.warn("refused a notification whose signature does not verify");
      return { status: 404, accept: [] };
    }
    return { status: 204, accept: readNotifications(request.rawBody) };
  },
  async health(ctx) {
    try {
      await ctx.http.get(`${base}/1/user/-/profile.json`, authorization(ctx));
      return { status: "degraded", message: ending };
    } catch (error) {
      if (isHttpError(error, 401) || isHttpError(error, 403))
        return { status: "unhealthy", message: `Fitbit refuses the token: connect the account again. ${ending}` };
      throw error;
    }
  },
});

const authorization = ({ config }: Context): Record<string, string> => ({ authorization: `Bearer ${config.fitbit}` });

async function isOurCode(code: string, { config, crypto }: Context): Promise<boolean> {
  return config.verificationCode !== undefined && (await crypto.timingSafeEqual(code, config.verificationCode));
}

/**
 * The same notification says something new each time it comes, and Fitbit puts no time or number into it, so every one
 * gets an id of its own.
 */
function readNotifications(rawBody: string): Incoming[] {
  const list = JSON.parse(rawBody) as Partial<Notification>[];
  if (!Array.isArray(list)) return [];
  const seen = new Map<string, Incoming>();
  for (const { collectionType, date } of list) {
    if (typeof collectionType !== "string" || (date !== undefined && !/^\d{4}-\d{2}-\d{2}$/.test(date))) continue;
    const id = crypto.randomUUID();
    seen.set(`${collectionType} ${date}`, { id, key: collectionType, collectionType, ...(date ? { date } : {}) });
  }
  return [...seen.values()].slice(0, 1000);
}

/** The longest span that Fitbit answers at once, by kind; logs come in pages instead. */
function windowDays(kind: string): number {
  if (kind === "weight" || kind === "body-fat") return 30;
  return kind === "heart" ? 300 : 1000;
}

type Reader = (kind: string, window: Window) => AsyncGenerator<HealthItem>;

function createReader(ctx: Context): Reader {
  let zone: Promise<ToUtc> | undefined;
  const local = (): Promise<ToUtc> => (zone ??= zoneOf(ctx));
  return async function* read(kind, window) {
    const from = dateOf(window.from);
    // Fitbit's days are inclusive.
    const to = dateOf(new Date(Date.parse(window.to) - 1).toISOString());
    switch (kind) {
      case "activity":
        for await (const log of logs<ActivityLog>("/1/user/-/activities/list.json", "activities", window, ctx))
          yield* within(window, readActivity(log, await local()));
        break;
      case "sleep":
        for await (const log of logs<SleepLog>("/1.2/user/-/sleep/list.json", "sleep", window, ctx))
          yield* within(window, readSleep(log, await local()));
        break;
      case "weight":
      case "body-fat": {
        const resource = kind === "weight" ? "weight" : "fat";
        const answer = await get<Record<string, BodyLog[]>>(
          ctx,
          `${base}/1/user/-/body/log/${resource}/date/${from}/${to}.json`,
        );
        for (const log of answer[resource] ?? []) yield* present(readBody(kind, log, await local()));
        break;
      }
      default: {
        const answer = await get<Record<string, DayValue[]>>(
          ctx,
          `${base}/1/user/-/activities/${kind}/date/${from}/${to}.json`,
        );
        for (const day of answer[`activities-${kind}`] ?? []) yield* present(readDay(kind, day));
      }
    }
  };
}

const present = (item: HealthItem | undefined): HealthItem[] => (item ? [item] : []);

/** A day more on both sides: the list is asked for by the person's days. */
function within({ from, to }: Window, item: HealthItem | undefined): HealthItem[] {
  if (!item?.data) return [];
  const margin = 86_400_000;
  const startedAt = Date.parse(item.data.startedAt);
  return startedAt >= Date.parse(from) - margin && startedAt < Date.parse(to) + margin ? [item] : [];
}

/** Logs after a day, oldest first, over all pages; the next page's address is Fitbit's own, which may not lead elsewhere. */
async function* logs<T extends { startTime?: string; startDate?: string }>(
  path: string,
  field: string,
  window: Window,
  ctx: Context,
): AsyncGenerator<T> {
  const query = new URLSearchParams({
    afterDate: addDays(dateOf(window.from), -1),
    sort: "asc",
    limit: "100",
    offset: "0",
  });
  const last = addDays(dateOf(window.to), 1);
  let next: string | undefined = `${base}${path}?${query}`;
  for (let page = 0; next !== undefined && page < 1000; page += 1) {
    const answer: Record<string, unknown> = await get(ctx, next);
    const found = (answer[field] ?? []) as T[];
    yield* found;
    const newest = found.at(-1);
    if (!newest || (newest.startDate ?? newest.startTime ?? "").slice(0, 10) > last) return;
    const following = (answer["pagination"] as { next?: string } | undefined)?.next;
    next = following && following !== next && following.startsWith(`${base}/`) ? following : undefined;
  }
}

async function zoneOf(ctx: Context): Promise<ToUtc> {
  const { user } = await get<{ user?: { timezone?: string; offsetFromUTCMillis?: number } }>(
    ctx,
    `${base}/1/user/-/profile.json`,
  );
  return localTimes(user?.timezone, user?.offsetFromUTCMillis);
}

async function get<T>(ctx: Context, url: string): Promise<T> {
  try {
    return await ctx.http.get<T>(url, authorization(ctx));
  } catch (error) {
    throw isHttpError(error, 429) ? withReset(error) : error;
  }
}

/** Fitbit names the seconds until the hour's requests are there again in a header of its own. */
function withReset(error: HttpError): Error {
  const seconds = Number(error.headers["fitbit-rate-limit-reset"]);
  if (error.retryAfter !== undefined || !(seconds > 0)) return error;
  return Object.assign(new Error(`Fitbit asks to wait ${seconds} s`), {
    name: "HttpError",
    status: 429,
    retryAfter: seconds,
  });
}
