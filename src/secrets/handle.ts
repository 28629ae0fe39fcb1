/**
 * Handles: the opaque strings a guest holds instead of secrets. Written `bpsec.v1.<field>.<mark>` with characters that
 * survive URLs, forms and JSON unchanged, so that they are found wherever a plugin puts them.
 */
import type { SecretBinding, Vault } from "./vault.ts";

export const HANDLE_PREFIX = "bpsec.v1.";
/** The mark has a fixed length, so text may follow a handle directly. */
const HANDLE = /bpsec\.v1\.[A-Za-z0-9_-]{1,64}\.[A-Za-z0-9_-]{27}/g;

/** A field's handles, the current master key's first. Equal after a restart; different in every installation. */
export function handlesFor(vault: Vault, binding: SecretBinding, name = binding.field): string[] {
  const label = name.replace(/[^A-Za-z0-9_-]/g, "_").slice(0, 64) || "_";
  const text = JSON.stringify([binding.organization, binding.installation, binding.field]);
  return vault.mark(text).map((mark) => `${HANDLE_PREFIX}${label}.${mark}`);
}

/** Every handle in `text`, in order. */
export function findHandles(text: string): string[] {
  return text.match(HANDLE) ?? [];
}

export function replaceHandles(text: string, replace: (handle: string) => string): string {
  return text.replace(HANDLE, replace);
}
