/** What a manifest says about sensitive data: traits, classification, compliance and permissions must agree. */
import { isObject } from "../base/json.ts";
import type { Fault } from "./path.ts";
import { declaredPermissions, type Raw, texts } from "./raw-manifest.ts";

export function assuranceFaults(raw: Raw): Fault[] {
  const faults: Fault[] = [];
  const traits = new Set(texts(raw["traits"]).map(([, trait]) => trait));
  const classes = texts(isObject(raw["security"]) ? raw["security"]["dataClassification"] : undefined).map(
    ([, name]) => name,
  );
  const controls = texts(isObject(raw["compliance"]) ? raw["compliance"]["hipaaControls"] : undefined);
  for (const [i, trait] of texts(raw["traits"])) {
    if (["admin", "root", "system"].includes(trait))
      faults.push({ path: ["traits", i], message: `The trait \`${trait}\` is reserved; no plugin may have it.` });
  }
  for (const kind of ["pii", "phi"]) {
    if (traits.has(`handles_${kind}`) && !classes.includes(kind)) {
      faults.push({
        path: ["traits"],
        message: `A plugin with the trait \`handles_${kind}\` must name \`${kind}\` in \`security.dataClassification\`.`,
      });
    }
    if (classes.includes(kind) && !traits.has(`handles_${kind}`)) {
      faults.push({
        path: ["security", "dataClassification"],
        message: `A plugin that handles \`${kind}\` must have the trait \`handles_${kind}\`.`,
      });
    }
    if (traits.has(`handles_${kind}`) && !traits.has("audit_required")) {
      faults.push({
        path: ["traits"],
        message: `A plugin with the trait \`handles_${kind}\` must have the trait \`audit_required\` as well.`,
      });
    }
  }
  if (traits.has("handles_phi") && controls.length === 0) {
    faults.push({
      path: ["compliance"],
      message: "A plugin with the trait `handles_phi` must name its `compliance.hipaaControls`, such as `164.312(a)`.",
    });
  }
  const days = isObject(raw["compliance"]) ? raw["compliance"]["dataRetentionDays"] : undefined;
  if (traits.has("handles_phi") && typeof days === "number" && days < 2555) {
    faults.push({
      path: ["compliance", "dataRetentionDays"],
      message: "Health data is kept for at least 2555 days (seven years).",
    });
  }
  if (traits.has("external_service") && !declaredPermissions(raw).some((text) => text.startsWith("network:outbound"))) {
    faults.push({
      path: ["traits"],
      message:
        "A plugin with the trait `external_service` must ask for `network:outbound:<host>` of each host it calls.",
    });
  }
  return faults;
}
