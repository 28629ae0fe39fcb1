/** Twilio as a connector: the account's calls, messages and voicemail of the past. What happens now is the channel's, `io.twilio.sms`. */
import { definePlugin, isHttpError, type RawItem, type SyncOptions } from "@backplane/plugin-api";
import { callEntities, callHistory } from "./calls.ts";
import { accountPath, type Config, type Context, type Cursor, get, type History, listHistory } from "./history.ts";
import { messageEntities, messageHistory } from "./messages.ts";

export default definePlugin<Config>({
  connector: {
    sync: syncAll,
    mapToUnifiedModel: (item) => (item.type === "call" ? callEntities(item) : messageEntities(item)),
  },
  async health(ctx) {
    try {
      const { status } = await get<{ status?: string }>(ctx, `${accountPath(ctx)}.json`);
      return status === "active"
        ? { status: "healthy" }
        : { status: "unhealthy", message: `The Twilio account is ${status}.` };
    } catch (error) {
      if (!isHttpError(error, 401)) throw error;
      return { status: "unhealthy", message: "Twilio does not accept the account SID with this auth token." };
    }
  },
});

async function* syncAll(
  { types, cursors = {} }: SyncOptions,
  ctx: Context,
): AsyncGenerator<RawItem, { cursors: Record<string, Cursor> }> {
  const seen = new Map();
  const ended: Record<string, Cursor> = {};
  for (const history of [callHistory(ctx, seen), messageHistory(ctx, seen)] as History<unknown>[]) {
    const { type } = history;
    if (types && !types.includes(type)) continue;
    ended[type] = yield* listHistory(ctx, history, cursors[type] as Cursor | undefined);
  }
  return { cursors: ended };
}
