/**
 * Posts to Slack with chat.postMessage (https://api.slack.com/methods/chat.postMessage): a bearer token, a JSON body, and an
 * answer that is HTTP 200 with `ok: false` and an `error` word when Slack refused. HTTP 429 carries `Retry-After`.
 */
import { definePlugin, isHttpError, type PluginContext, type SecretHandle } from "@backplane/plugin-api";

interface Config {
  channel: string;
  token: SecretHandle;
}

interface PostMessageAnswer {
  ok: boolean;
  error?: string;
  channel?: string;
  ts?: string;
}

interface MessageReceived {
  channel?: string;
  from?: string;
  body?: string;
}

export default definePlugin<Config>({
  functions: {
    notify: ({ text, channel }: { text: string; channel?: string }, ctx) => post(ctx, text, channel),
  },
  subscriptions: {
    async "comms.MessageReceived"(event, ctx) {
      const message = event.data as MessageReceived;
      await post(
        ctx,
        `New ${message.channel ?? "message"} from ${escapeText(message.from ?? "unknown")}: ${escapeText(message.body ?? "")}`,
      );
    },
  },
  async health(ctx) {
    const answer = await ctx.http.post<PostMessageAnswer>("https://slack.com/api/auth.test", {}, authorization(ctx));
    return answer.ok
      ? { status: "healthy" }
      : { status: "unhealthy", message: `Slack refuses the token: ${answer.error}` };
  },
});

const authorization = (ctx: PluginContext<Config>): Record<string, string> => ({
  authorization: `Bearer ${ctx.config.token}`,
});

async function post(
  ctx: PluginContext<Config>,
  text: string,
  channel: string = ctx.config.channel,
): Promise<{ channel: string; ts: string }> {
  try {
    const answer = await ctx.http.post<PostMessageAnswer>(
      "https://slack.com/api/chat.postMessage",
      { channel, text },
      authorization(ctx),
    );
    if (!answer.ok) throw new Error(`Slack refused the message: ${answer.error ?? "no reason given"}`);
    ctx.logger.info(`posted to ${answer.channel ?? channel}`, { ts: answer.ts });
    return { channel: answer.channel ?? channel, ts: answer.ts ?? "" };
  } catch (error) {
    if (isHttpError(error, 429)) throw new Error(`Slack asks to wait ${error.headers["retry-after"] ?? "a while"} s`);
    throw error;
  }
}

/** Slack reads `&`, `<` and `>` as control characters (https://api.slack.com/reference/surfaces/formatting). */
function escapeText(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
