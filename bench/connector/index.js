/** A connector with as many people as asked, made on the spot: what a sync costs beside the service. */
import { definePlugin } from "@backplane/plugin-api";

export default definePlugin({
  connector: {
    async *sync({ cursor }, ctx) {
      const { items, prefix } = ctx.config;
      for (let i = typeof cursor === "number" ? cursor + 1 : 0; i < items; i++)
        yield {
          id: `${prefix}-${i}`,
          type: "person",
          cursor: i,
          data: { first: `First ${i}`, last: `Last ${i % 1000}` },
        };
    },
    mapToUnifiedModel({ id, data }) {
      const { first, last } = data;
      return [
        {
          type: "contacts",
          externalId: id,
          data: {
            displayName: `${first} ${last}`,
            givenName: first,
            familyName: last,
            emails: [{ address: `${id}@example.com`, label: "work", primary: true }],
            phones: [{ number: "+15551234567", label: "mobile" }],
            company: "Acme",
          },
        },
      ];
    },
  },
});
