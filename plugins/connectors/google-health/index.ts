/**
 * Health and fitness data over the Google Health API v4 (https://developers.google.com/health), the successor of the Fitbit
 * Web API and of Google Fit: data points by type and time, newest first within a request, page by page.
 */
import { definePlugin, isHttpError, type PluginContext, type RawItem, type SecretHandle } from "@backplane/plugin-api";
import { toEntities } from "../health-model.ts";
import { syncWindows, type Window } from "../health-windows.ts";
import { type DataPoint, filterFor, readPoint } from "./data-points.ts";

interface Config {
  clientId: string;
  clientSecret: SecretHandle;
  startDate: string;
  dataTypes: string[];
  /** The connection's access token. */
  google: SecretHandle;
}

interface Page {
  dataPoints?: DataPoint[];
  nextPageToken?: string;
}

const base = "https://health.googleapis.com/v4/users/me";

export default definePlugin<Config>({
  connector: {
    async *sync(options, ctx) {
      const { dataTypes, startDate } = ctx.config;
      return yield* syncWindows({
        kinds: dataTypes,
        options,
        startDate,
        windowDays,
        read: (dataType, window) => pointsOf(dataType, window, ctx),
      });
    },
    mapToUnifiedModel: toEntities,
  },
  async health(ctx) {
    try {
      await ctx.http.get(`${base}/identity`, authorization(ctx));
      return { status: "healthy" };
    } catch (error) {
      if (isHttpError(error, 401) || isHttpError(error, 403))
        return { status: "unhealthy", message: "Google refuses the token: connect the account again." };
      throw error;
    }
  },
});

const authorization = ({ config }: PluginContext<Config>): Record<string, string> => ({
  authorization: `Bearer ${config.google}`,
});

/** Heart rates come every few seconds, workouts a few a week. */
function windowDays(dataType: string): number {
  if (dataType === "heart-rate" || dataType === "oxygen-saturation") return 2;
  return dataType === "steps" || dataType === "distance" || dataType === "active-energy-burned" ? 7 : 30;
}

/** Sessions are given 25 at a time at most. */
const pageSize = (dataType: string): number => (dataType === "exercise" || dataType === "sleep" ? 25 : 1000);

async function* pointsOf(dataType: string, window: Window, ctx: PluginContext<Config>): AsyncGenerator<RawItem> {
  const filter = filterFor(dataType, window);
  let pageToken: string | undefined;
  let restarts = 0;
  for (;;) {
    const query = new URLSearchParams({ filter, pageSize: String(pageSize(dataType)) });
    if (pageToken !== undefined) query.set("pageToken", pageToken);
    let page: Page;
    try {
      page = await ctx.http.get<Page>(`${base}/dataTypes/${dataType}/dataPoints?${query}`, authorization(ctx));
    } catch (error) {
      // A page token that is no longer good: the window is read again, which stores nothing twice.
      if (!isHttpError(error, 400) || pageToken === undefined || ++restarts > 1) throw error;
      ctx.logger.info("a page token was refused; reading the window again", { dataType, from: window.from });
      pageToken = undefined;
      continue;
    }
    for (const point of page.dataPoints ?? []) {
      const item = readPoint(dataType, point);
      if (item) yield item;
      else ctx.logger.debug("left out a data point without time or value", { dataType, name: point.name });
    }
    pageToken = page.nextPageToken === "" ? undefined : page.nextPageToken;
    if (pageToken === undefined) return;
  }
}
