/** `grants ID`: what a plugin asks for and may do; with `--grant` the grants are replaced, which approves what waits. */
import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { usageFailure } from "../failure.ts";
import { pluginPath } from "../hub-client.ts";
import { collect, grantsOf, type InstallationAnswer, printInstallation } from "../installation.ts";
import { type ConsentLine, printConsent } from "../plugin-source.ts";
import { printable } from "../printer.ts";

interface ConsentAnswer {
  permissions: (ConsentLine & { granted: boolean; isNew: boolean })[];
  notices: { sentence?: string }[];
}

interface GrantsOptions {
  grant?: string[];
  add?: string[];
  revoke?: string[];
  json?: boolean;
}

export function grantsVerb(program: Command, cli: Cli): void {
  const { print } = cli;
  program
    .command("grants")
    .description("show or change what a plugin may do")
    .argument("<id>", "the plugin's id")
    .option("--grant <permissions>", "exactly these: `all`, `none`, or permissions with commas between", collect)
    .option("--add <permissions>", "these as well", collect)
    .option("--revoke <permissions>", "these no longer", collect)
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      "\nExamples:\n  backplane grants acme.greeter\n  backplane grants acme.greeter --grant all\n  backplane grants acme.greeter --revoke network:outbound:api.vendor.com",
    )
    .action(async (id: string, { grant, add, revoke, json = false }: GrantsOptions) => {
      const hub = cli.hub();
      if (grant !== undefined && (add !== undefined || revoke !== undefined))
        throw usageFailure("--grant replaces all grants, so it cannot be used with --add or --revoke.");
      const before = await hub.call<InstallationAnswer>(pluginPath(id));
      if (grant === undefined && add === undefined && revoke === undefined) {
        const consent = await hub.call<ConsentAnswer>(pluginPath(id, "/consent"));
        if (json)
          return print.json({ ...consent, grants: before.grants, pendingPermissions: before.pendingPermissions });
        printConsent(cli, consent.permissions, before.grants);
        for (const { sentence } of consent.notices) if (sentence) print.line(`  ! ${printable(sentence)}`);
        const others = before.grants.filter(
          (granted) => !consent.permissions.some(({ permission }) => permission === granted),
        );
        if (others.length > 0) print.line(`Granted beyond that: ${others.map(printable).join(", ")}`);
        return printInstallation(cli, before);
      }
      const kept = [...before.grants, ...(add ?? [])].filter((permission) => !revoke?.includes(permission));
      const wanted = grant === undefined ? [...new Set(kept)] : grant.includes("none") ? [] : grantsOf(grant);
      const after = await hub.call<InstallationAnswer>(pluginPath(id, "/grants"), {
        method: "PUT",
        body: { grants: wanted },
      });
      if (json) return print.json(after);
      print.line(`Granted: ${after.grants.map(printable).join(", ") || "nothing"}`);
      printInstallation(cli, after);
    });
}
