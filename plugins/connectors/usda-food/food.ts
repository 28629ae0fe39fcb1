/**
 * Foods as FoodData Central describes them, in the words of the data model. Its answers differ by operation and from its own
 * specification (https://fdc.nal.usda.gov/api-spec/fdc_api.html): a nutrient is `{nutrientNumber, value}` in search results,
 * `{number, amount}` in abridged details and lists, `{nutrient: {number}, amount}` in full details.
 */
import type { Entity } from "@backplane/plugin-api";

export interface FdcFood {
  fdcId: number;
  description: string;
  dataType?: string;
  brandOwner?: string;
  brandName?: string;
  gtinUpc?: string;
  ndbNumber?: string | number;
  ingredients?: string;
  foodCategory?: string | { description?: string };
  brandedFoodCategory?: string;
  wweiaFoodCategory?: { wweiaFoodCategoryDescription?: string };
  servingSize?: number;
  servingSizeUnit?: string;
  householdServingFullText?: string;
  publicationDate?: string;
  publishedDate?: string;
  foodNutrients?: FdcNutrient[];
}

interface FdcNutrient {
  nutrientNumber?: string;
  value?: number;
  number?: string | number;
  amount?: number;
  nutrient?: { number?: string };
  unitName?: string;
}

/** Nutrient numbers of FoodData Central; of several for one field the first that is there counts. */
const nutrientFields: readonly [field: string, numbers: readonly string[]][] = [
  ["energyKcal", ["208", "958", "957"]],
  ["proteinG", ["203"]],
  ["fatG", ["204", "298"]],
  ["saturatedFatG", ["606"]],
  ["carbohydrateG", ["205"]],
  ["sugarG", ["269", "269.3"]],
  ["fiberG", ["291"]],
  ["sodiumMg", ["307"]],
  ["cholesterolMg", ["601"]],
  ["potassiumMg", ["306"]],
  ["calciumMg", ["301"]],
  ["ironMg", ["303"]],
];

export function foodFields(food: FdcFood): Record<string, unknown> {
  return {
    name: food.description,
    brand: food.brandName ?? food.brandOwner ?? null,
    barcode: food.gtinUpc ?? null,
    category: categoryOf(food),
    dataType: food.dataType ?? null,
    ingredients: food.ingredients ?? null,
    servingSize: food.servingSize ?? null,
    servingUnit: food.servingSizeUnit ?? null,
    servingDescription: food.householdServingFullText ?? null,
    // Of branded foods too: the database converts the label's values.
    nutrientsPer: food.servingSizeUnit?.toLowerCase().startsWith("ml") ? "100 ml" : "100 g",
    nutrients: nutrientsOf(food),
  };
}

export const toFood = (food: FdcFood): Entity => ({
  type: "foods",
  externalId: String(food.fdcId),
  data: foodFields(food),
});

/** RFC 3339, from `2021-10-28` or the `10/28/2021` of older records. */
export function publishedAt({ publicationDate, publishedDate }: FdcFood): string | undefined {
  const text = publicationDate ?? publishedDate ?? "";
  const american = /^(\d{1,2})\/(\d{1,2})\/(\d{4})$/.exec(text);
  const day = american ? `${american[3]}-${american[1]?.padStart(2, "0")}-${american[2]?.padStart(2, "0")}` : text;
  return /^\d{4}-\d{2}-\d{2}$/.test(day) ? `${day}T00:00:00Z` : undefined;
}

function categoryOf({ foodCategory, brandedFoodCategory, wweiaFoodCategory }: FdcFood): string | null {
  const named = typeof foodCategory === "string" ? foodCategory : foodCategory?.description;
  return named ?? brandedFoodCategory ?? wweiaFoodCategory?.wweiaFoodCategoryDescription ?? null;
}

function nutrientsOf({ foodNutrients = [] }: FdcFood): Record<string, number> {
  const amounts = new Map<string, number>();
  for (const { nutrientNumber, number, nutrient, value, amount } of foodNutrients) {
    const key = String(nutrientNumber ?? number ?? nutrient?.number ?? "");
    const given = value ?? amount;
    if (key !== "" && typeof given === "number") amounts.set(key, given);
  }
  const found = nutrientFields.flatMap(([field, numbers]) => {
    const number = numbers.find((candidate) => amounts.has(candidate));
    return number === undefined ? [] : [[field, amounts.get(number)] as const];
  });
  return Object.fromEntries(found) as Record<string, number>;
}
