/** The plugin every engine benchmark calls, as the text of a bundle, and the bytes it is called with: about 200 each way. */

export const definition = `{
  functions: {
    noop: async (params) => ({ ok: true, id: params.id }),
    lookup: async (params, ctx) => {
      const row = await ctx.data.getById("contacts", params.id);
      return { id: params.id, name: row[1], seen: params.tags.length };
    },
  },
}`;

export const params = {
  id: "0192f3a1-5c77-7cc3-98c4-dc0c0c07398f",
  subject: "Invoice 2024-118 is overdue",
  tags: ["billing", "overdue", "reminder"],
  amount: { value: 129.9, currency: "EUR" },
  note: "sent twice",
};
export const argsText = JSON.stringify([params]);
export const argsBytes = Buffer.from(argsText);

/** What the hub answers to the one ability call. */
export const rowText = JSON.stringify([
  params.id,
  "Ada Lovelace",
  "ada@example.com",
  "Analytical Engines Ltd",
  1815,
  params.tags,
]);
export const rowBytes = Buffer.from(rowText);
