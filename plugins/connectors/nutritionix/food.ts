/** Foods as Nutritionix describes them (https://docx.syndigo.com/developers/docs/natural-language-for-nutrients), in the words of the data model. */
import type { Entity } from "@backplane/plugin-api";

export interface NixFood {
  food_name: string;
  brand_name?: string | null;
  serving_qty?: number | null;
  serving_unit?: string | null;
  serving_weight_grams?: number | null;
  nf_calories?: number | null;
  nf_total_fat?: number | null;
  nf_saturated_fat?: number | null;
  nf_cholesterol?: number | null;
  nf_sodium?: number | null;
  nf_total_carbohydrate?: number | null;
  nf_dietary_fiber?: number | null;
  nf_sugars?: number | null;
  nf_protein?: number | null;
  nf_potassium?: number | null;
  full_nutrients?: { attr_id: number; value: number }[] | null;
  nix_item_id?: string | null;
}

/** What was looked up: barcodes are in no answer. */
export interface FoundFood extends NixFood {
  upc?: string;
}

const fields: readonly [field: string, from: keyof NixFood][] = [
  ["energyKcal", "nf_calories"],
  ["proteinG", "nf_protein"],
  ["fatG", "nf_total_fat"],
  ["saturatedFatG", "nf_saturated_fat"],
  ["carbohydrateG", "nf_total_carbohydrate"],
  ["sugarG", "nf_sugars"],
  ["fiberG", "nf_dietary_fiber"],
  ["sodiumMg", "nf_sodium"],
  ["cholesterolMg", "nf_cholesterol"],
  ["potassiumMg", "nf_potassium"],
];

/** Attribute ids of `full_nutrients` are the USDA's nutrient numbers. */
const attributes: readonly [field: string, id: number][] = [
  ["calciumMg", 301],
  ["ironMg", 303],
];

export function foodFields(food: FoundFood): Record<string, unknown> {
  const { serving_qty, serving_unit } = food;
  return {
    name: food.food_name,
    brand: food.brand_name ?? null,
    barcode: food.upc ?? null,
    dataType: food.nix_item_id ? "branded" : "common",
    servingSize: serving_qty ?? null,
    servingUnit: serving_unit ?? null,
    servingDescription: serving_qty && serving_unit ? `${serving_qty} ${serving_unit}` : null,
    servingWeightGrams: food.serving_weight_grams ?? null,
    nutrientsPer: "serving",
    nutrients: nutrientsOf(food),
  };
}

/** Branded foods have an id; a common food is found by its name. */
export const foodId = ({ nix_item_id, food_name }: NixFood): string =>
  nix_item_id ? nix_item_id : `common:${food_name.toLowerCase()}`;

export const toFood = (food: FoundFood): Entity => ({
  type: "foods",
  externalId: foodId(food),
  data: foodFields(food),
});

function nutrientsOf(food: NixFood): Record<string, number> {
  const named = fields.map(([field, from]) => [field, food[from]] as const);
  const listed = attributes.map(
    ([field, id]) => [field, food.full_nutrients?.find(({ attr_id }) => attr_id === id)?.value] as const,
  );
  const known = [...named, ...listed].filter((entry): entry is [string, number] => typeof entry[1] === "number");
  return Object.fromEntries(known);
}
