/** Messages in and out, newest first, as the data model has them. */
import type { OrganizationId } from "../base/brands.ts";
import type { Entities } from "../entities/entities.ts";

export interface ListMessages {
  direction?: "inbound" | "outbound" | undefined;
  channel?: string | undefined;
  contactId?: string | undefined;
  conversationId?: string | undefined;
  status?: string | undefined;
  /** 1–200. @default 50 */
  limit?: number | undefined;
  cursor?: string | undefined;
}

export interface MessagePage {
  messages: Record<string, unknown>[];
  nextCursor: string | null;
}

/** Error: `invalid_cursor`. */
export async function listMessages(
  entities: Pick<Entities, "page">,
  organization: OrganizationId,
  { limit = 50, cursor, ...filter }: ListMessages,
): Promise<MessagePage> {
  // Equality only: a value from outside must not be read as an operator.
  const equal = Object.fromEntries(
    Object.entries(filter).flatMap(([field, value]) => (value === undefined ? [] : [[field, { $eq: String(value) }]])),
  );
  const { items, nextCursor } = await entities.page(organization, "messages", equal, {
    limit: Math.min(Math.max(limit, 1), 200),
    orderBy: "-sentAt",
    ...(cursor === undefined ? {} : { cursor }),
  });
  return { messages: items, nextCursor };
}
