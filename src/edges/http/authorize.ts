/** Who calls, whether the route's rule lets them, and which organisation is meant. One hook asks it for every route. */
import type { FastifyRequest } from "fastify";
import { type Access, actorOf, atLeast, type Principal } from "../../access/access.ts";
import { asOrganizationId, type OrganizationId } from "../../base/brands.ts";
import { BackplaneError } from "../../errors/error.ts";
import type { RouteSpec } from "./route.ts";

export interface Authorized {
  principal: Principal | undefined;
  organization: OrganizationId | undefined;
  actor: string;
}

/** Errors: `unauthenticated`, `forbidden`, `organization_required`, `not_found` (no such organisation, or not the caller's). */
export type Authorize = (request: FastifyRequest, rule: RouteSpec["access"]) => Promise<Authorized>;

export function createAuthorize(access: Pick<Access, "authenticate" | "organizationExists">): Authorize {
  return async (request, rule) => {
    if ("public" in rule) return { principal: undefined, organization: undefined, actor: "anonymous" };
    const principal = await access.authenticate(request.headers.authorization);
    if (!principal) throw new BackplaneError("unauthenticated");
    const actor = actorOf(principal);
    if ("hubAdmin" in rule) {
      if (principal.kind !== "hub_admin") throw new BackplaneError("forbidden", { role: "the hub admin's token" });
      return { principal, organization: undefined, actor };
    }
    const organization = await organizationFor(access, principal, request);
    if (principal.kind === "key" && !atLeast(principal.role, rule.role))
      throw new BackplaneError("forbidden", { role: `the role ${rule.role}` });
    return { principal, organization, actor };
  };
}

/** The path names it, else the header, else the key belongs to it; a key never reaches another organisation. */
async function organizationFor(
  access: Pick<Access, "organizationExists">,
  principal: Principal,
  request: FastifyRequest,
): Promise<OrganizationId> {
  const { org } = request.params as { org?: unknown };
  const header = request.headers["x-organization-id"];
  const named = [org, header].filter((name): name is string => typeof name === "string" && name !== "");
  if (principal.kind === "key") {
    if (named.some((name) => name !== principal.organization)) throw noSuchOrganization();
    return principal.organization;
  }
  const [organization] = named;
  if (organization === undefined) {
    throw new BackplaneError(
      "organization_required",
      {},
      { errors: [{ path: "x-organization-id", message: "is required with the hub admin's token" }] },
    );
  }
  if (!(await access.organizationExists(organization))) throw noSuchOrganization();
  return asOrganizationId(organization);
}

const noSuchOrganization = (): BackplaneError => new BackplaneError("not_found", { thing: "organisation" });
