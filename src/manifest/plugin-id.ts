/** Plugin ids: lower-case ASCII with one spelling, so that neither case nor a look-alike letter makes a second plugin. */
import { manifestSchema } from "../../plugin-api/src/manifest.ts";
import { clip } from "./path.ts";

const { pattern, maxLength } = manifestSchema.$defs.pluginId;
const shape = new RegExp(pattern);

export function isPluginId(text: string): boolean {
  return text.length <= maxLength && shape.test(text);
}

/** Undefined when `text` is a plugin id; else a sentence that says what to write. */
export function pluginIdFault(text: string): string | undefined {
  if (isPluginId(text)) return undefined;
  if (text.length > maxLength) return `A plugin id has at most ${maxLength} characters; this has ${text.length}.`;
  const plain = text
    .normalize("NFKD")
    .toLowerCase()
    .replace(/^@/, "")
    .replace(/[_\s\\:]+/g, "-")
    .replace(/[^a-z0-9./-]/g, "")
    .replace(/([./-])[./-]+/g, "$1")
    .replace(/^[./-]+|[./-]+$/g, "");
  const hint = isPluginId(plain) ? ` Did you mean \`${plain}\`?` : "";
  const reason = /[^\x20-\x7e]/.test(text)
    ? "it has characters other than ASCII, which can look like others"
    : /[A-Z]/.test(text)
      ? "it has upper-case letters"
      : text.split("/").length > 2
        ? "it has more than one `/`"
        : "only lower-case letters, digits, `.`, `-` and one `/` may be used";
  return `\`${clip(text)}\` is not a plugin id: ${reason}.${hint || " Write something like `acme.greeter` or `acme/greeter`."}`;
}
