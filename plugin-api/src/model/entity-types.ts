/**
 * The unified data model: the types of entity that plugins share, each a JSON Schema from which its TypeScript type is
 * inferred. Known fields are checked when a row is written; further fields, and types that are not here, are kept as they are.
 */
import { type AccountData, accountsSchema } from "./accounts.ts";
import { type ActivityData, activitiesSchema } from "./activities.ts";
import { type CalendarEventData, calendarEventsSchema } from "./calendar-events.ts";
import { type CallData, callsSchema } from "./calls.ts";
import { type ContactData, contactsSchema } from "./contacts.ts";
import { type ConversationData, conversationsSchema } from "./conversations.ts";
import { type DeviceData, devicesSchema } from "./devices.ts";
import { type FileData, filesSchema } from "./files.ts";
import { type FoodData, foodsSchema } from "./foods.ts";
import { type HealthSampleData, healthSamplesSchema } from "./health-samples.ts";
import { type LocationData, locationsSchema } from "./locations.ts";
import { type MessageData, messagesSchema } from "./messages.ts";
import { type PlaceData, placesSchema } from "./places.ts";
import { type TaskData, tasksSchema } from "./tasks.ts";
import { type TransactionData, transactionsSchema } from "./transactions.ts";
import { type VoicemailData, voicemailsSchema } from "./voicemails.ts";

export const entitySchemas = {
  contacts: contactsSchema,
  calendar_events: calendarEventsSchema,
  conversations: conversationsSchema,
  messages: messagesSchema,
  calls: callsSchema,
  voicemails: voicemailsSchema,
  tasks: tasksSchema,
  places: placesSchema,
  locations: locationsSchema,
  activities: activitiesSchema,
  health_samples: healthSamplesSchema,
  foods: foodsSchema,
  accounts: accountsSchema,
  transactions: transactionsSchema,
  devices: devicesSchema,
  files: filesSchema,
} as const;

/** Fields by type. All are optional: a write may name some and leave the others as they are. */
export interface EntityTypes {
  contacts: ContactData;
  calendar_events: CalendarEventData;
  conversations: ConversationData;
  messages: MessageData;
  calls: CallData;
  voicemails: VoicemailData;
  tasks: TaskData;
  places: PlaceData;
  locations: LocationData;
  activities: ActivityData;
  health_samples: HealthSampleData;
  foods: FoodData;
  accounts: AccountData;
  transactions: TransactionData;
  devices: DeviceData;
  files: FileData;
}

export type EntityType = keyof EntityTypes;

/** What the hub adds to the fields of every row that it gives. */
export interface EntityMeta {
  id: string;
  source: string | null;
  externalId: string | null;
  /** Begins at 1 and grows with every change. */
  version: number;
  /** RFC 3339 UTC, as all times. */
  createdAt: string;
  updatedAt: string;
  /** Only on rows that are deleted and were asked for. */
  deletedAt?: string;
  /** Rows that stand for the same person, on linked contacts. */
  linkedIds?: string[];
}

/** A row of a type of the model, or of another type; further fields may be there. */
export type EntityOf<Type extends string> = EntityMeta &
  (Type extends EntityType ? EntityTypes[Type] : unknown) & { [field: string]: unknown };

/** Stands in data for the id of another row until that is known: see {@link ref}. */
export interface EntityReference {
  $ref: string;
  externalId: string;
  source?: string;
}

/**
 * The row that a source calls `externalId`: the hub puts its id in this place when the item is stored, or null where there
 * is no such row. Rows of the same batch count.
 *
 * @param source where that row comes from, when it is another source than the item's own
 * @example
 * { type: "transactions", externalId: "tx-1", data: { accountId: ref("accounts", "acc-1"), amount: 12.5 } }
 */
export function ref(type: string, externalId: string, source?: string): EntityReference {
  return { $ref: type, externalId, ...(source === undefined ? {} : { source }) };
}

export type {
  AccountData,
  ActivityData,
  CalendarEventData,
  CallData,
  ContactData,
  ConversationData,
  DeviceData,
  FileData,
  FoodData,
  HealthSampleData,
  LocationData,
  MessageData,
  PlaceData,
  TaskData,
  TransactionData,
  VoicemailData,
};
