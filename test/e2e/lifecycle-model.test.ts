/** The state machine of an installation against a model of ten lines: after any sequence of changes both say the same. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import fc from "fast-check";
import { asOrganizationId, asPluginId } from "../../src/base/brands.ts";
import { BackplaneError } from "../../src/errors/error.ts";
import type { Installation } from "../../src/installations/installations.ts";
import { startTestHub, type TestHub } from "../kit/start-test-hub.ts";

const permissions = { "1.0.0": ["data:read:marks"], "2.0.0": ["data:read:marks", "data:write:marks"] } as const;
type Version = keyof typeof permissions;

interface Model {
  status: Installation["status"];
  version: Version;
  grants: string[];
  config: { name?: string };
}

type Move =
  | { do: "install"; grants: "all" | []; config: { name?: string } }
  | { do: "configure"; config: { name?: unknown } }
  | { do: "grant"; grants: "all" | [] }
  | { do: "activate" | "deactivate" | "quarantine" | "uninstall" }
  | { do: "upgrade"; version: Version };

/** What should come of a move: the next state and no error, or the error's code and the same state. */
function expected(model: Model | undefined, move: Move): { next: Model | undefined; code?: string } {
  const refused = (code: string) => ({ next: model, code });
  const granted = (version: Version, grants: "all" | []): string[] =>
    grants === "all" ? [...permissions[version]] : [];
  if (move.do === "install") {
    if (model) return refused("already_installed");
    return {
      next: { status: "pending_config", version: "1.0.0", grants: granted("1.0.0", move.grants), config: move.config },
    };
  }
  if (!model) return refused("not_found");
  switch (move.do) {
    case "configure":
      if (typeof move.config.name !== "string") return refused("invalid_config");
      return { next: { ...model, config: { name: move.config.name } } };
    case "grant":
      return { next: { ...model, grants: granted(model.version, move.grants) } };
    case "activate": {
      if (model.status === "active") return { next: model };
      const ready =
        model.config.name !== undefined &&
        permissions[model.version].every((permission) => model.grants.includes(permission));
      return ready ? { next: { ...model, status: "active" } } : refused("activation_blocked");
    }
    case "deactivate":
      if (model.status === "pending_config") return refused("invalid_transition");
      return { next: { ...model, status: "disabled" } };
    case "quarantine":
      return { next: { ...model, status: model.status === "active" ? "quarantined" : model.status } };
    case "upgrade":
      return {
        next: {
          ...model,
          version: move.version,
          grants: model.grants.filter((grant) => (permissions[move.version] as readonly string[]).includes(grant)),
        },
      };
    case "uninstall":
      return { next: undefined };
  }
}

const move: fc.Arbitrary<Move> = fc.oneof(
  fc.record({
    do: fc.constant("install" as const),
    grants: fc.constantFrom<"all" | []>("all", []),
    config: fc.constantFrom({}, { name: "n" }),
  }),
  fc.record({ do: fc.constant("configure" as const), config: fc.constantFrom({}, { name: "n" }, { name: 7 }) }),
  fc.record({ do: fc.constant("grant" as const), grants: fc.constantFrom<"all" | []>("all", "all", []) }),
  fc.record({
    do: fc.constantFrom(
      "activate" as const,
      "activate" as const,
      "deactivate" as const,
      "quarantine" as const,
      "uninstall" as const,
    ),
  }),
  fc.record({ do: fc.constant("upgrade" as const), version: fc.constantFrom<Version>("1.0.0", "2.0.0") }),
);

let hub: TestHub;
const plugin = asPluginId("acme.model");
before(async () => {
  hub = await startTestHub();
  await hub.organization("acme");
  for (const version of Object.keys(permissions) as Version[]) {
    const manifest = {
      id: "acme.model",
      version,
      permissions: permissions[version],
      configSchema: { type: "object", properties: { name: { type: "string" } }, required: ["name"] },
    };
    assert.equal((await hub.publish("acme", { manifest, code: "export default {};" })).status, 201);
  }
});
after(() => hub[Symbol.asyncDispose]());

test("any sequence of moves leaves the installation as the model says, and the audit chain whole", async () => {
  const { lifecycle, installations, access, audit, packages } = hub.hub;
  let run = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(move, { minLength: 5, maxLength: 20 }), async (moves) => {
      run += 1;
      const organization = asOrganizationId(`model-${run}`);
      await access.createOrganization({ id: organization, name: organization, actor: "test" });
      for (const version of Object.keys(permissions)) {
        const { manifest, digest } = await packages.resolve(asOrganizationId("acme"), plugin, version);
        await hub.hub.store.db
          .insertInto("packages")
          .values({
            organization_id: organization,
            plugin_id: plugin,
            version,
            digest,
            manifest: JSON.stringify(manifest) as never,
            published_by: "test",
          })
          .execute();
      }
      const context = { organization, actor: "test" };
      const make = (step: Move): Promise<unknown> => {
        switch (step.do) {
          case "install":
            return lifecycle.install(context, {
              id: plugin,
              version: "1.0.0",
              grants: step.grants,
              config: step.config,
            });
          case "configure":
            return lifecycle.configure(context, plugin, step.config);
          case "grant":
            return lifecycle.grant(context, plugin, step.grants);
          case "upgrade":
            return lifecycle.upgrade(context, plugin, step.version);
          case "quarantine":
            return lifecycle.quarantine(organization, plugin, "test");
          default:
            return lifecycle[step.do](context, plugin);
        }
      };

      let model: Model | undefined;
      for (const step of moves) {
        const { next, code } = expected(model, step);
        const outcome = await make(step).then(
          () => undefined,
          (error: unknown) => (error instanceof BackplaneError ? error.code : String(error)),
        );
        assert.equal(outcome, code, JSON.stringify([model, step]));
        model = next;
        const real = await installations.find(organization, plugin);
        assert.deepEqual(
          real && { status: real.status, version: real.version, grants: [...real.grants].sort(), config: real.config },
          model && { ...model, grants: [...model.grants].sort() },
          JSON.stringify(step),
        );
        const active = await hub.hub.consumers.list(organization, plugin);
        assert.ok(active.every((consumer) => consumer.active === (model?.status === "active")));
      }
      assert.equal((await audit.verifyChain(organization)).valid, true);
    }),
    { numRuns: 25 },
  );
});
