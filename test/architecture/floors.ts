/** The import table of the house as data: what each folder may import besides itself. ARCHITECTURE.md shows the same table; a test holds both. */

export interface Floor {
  floor: number;
  folder: string;
  is: string;
  /** Folders of the same floor that this one may import, by explicit rule. */
  siblings?: readonly string[];
}

export const floors: readonly Floor[] = [
  { floor: 0, folder: "plugin-api", is: "what an author compiles against" },
  { floor: 0, folder: "src/base", is: "leaf helpers", siblings: ["src/errors"] },
  { floor: 0, folder: "src/errors", is: "the code table and its mapping to each edge" },
  {
    floor: 0,
    folder: "src/manifest",
    is: "canonical manifest, dialects, permission grammar",
    siblings: ["plugin-api", "src/base", "src/errors"],
  },
  {
    floor: 0,
    folder: "src/policy",
    is: "decisions as pure functions",
    siblings: ["plugin-api", "src/base", "src/errors", "src/manifest"],
  },
  { floor: 0, folder: "src/telemetry", is: "traces and metrics", siblings: ["src/base", "src/errors"] },
  { floor: 1, folder: "src/store", is: "drivers, migrations, transactions" },
  { floor: 2, folder: "src/bus", is: "event log and deliveries" },
  { floor: 2, folder: "src/jobs", is: "recurring maintenance on one node" },
  { floor: 2, folder: "src/access", is: "organisations, keys, roles", siblings: ["src/audit"] },
  { floor: 2, folder: "src/secrets", is: "sealed values" },
  { floor: 2, folder: "src/audit", is: "hash chain of decisions" },
  { floor: 2, folder: "src/egress", is: "the one guarded HTTP client" },
  { floor: 3, folder: "src/runtimes", is: "how plugin code runs" },
  { floor: 3, folder: "src/packages", is: "tarballs, digests, bundling" },
  { floor: 4, folder: "src/installations", is: "records of a plugin in an organisation" },
  { floor: 4, folder: "src/entities", is: "the unified data model" },
  {
    floor: 4,
    folder: "src/connections",
    is: "OAuth 2 connections of an installation",
    siblings: ["src/installations"],
  },
  { floor: 5, folder: "src/abilities", is: "one file per ability a plugin may call" },
  { floor: 6, folder: "src/invocation", is: "validate, authorise, meter, run, record" },
  {
    floor: 7,
    folder: "src/lifecycle",
    is: "install, consent, activate, health, quarantine",
    siblings: ["src/catalog"],
  },
  { floor: 7, folder: "src/catalog", is: "what can be installed" },
  { floor: 7, folder: "src/subscriptions", is: "events to handlers" },
  { floor: 7, folder: "src/webhooks", is: "inbound HTTP" },
  { floor: 7, folder: "src/incoming", is: "items and changes that plugins hand over, read and stored" },
  { floor: 8, folder: "src/connectors", is: "data of services into the unified model" },
  { floor: 8, folder: "src/channels", is: "outbound messages and their states" },
  { floor: 8, folder: "src/rules", is: "automation rules" },
  { floor: 9, folder: "src/edges/http", is: "the HTTP API" },
  { floor: 9, folder: "src/edges/cli", is: "the command line", siblings: ["src/authoring"] },
  { floor: 9, folder: "src/embed", is: "the embedding API" },
  { floor: 9, folder: "src/authoring", is: "scaffold, dev, test, doctor" },
  { floor: 0, folder: "src/settings.ts", is: "the environment, read once", siblings: ["src/errors", "src/policy"] },
  { floor: 9, folder: "src/diagnose.ts", is: "what doctor tells" },
  { floor: 9, folder: "src/hub.ts", is: "the shape of a composed hub", siblings: ["src/edges/http"] },
  { floor: 10, folder: "src/main.ts", is: "composition root" },
  { floor: 11, folder: "src/cli.ts", is: "entry of the command; loads the hub only for verbs that run one" },
  { floor: 11, folder: "src/testing.ts", is: "entry of the processes that run an author's tests" },
];
