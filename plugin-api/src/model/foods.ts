/** `foods` of the unified data model. */
import type { FromSchema } from "../from-schema.ts";

export const foodsSchema = {
  title: "Food",
  description: "Something to eat and what is in it.",
  type: "object",
  properties: {
    name: { type: "string", description: "Its name." },
    brand: { type: "string", description: "Who makes it." },
    barcode: { type: "string", description: "GTIN or UPC." },
    category: { type: "string", description: "Its kind." },
    dataType: { type: "string", description: "As its source calls the sort of record." },
    ingredients: { type: "string", description: "What it is made of." },
    servingSize: { type: "number", description: "How much one serving is." },
    servingUnit: { type: "string", description: "In what unit." },
    servingDescription: { type: "string", description: "In words, such as `1 cup`." },
    nutrients: {
      type: "object",
      properties: {
        energyKcal: { type: "number", description: "Kilocalories." },
        proteinG: { type: "number", description: "Grams of protein." },
        fatG: { type: "number", description: "Grams of fat." },
        saturatedFatG: { type: "number", description: "Grams of saturated fat." },
        carbohydrateG: { type: "number", description: "Grams of carbohydrates." },
        sugarG: { type: "number", description: "Grams of sugar." },
        fiberG: { type: "number", description: "Grams of fibre." },
        sodiumMg: { type: "number", description: "Milligrams of sodium." },
        cholesterolMg: { type: "number", description: "Milligrams of cholesterol." },
        potassiumMg: { type: "number", description: "Milligrams of potassium." },
      },
      description: "In one serving, or in 100 g where there is none.",
    },
    tags: { type: "array", description: "Free labels.", items: { type: "string" } },
  },
} as const;

export type FoodData = FromSchema<typeof foodsSchema>;
