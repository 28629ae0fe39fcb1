/** Nominal id types: ids of different things must not be mixed. Values are plain strings at run time. */

declare const brand: unique symbol;
export type Brand<T, Name extends string> = T & { readonly [brand]: Name };

export type OrganizationId = Brand<string, "OrganizationId">;
export type PluginId = Brand<string, "PluginId">;
export type InstallationId = Brand<string, "InstallationId">;
export type ExecutionId = Brand<string, "ExecutionId">;
export type EventId = Brand<string, "EventId">;
/** `sha256:` followed by 64 lower-case hex digits. */
export type Digest = Brand<string, "Digest">;

export const asOrganizationId = (value: string): OrganizationId => value as OrganizationId;
export const asPluginId = (value: string): PluginId => value as PluginId;
export const asInstallationId = (value: string): InstallationId => value as InstallationId;
export const asExecutionId = (value: string): ExecutionId => value as ExecutionId;
export const asEventId = (value: string): EventId => value as EventId;
export const asDigest = (value: string): Digest => value as Digest;
