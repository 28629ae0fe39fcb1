/**
 * Nutritionix Track API v2 (https://docx.syndigo.com/developers/docs/nutritionix-api-guide): finds foods by words, by
 * barcode and from plain sentences, estimates exercise, and keeps the foods that the configuration names.
 */
import { definePlugin, isHttpError, type PluginContext, type RawItem, type SecretHandle } from "@backplane/plugin-api";
import { type FoundFood, foodFields, foodId, type NixFood, toFood } from "./food.ts";

interface Config {
  appId: string;
  appKey: SecretHandle;
  locale: string;
  itemIds: string[];
  upcs: string[];
  commonFoods: string[];
}

type InstantSearch = {
  query: string;
  branded?: boolean;
  common?: boolean;
  brandedType?: 1 | 2;
};

interface InstantAnswer {
  common?: NixFood[];
  branded?: NixFood[];
}

type Exercise = {
  query: string;
  gender?: "male" | "female";
  weightKg?: number;
  heightCm?: number;
  age?: number;
};

interface ExerciseAnswer {
  exercises?: { name?: string; user_input?: string; duration_min?: number; met?: number; nf_calories?: number }[];
}

/** One food that the configuration names; each costs a request. */
type Wanted = { kind: "item"; id: string } | { kind: "upc"; upc: string } | { kind: "common"; query: string };

const base = "https://trackapi.nutritionix.com/v2";

export default definePlugin<Config>({
  functions: {
    async instantSearch({ query, branded = true, common = true, brandedType }: InstantSearch, ctx) {
      const search = new URLSearchParams({
        query,
        branded: `${branded}`,
        common: `${common}`,
        locale: ctx.config.locale,
      });
      if (brandedType !== undefined) search.set("branded_type", `${brandedType}`);
      const answer = await ctx.http.get<InstantAnswer>(`${base}/search/instant?${search}`, credentials(ctx));
      return { common: (answer.common ?? []).map(found), branded: (answer.branded ?? []).map(found) };
    },
    async nutrients({ query, rawFoods = false }: { query: string; rawFoods?: boolean }, ctx) {
      const foods = await naturalNutrients(ctx, query, rawFoods);
      return { foods: foods.map(found) };
    },
    async item({ itemId, upc }: { itemId?: string; upc?: string }, ctx) {
      if ((itemId === undefined) === (upc === undefined)) throw new Error("Name either itemId or upc.");
      const food = await searchItem(ctx, upc === undefined ? { nix_item_id: itemId ?? "" } : { upc });
      return { food: food ? found(food) : null };
    },
    async exercise({ query, gender, weightKg, heightCm, age }: Exercise, ctx) {
      const { exercises = [] } = await post<ExerciseAnswer>(ctx, "/natural/exercise", {
        query,
        ...(gender === undefined ? {} : { gender }),
        ...(weightKg === undefined ? {} : { weight_kg: weightKg }),
        ...(heightCm === undefined ? {} : { height_cm: heightCm }),
        ...(age === undefined ? {} : { age }),
      });
      return {
        exercises: exercises.map((exercise) => ({
          name: exercise.name ?? exercise.user_input ?? null,
          durationSeconds: Math.round((exercise.duration_min ?? 0) * 60),
          met: exercise.met ?? null,
          energyKcal: exercise.nf_calories ?? null,
        })),
      };
    },
  },
  connector: {
    async *sync({ cursor }, ctx) {
      const wanted = wantedFoods(ctx.config);
      for (let at = readPosition(cursor); at < wanted.length; at += 1) {
        const found = await lookUp(ctx, wanted[at]!);
        // What is not there moves the cursor too, or a day's requests could go into asking for it again.
        const items = found.length > 0 ? found : [{ id: `nothing at ${at}`, type: "food", data: null }];
        for (const [n, item] of items.entries())
          yield {
            ...item,
            total: wanted.length,
            ...(n === items.length - 1 ? { cursor: { at: at + 1 } } : {}),
          };
      }
      return { cursor: { at: 0 } };
    },
    mapToUnifiedModel: ({ id, data, deleted }) => {
      if (deleted) return [{ type: "foods", externalId: id, data: {}, deleted }];
      return data === null ? [] : [toFood(data as FoundFood)];
    },
  },
  async health(ctx) {
    try {
      await ctx.http.get(`${base}/search/instant?query=apple&branded=false`, credentials(ctx));
      return { status: "healthy" };
    } catch (error) {
      if (isHttpError(error, 401)) return { status: "unhealthy", message: "Nutritionix refuses the credentials." };
      if (isHttpError(error, 429)) return { status: "degraded", message: "The requests of this day are used up." };
      throw error;
    }
  },
});

const credentials = ({ config }: PluginContext<Config>): Record<string, string> => ({
  "x-app-id": config.appId,
  "x-app-key": config.appKey,
});

const post = <T>(ctx: PluginContext<Config>, path: string, body: object): Promise<T> =>
  ctx.http.post<T>(`${base}${path}`, body, credentials(ctx));

const found = (food: FoundFood): Record<string, unknown> => ({ foodId: foodId(food), ...foodFields(food) });

/** Nothing recognised is 404. */
async function naturalNutrients(ctx: PluginContext<Config>, query: string, rawFoods = false): Promise<NixFood[]> {
  const request = { query, locale: ctx.config.locale, ...(rawFoods ? { use_raw_foods: true } : {}) };
  try {
    const { foods = [] } = await post<{ foods?: NixFood[] }>(ctx, "/natural/nutrients", request);
    return foods;
  } catch (error) {
    if (isHttpError(error, 404)) return [];
    throw error;
  }
}

async function searchItem(
  ctx: PluginContext<Config>,
  by: { nix_item_id: string } | { upc: string },
): Promise<FoundFood | undefined> {
  try {
    const query = new URLSearchParams({ ...by });
    const { foods = [] } = await ctx.http.get<{ foods?: NixFood[] }>(`${base}/search/item?${query}`, credentials(ctx));
    const [food] = foods;
    return food && "upc" in by ? { ...food, upc: by.upc } : food;
  } catch (error) {
    if (isHttpError(error, 404)) return undefined;
    throw error;
  }
}

const wantedFoods = ({ itemIds, upcs, commonFoods }: Config): Wanted[] => [
  ...itemIds.map((id): Wanted => ({ kind: "item", id })),
  ...upcs.map((upc): Wanted => ({ kind: "upc", upc })),
  ...commonFoods.map((query): Wanted => ({ kind: "common", query })),
];

/** An item that Nutritionix knows no more is deleted; a barcode or a word without an answer says nothing about an id. */
async function lookUp(ctx: PluginContext<Config>, wanted: Wanted): Promise<RawItem[]> {
  if (wanted.kind === "common") return (await naturalNutrients(ctx, wanted.query)).map(rawFood);
  const food = await searchItem(ctx, wanted.kind === "item" ? { nix_item_id: wanted.id } : { upc: wanted.upc });
  if (food) return [rawFood(food)];
  if (wanted.kind === "item") return [{ id: wanted.id, type: "food", data: null, deleted: true }];
  ctx.logger.warn("no food has this barcode", { upc: wanted.upc });
  return [];
}

const rawFood = (food: FoundFood): RawItem => ({ id: foodId(food), type: "food", data: food });

function readPosition(cursor: unknown): number {
  const at = typeof cursor === "object" && cursor !== null ? (cursor as { at?: unknown }).at : 0;
  return typeof at === "number" && Number.isSafeInteger(at) && at >= 0 ? at : 0;
}
