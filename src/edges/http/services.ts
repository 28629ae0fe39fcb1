/** What the HTTP routes call; the composition root supplies it. */
import type { Access } from "../../access/access.ts";
import type { Audit } from "../../audit/audit.ts";
import type { Consumers } from "../../bus/consumers.ts";
import type { Deliveries } from "../../bus/deliveries.ts";
import type { EventLog } from "../../bus/event-log.ts";
import type { Channels } from "../../channels/channels.ts";
import type { Connections } from "../../connections/connections.ts";
import type { Connectors } from "../../connectors/connectors.ts";
import type { Entities } from "../../entities/entities.ts";
import type { Installations } from "../../installations/installations.ts";
import type { Executions } from "../../invocation/executions.ts";
import type { Invoker } from "../../invocation/invoker.ts";
import type { Lifecycle } from "../../lifecycle/lifecycle.ts";
import type { Packages } from "../../packages/packages.ts";
import type { Rules } from "../../rules/rules.ts";
import type { Store } from "../../store/store.ts";
import type { Webhooks } from "../../webhooks/webhooks.ts";

export interface HttpServices {
  store: Store;
  access: Access;
  audit: Audit;
  packages: Packages;
  installations: Installations;
  lifecycle: Lifecycle;
  connections: Connections;
  invoker: Invoker;
  executions: Executions;
  entities: Entities;
  eventLog: EventLog;
  consumers: Consumers;
  deliveries: Deliveries;
  webhooks: Webhooks;
  connectors: Connectors;
  channels: Channels;
  rules: Rules;
  /** Prometheus text. */
  metrics(): Promise<{ contentType: string; body: string }>;
  /** What `doctor` prints. */
  diagnose(): Promise<unknown>;
  publicUrl(): string;
}
