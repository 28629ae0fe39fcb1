/** Which installations may share a runner process: those with the same group. */

export type IsolationMode = "organisation" | "plugin" | "shared";

export interface IsolationSubject {
  organization: string;
  installation: string;
  /** Marked by the hub admin: never shares, whatever the mode. */
  highRisk?: boolean;
}

export function isolationGroup(
  mode: IsolationMode,
  { organization, installation, highRisk = false }: IsolationSubject,
): string {
  if (highRisk || mode === "plugin") return `installation:${installation}`;
  return mode === "shared" ? "shared" : `organization:${organization}`;
}
