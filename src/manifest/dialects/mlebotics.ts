/** MLEbotics' manifest: `capabilities`, its seven permissions, and `config` as a list of fields. */
import { isObject } from "../../base/json.ts";
import { didYouMean } from "../near-miss.ts";
import { clip, type Fault } from "../path.ts";
import { readConfigList } from "./config-list.ts";
import type { Dialect } from "./dialect.ts";

export const mleboticsCapabilities = [
  "workflow_step",
  "robot_adapter",
  "world_entity",
  "ui_panel",
  "dashboard_widget",
  "data_source",
  "notification",
];

export const mlebotics: Dialect = {
  name: "mlebotics",
  recognises: (raw) => Array.isArray(raw["config"]) && !isObject(raw["permissions"]),
  read(raw) {
    const { config, ...manifest } = raw;
    const list = readConfigList(Array.isArray(config) ? config : []);
    const faults: Fault[] = [...list.faults];
    if ("configSchema" in raw)
      faults.push({
        path: ["config"],
        at: "key",
        message: "`config` and `configSchema` cannot stand together; keep one.",
      });
    for (const [i, capability] of (Array.isArray(raw["capabilities"]) ? raw["capabilities"] : []).entries()) {
      if (typeof capability === "string" && !mleboticsCapabilities.includes(capability)) {
        const hint =
          didYouMean(capability, mleboticsCapabilities) ||
          ` Known: ${mleboticsCapabilities.map((name) => `\`${name}\``).join(", ")}.`;
        faults.push({ path: ["capabilities", i], message: `\`${clip(capability)}\` is not a capability.${hint}` });
      }
    }
    return {
      manifest: { ...manifest, configSchema: list.schema },
      origins: [...list.origins, [["configSchema"], ["config"]]],
      faults,
    };
  },
};
