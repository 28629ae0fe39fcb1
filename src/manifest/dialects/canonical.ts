/** Our own shape: read as it stands. */
import type { Dialect } from "./dialect.ts";

export const canonical: Dialect = {
  name: "canonical",
  recognises: () => true,
  read: (raw) => ({ manifest: { ...raw }, origins: [], faults: [] }),
};
