/** An installation as the hub shows it, and how the CLI shows it to people. */
import type { Cli } from "./cli.ts";
import { printable } from "./printer.ts";

export interface InstallationAnswer {
  id: string;
  name: string;
  version: string;
  digest: string | null;
  type?: string;
  runtime: string;
  status: "pending_config" | "active" | "disabled" | "quarantined";
  statusReason: string | null;
  health: "healthy" | "degraded" | "unhealthy" | "unknown";
  healthReason?: string | null;
  grants: string[];
  pendingPermissions: string[];
  config: Record<string, unknown>;
  installedAt: string;
  updatedAt: string;
}

const statusColours = { active: "green", pending_config: "yellow", disabled: "dim", quarantined: "red" } as const;

export function showStatus({ print }: Pick<Cli, "print">, { status }: Pick<InstallationAnswer, "status">): string {
  return print.colour(statusColours[status] ?? "dim", status);
}

/** One sentence on what became of an installation, and what is left to do. */
export function printInstallation(cli: Pick<Cli, "print">, installation: InstallationAnswer): void {
  const { print } = cli;
  const { id, version, status, statusReason, pendingPermissions } = installation;
  print.line(
    `${printable(id)} ${printable(version)} is ${showStatus(cli, installation)}${statusReason ? `: ${printable(statusReason)}` : ""}`,
  );
  if (pendingPermissions.length > 0) {
    print.line(`  waits for approval: ${pendingPermissions.map(printable).join(", ")}`);
    print.line(`  approve with: backplane grants ${id} --grant all`);
  }
  if (status === "pending_config" || status === "disabled") print.line(`  activate with: backplane activate ${id}`);
}

/** Value of an option that may be given several times or as a list with commas. */
export function collect(value: string, before: string[] = []): string[] {
  return [
    ...before,
    ...value
      .split(",")
      .map((part) => part.trim())
      .filter(Boolean),
  ];
}

/** `all` anywhere means all. Undefined when the option was not given. */
export function grantsOf(given: readonly string[] | undefined): "all" | string[] | undefined {
  return given === undefined ? undefined : given.includes("all") ? "all" : [...given];
}
