/** The query shapes that docs/data-model.md promises to be fast, and rows to ask them of. For the test of the plans and for the measurement. */
import { sql } from "kysely";
import type { Store } from "../store/store.ts";
import type { QueryOptions } from "./page-statement.ts";

export interface QueryShape {
  name: string;
  type: string;
  filter: object;
  options?: QueryOptions;
}

const at = (second: number): string => new Date(1.6e12 + second * 1000).toISOString();

export const queryShapes: readonly QueryShape[] = [
  { name: "newest contacts", type: "contacts", filter: {} },
  {
    name: "contacts changed since",
    type: "contacts",
    filter: { updatedAt: { $gt: "2023-12-31T00:10:00Z" } },
    options: { orderBy: "updatedAt" },
  },
  {
    name: "a contact by source and external id",
    type: "contacts",
    filter: { source: "acme.crm", externalId: "contacts-77" },
  },
  { name: "contacts by telephone number", type: "contacts", filter: { "phones.number": "+15550000077" } },
  { name: "contacts by e-mail address", type: "contacts", filter: { "emails.address": "p77@example.com" } },
  { name: "contacts by words", type: "contacts", filter: { $text: "person77 comp" } },
  { name: "contacts by tag", type: "contacts", filter: { tags: "vip" } },
  {
    name: "messages of a contact, newest first",
    type: "messages",
    filter: { contactId: "k7" },
    options: { orderBy: "-sentAt" },
  },
  {
    name: "messages of a contact in a time window",
    type: "messages",
    filter: { contactId: "k7", sentAt: { $gte: at(0), $lt: at(50_000) } },
    options: { orderBy: "sentAt" },
  },
  {
    name: "messages of a conversation",
    type: "messages",
    filter: { conversationId: "c7" },
    options: { orderBy: "sentAt" },
  },
  { name: "latest messages", type: "messages", filter: {}, options: { orderBy: "-sentAt" } },
  { name: "messages by words", type: "messages", filter: { $text: "number77" } },
  {
    name: "missed calls of a contact in a time window",
    type: "calls",
    filter: { contactId: "k7", missed: true, startedAt: { $gte: at(0) } },
    options: { orderBy: "-startedAt" },
  },
  {
    name: "voicemails not heard yet",
    type: "voicemails",
    filter: { listened: false },
    options: { orderBy: "-recordedAt" },
  },
  {
    name: "open follow-ups by due time",
    type: "tasks",
    filter: { kind: "follow_up", status: "open" },
    options: { orderBy: "dueAt" },
  },
  {
    name: "transactions of an account, latest first",
    type: "transactions",
    filter: { accountId: "a7" },
    options: { orderBy: "-date" },
  },
  {
    name: "samples of a metric in a time window",
    type: "health_samples",
    filter: { metric: "steps", startedAt: { $gte: at(0), $lt: at(50_000) } },
    options: { orderBy: "startedAt" },
  },
  { name: "latest locations", type: "locations", filter: {}, options: { orderBy: "-recordedAt", limit: 1 } },
  {
    name: "activities in a time window",
    type: "activities",
    filter: { startedAt: { $gte: at(100), $lt: at(50_000) } },
    options: { orderBy: "startedAt" },
  },
  {
    name: "the calendar of a week",
    type: "calendar_events",
    filter: { startsAt: { $gte: at(100), $lt: at(614_800) } },
    options: { orderBy: "startsAt" },
  },
  { name: "a plugin's own type by a field", type: "acme_orders", filter: { number: 77 } },
];

const time = (field: string): string =>
  `'${field}', to_char(timestamp '2020-09-13 12:26:40' + n * interval '1 second', 'YYYY-MM-DD"T"HH24:MI:SS".000Z"')`;

const data: Readonly<Record<string, string>> = {
  contacts: `'displayName', 'Person' || n || ' Surname' || n % 997, 'company', 'Company' || n % 200, 'emails', jsonb_build_array(jsonb_build_object('address', 'p' || n || '@example.com', 'label', 'work')),
    'phones', jsonb_build_array(jsonb_build_object('number', '+1555' || lpad(n::text, 7, '0'), 'label', 'mobile'))`,
  messages: `'contactId', 'k' || n % 997, 'conversationId', 'c' || n % 997, 'direction', 'inbound', 'channel', 'sms', 'from', '+1555' || n, 'to', jsonb_build_array('+1'), 'body', 'message number' || n || ' says what people say', 'status', 'received', ${time("sentAt")}`,
  calls: `'contactId', 'k' || n % 97, 'missed', n % 5 = 0, 'status', 'completed', ${time("startedAt")}`,
  voicemails: `'listened', n % 50 <> 0, 'from', '+1', ${time("recordedAt")}`,
  tasks: `'kind', case n % 3 when 0 then 'follow_up' else 'chore' end, 'status', case n % 20 when 0 then 'open' else 'done' end, 'title', 'Task ' || n, ${time("dueAt")}`,
  transactions: `'accountId', 'a' || n % 41, 'amount', n % 500, 'name', 'Shop ' || n % 300, 'date', to_char(date '2020-09-13' + n / 200, 'YYYY-MM-DD')`,
  health_samples: `'metric', (array['steps','heart_rate','weight','sleep'])[n % 4 + 1], 'value', n % 180, 'unit', 'x', ${time("startedAt")}`,
  locations: `'latitude', 52.5, 'longitude', 13.4, 'deviceId', 'd' || n % 3, ${time("recordedAt")}`,
  activities: `'activityType', 'walking', 'steps', n, ${time("startedAt")}`,
  calendar_events: `'title', 'Meeting ' || n, 'status', 'confirmed', ${time("startsAt")}`,
  acme_orders: `'number', n, 'state', case n % 2 when 0 then 'new' else 'sent' end`,
};

/** Of all rows. */
const shares: Readonly<Record<string, number>> = {
  contacts: 0.1,
  messages: 0.3,
  calls: 0.05,
  voicemails: 0.02,
  tasks: 0.03,
  transactions: 0.1,
  health_samples: 0.15,
  locations: 0.15,
  activities: 0.02,
  calendar_events: 0.04,
  acme_orders: 0.04,
};

/** About `rows` rows of all types in the organisation, and the statistics that the planner needs. */
export async function seedEntities(store: Store, organization: string, rows: number): Promise<void> {
  for (const [type, fields] of Object.entries(data)) {
    const count = Math.ceil(rows * shares[type]!);
    for (let from = 0; from < count; from += 20_000) {
      const to = Math.min(from + 20_000, count) - 1;
      await sql`insert into entities (organization_id, type, id, source, external_id, data, plugin_id, created_at, updated_at)
        select ${organization}, ${type}, ${`${type}-`} || n, 'acme.crm', ${`${type}-`} || n,
          jsonb_build_object(${sql.raw(fields)}) || case when n % 1000 = 7 then '{"tags": ["vip"]}'::jsonb else '{}' end, 'acme.crm',
          timestamptz '2020-09-13 12:26:40Z' + n * interval '1 second', timestamptz '2024-01-01Z' - interval '1 day' + n * interval '1 second'
        from generate_series(${from}::int, ${to}::int) as n`.execute(store.db);
    }
  }
  await sql`analyze entities`.execute(store.db);
}
