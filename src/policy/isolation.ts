/** Which installations may share a runner process: those with the same group. */

export type IsolationMode = "organisation" | "plugin" | "shared";

/** `highRisk`: marked by the hub admin; such an installation never shares, whatever the mode. */
export function isolationGroup(
  mode: IsolationMode,
  organization: string,
  installation: string,
  highRisk = false,
): string {
  if (highRisk || mode === "plugin") return `installation:${installation}`;
  return mode === "shared" ? "shared" : `organization:${organization}`;
}
