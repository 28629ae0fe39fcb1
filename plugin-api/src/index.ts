/**
 * What a plugin author compiles against. Nothing here does work at run time but {@link definePlugin}, {@link ref} and two error guards:
 * the platform supplies everything else through `ctx`.
 */
import type { ConfigShape } from "./context.ts";
import type { PluginDefinition } from "./definition.ts";

export type {
  CallSession,
  Channel,
  ChannelChanges,
  IncomingEvent,
  OutboundCall,
  OutboundFax,
  OutboundMessage,
  SendReceipt,
} from "./channel.ts";
export type {
  ActionResult,
  Connector,
  ConnectorAction,
  Entity,
  IncomingChanges,
  RawItem,
  RealtimeRegistration,
  SyncOptions,
} from "./connector.ts";
export type {
  Bytes,
  ConfigShape,
  CryptoAbilities,
  DataAbilities,
  EmitOptions,
  EntityFilter,
  ExecutionInfo,
  FieldOperators,
  HmacOptions,
  HttpAbilities,
  KeptSecret,
  Logger,
  Page,
  PageOptions,
  PermissionAbilities,
  PluginCallAbilities,
  PluginContext,
  QueryOptions,
  RowOf,
  SealAnswer,
  SecretHandle,
  SecretsAbilities,
  StorageAbilities,
  StoredFileInfo,
} from "./context.ts";
export type { DataAdapter, Filters, Row } from "./data-adapter.ts";
export type {
  EventHandler,
  HealthReport,
  PluginDefinition,
  PluginEvent,
  PluginFunction,
  WebhookHandler,
  WebhookRequest,
  WebhookResponse,
} from "./definition.ts";
export type { AbilityError, AuthorErrorCode, HttpError } from "./errors.ts";
export { authorErrorCodes, isAbilityError, isHttpError } from "./errors.ts";
export type { Manifest, ManifestContributes, ManifestFunction, ManifestResources, PluginType } from "./manifest.ts";
export type {
  AccountData,
  ActivityData,
  CalendarEventData,
  CallData,
  ContactData,
  ConversationData,
  DeviceData,
  EntityMeta,
  EntityOf,
  EntityReference,
  EntityType,
  EntityTypes,
  FileData,
  FoodData,
  HealthSampleData,
  LocationData,
  MessageData,
  PlaceData,
  TaskData,
  TransactionData,
  VoicemailData,
} from "./model/entity-types.ts";
export { entitySchemas, ref } from "./model/entity-types.ts";
export type { ActionOperator, ConditionOperator, RuleContext, RuleVariable } from "./operators.ts";

/**
 * Declares a plugin. Gives back what it was given; its use is that the compiler knows every handler's arguments.
 *
 * Name the shape of the configuration to have `ctx.config` typed: `definePlugin<{ greeting: string }>({ … })`.
 *
 * @example
 * export default definePlugin<{ greeting: string }>({
 *   functions: {
 *     async hello({ who }, ctx) {
 *       return { text: `${ctx.config.greeting}, ${who}` };
 *     },
 *   },
 * });
 */
export function definePlugin<Config extends object = ConfigShape>(
  definition: PluginDefinition<Config>,
): PluginDefinition<Config> {
  return definition;
}
