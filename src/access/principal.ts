/** Who calls, and what a role may do. Pure. */
import type { OrganizationId } from "../base/brands.ts";

/** `viewer` reads; `member` also invokes, publishes, cancels, retries; `admin` does all in its organisation. */
export type Role = "viewer" | "member" | "admin";

export type Principal =
  | { readonly kind: "hub_admin" }
  | { readonly kind: "key"; readonly organization: OrganizationId; readonly role: Role; readonly keyId: string };

const rank: Readonly<Record<Role, number>> = { viewer: 1, member: 2, admin: 3 };

export function isRole(value: unknown): value is Role {
  return typeof value === "string" && Object.hasOwn(rank, value);
}

/** True when `role` may do what `needed` may. */
export function atLeast(role: Role, needed: Role): boolean {
  return rank[role] >= rank[needed];
}

/** How records name the caller: `hub_admin` or `key:<id>`. */
export function actorOf(principal: Principal): string {
  return principal.kind === "hub_admin" ? "hub_admin" : `key:${principal.keyId}`;
}
