/**
 * Foods of the USDA's FoodData Central (https://fdc.nal.usda.gov/api-guide): looks them up, and keeps those that the
 * configuration names by id or by search in the data model.
 */
import { definePlugin, isHttpError, type PluginContext, type RawItem, type SecretHandle } from "@backplane/plugin-api";
import { type FdcFood, foodFields, publishedAt, toFood } from "./food.ts";

type DataType = "Branded" | "Foundation" | "Survey (FNDDS)" | "SR Legacy";

interface Config {
  apiKey: SecretHandle;
  fdcIds: number[];
  queries: string[];
  dataTypes?: DataType[];
  maxFoodsPerQuery: number;
}

type Search = {
  query: string;
  dataType?: DataType[];
  brandOwner?: string;
  pageSize?: number;
  pageNumber?: number;
};

interface SearchResult {
  totalHits?: number;
  totalPages?: number;
  foods?: FdcFood[];
}

/** Where a sync stands: in the ids, or on a page of a query. A run that was finished leaves none. */
interface Position {
  part: "ids" | "query";
  /** Index in the configured list. */
  at: number;
  /** Pages begin at 1. */
  page: number;
}

/** How many foods one request for details may name. */
const idsAtOnce = 20;
const pageSize = 200;

export default definePlugin<Config>({
  functions: {
    async search(parameters: Search, ctx) {
      const { totalHits = 0, totalPages = 0, foods = [] } = await search(ctx, parameters);
      return { totalHits, totalPages, foods: foods.map(described) };
    },
    async food({ fdcId }: { fdcId: number }, ctx) {
      const food = await foodById(ctx, fdcId);
      return { food: food ? described(food) : null };
    },
    async foods({ fdcIds }: { fdcIds: number[] }, ctx) {
      const foods = await foodsById(ctx, fdcIds);
      return { foods: foods.map(described) };
    },
    async list(parameters: Omit<Search, "query" | "brandOwner">, ctx) {
      const foods = await post<FdcFood[]>(ctx, "/v1/foods/list", parameters);
      return { foods: foods.map(described) };
    },
  },
  connector: {
    async *sync({ cursor }, ctx) {
      const { fdcIds, queries, dataTypes, maxFoodsPerQuery } = ctx.config;
      const start = readPosition(cursor);
      if (start.part === "ids") yield* configuredFoods(fdcIds, start.at, ctx);
      // Details hold more than search results, so the two must not take turns in one row.
      const seen = new Set(fdcIds);
      for (let at = start.part === "query" ? start.at : 0; at < queries.length; at += 1) {
        const isResumed = start.part === "query" && start.at === at;
        for (let page = isResumed ? start.page : 1; (page - 1) * pageSize < maxFoodsPerQuery; page += 1) {
          const found = await search(ctx, {
            query: queries[at] ?? "",
            ...(dataTypes === undefined ? {} : { dataType: dataTypes }),
            pageSize: Math.min(pageSize, maxFoodsPerQuery),
            pageNumber: page,
          });
          const { foods = [], totalPages = 1, totalHits } = found;
          const kept = foods.slice(0, maxFoodsPerQuery - (page - 1) * pageSize).filter(({ fdcId }) => !seen.has(fdcId));
          const total = totalHits === undefined ? {} : { total: Math.min(totalHits, maxFoodsPerQuery) };
          for (const [n, food] of kept.entries()) {
            seen.add(food.fdcId);
            const next: Position = { part: "query", at, page: page + 1 };
            yield { ...rawFood(food), ...total, ...(n === kept.length - 1 ? { cursor: next } : {}) };
          }
          if (page >= totalPages || foods.length === 0) break;
        }
      }
      return { cursor: { part: "ids", at: 0, page: 1 } satisfies Position };
    },
    mapToUnifiedModel: ({ id, data, deleted }) =>
      deleted ? [{ type: "foods", externalId: id, data: {}, deleted }] : [toFood(data as FdcFood)],
  },
  async health(ctx) {
    try {
      await post(ctx, "/v1/foods/list", { pageSize: 1 });
      return { status: "healthy" };
    } catch (error) {
      if (isHttpError(error, 403)) return { status: "unhealthy", message: "FoodData Central refuses the API key." };
      if (isHttpError(error, 429)) return { status: "degraded", message: "The requests of this hour are used up." };
      throw error;
    }
  },
});

const described = (food: FdcFood): Record<string, unknown> => ({ fdcId: food.fdcId, ...foodFields(food) });

async function* configuredFoods(
  ids: readonly number[],
  from: number,
  ctx: PluginContext<Config>,
): AsyncGenerator<RawItem> {
  for (let at = from; at < ids.length; at += idsAtOnce) {
    const wanted = ids.slice(at, at + idsAtOnce);
    const found = new Map((await foodsById(ctx, wanted)).map((food) => [food.fdcId, food]));
    for (const [n, id] of wanted.entries()) {
      const food = found.get(id);
      const raw: RawItem = food ? rawFood(food) : { id: String(id), type: "food", data: null, deleted: true };
      const next: Position = { part: "ids", at: at + wanted.length, page: 1 };
      yield n === wanted.length - 1 ? { ...raw, cursor: next } : raw;
    }
  }
}

function rawFood(food: FdcFood): RawItem {
  const updatedAt = publishedAt(food);
  return { id: String(food.fdcId), type: "food", data: food, ...(updatedAt === undefined ? {} : { updatedAt }) };
}

/** The service answers one object; its specification says a list of them. */
async function search(ctx: PluginContext<Config>, criteria: Search): Promise<SearchResult> {
  const answer = await post<SearchResult | SearchResult[]>(ctx, "/v1/foods/search", criteria);
  return Array.isArray(answer) ? (answer[0] ?? {}) : answer;
}

/** Unknown ids are left out. Some records have no full format, and are asked for in the abridged one. */
async function foodsById(ctx: PluginContext<Config>, fdcIds: readonly number[]): Promise<FdcFood[]> {
  const full = await post<FdcFood[]>(ctx, "/v1/foods", { fdcIds, format: "full" });
  const missing = fdcIds.filter((id) => !full.some(({ fdcId }) => fdcId === id));
  if (missing.length === 0) return full;
  return [...full, ...(await post<FdcFood[]>(ctx, "/v1/foods", { fdcIds: missing, format: "abridged" }))];
}

async function foodById(ctx: PluginContext<Config>, fdcId: number): Promise<FdcFood | undefined> {
  for (const format of ["full", "abridged"]) {
    try {
      return await ctx.http.get<FdcFood>(address(ctx, `/v1/food/${fdcId}`, { format }));
    } catch (error) {
      if (!isHttpError(error, 404)) throw error;
    }
  }
  return undefined;
}

const post = <T>(ctx: PluginContext<Config>, path: string, body: object): Promise<T> =>
  ctx.http.post<T>(address(ctx, path), body);

/** The key travels in the query, where the service wants it. */
function address({ config }: PluginContext<Config>, path: string, query: Record<string, string> = {}): string {
  return `https://api.nal.usda.gov/fdc${path}?${new URLSearchParams({ ...query, api_key: config.apiKey })}`;
}

function readPosition(cursor: unknown): Position {
  const { part, at, page } = (typeof cursor === "object" && cursor !== null ? cursor : {}) as Partial<Position>;
  const whole = (value: unknown, least: number): number =>
    typeof value === "number" && Number.isSafeInteger(value) && value >= least ? value : least;
  return { part: part === "query" ? "query" : "ids", at: whole(at, 0), page: whole(page, 1) };
}
