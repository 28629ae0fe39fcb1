import { storeContract } from "./store.contract.ts";
import { openTestStore } from "./test-store.ts";

storeContract({ name: "PGlite", open: (options) => openTestStore(options) });
