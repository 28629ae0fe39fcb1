/** Twilio as a channel: webhooks in (verified, answered with TwiML, handled later), messages out over the REST API. */
import {
  definePlugin,
  type OutboundMessage,
  type PluginContext,
  type SecretHandle,
  type SendReceipt,
  type WebhookResponse,
} from "@backplane/plugin-api";
import { isForm, isSignedByTwilio } from "./signature.ts";

interface Config {
  accountSid: string;
  authToken: SecretHandle;
  from?: string;
  voiceGreeting?: string;
}

type Parameters = Record<string, string>;

/** One accepted webhook: what happened, under an id that is the same when Twilio sends it again. */
interface Incoming {
  id: string;
  /** Keeps what one person sends in order. */
  key: string;
  kind: "message" | "message_status" | "call" | "call_status";
  parameters: Parameters;
}

/** Call states that mean nobody answered (https://www.twilio.com/docs/voice/api/call-resource#call-status-values). */
const missedStates = new Set(["busy", "failed", "no-answer", "canceled"]);

export default definePlugin<Config>({
  async webhook(request, ctx) {
    if (!(await isSignedByTwilio(request, ctx.config.authToken, ctx.crypto))) {
      ctx.logger.warn("refused a webhook whose signature does not verify", { url: request.url });
      return { status: 403, body: "signature does not verify", accept: [] };
    }
    const incoming = readIncoming(isForm(request) ? Object.fromEntries(new URLSearchParams(request.rawBody)) : {});
    if (!incoming) return twiml("<Response/>", []);
    return twiml(incoming.kind === "call" ? voiceAnswer(ctx.config.voiceGreeting) : "<Response/>", [incoming]);
  },
  channel: {
    type: "sms",
    async handleIncomingEvent(payload, ctx) {
      const { id, kind, parameters } = payload as Incoming;
      const subject = parameters["From"] ?? "";
      const publish = (type: string, data: object): Promise<unknown> => ctx.emitEvent(type, data, { id, subject });
      switch (kind) {
        case "message":
          await publish("comms.MessageReceived", {
            channel: "sms",
            provider: "twilio",
            externalId: parameters["MessageSid"],
            from: parameters["From"],
            to: parameters["To"],
            body: parameters["Body"] ?? "",
            media: mediaOf(parameters),
          });
          break;
        case "message_status":
          await publish("comms.MessageStatus", {
            channel: "sms",
            provider: "twilio",
            externalId: parameters["MessageSid"],
            status: parameters["MessageStatus"],
            errorCode: parameters["ErrorCode"] ?? null,
          });
          break;
        case "call":
          await publish("comms.CallReceived", {
            channel: "voice",
            provider: "twilio",
            externalId: parameters["CallSid"],
            from: parameters["From"],
            to: parameters["To"],
            status: parameters["CallStatus"],
          });
          break;
        case "call_status":
          if (missedStates.has(parameters["CallStatus"] ?? "")) {
            await publish("comms.CallMissed", {
              channel: "voice",
              provider: "twilio",
              externalId: parameters["CallSid"],
              from: parameters["From"],
              to: parameters["To"],
              status: parameters["CallStatus"],
            });
          }
          break;
      }
    },
    sendMessage: (message, ctx) => send(ctx, message),
  },
  functions: {
    sendMessage: (parameters: { to: string; body: string; from?: string; mediaUrl?: string }, ctx) =>
      send(ctx, {
        id: ctx.execution.id,
        ...parameters,
        ...(parameters.mediaUrl ? { attachments: [{ url: parameters.mediaUrl }] } : {}),
      }),
  },
});

const twiml = (body: string, accept: Incoming[]): WebhookResponse => ({
  status: 200,
  headers: { "content-type": "text/xml; charset=utf-8" },
  body: `<?xml version="1.0" encoding="UTF-8"?>${body}`,
  accept,
});

const voiceAnswer = (greeting: string | undefined): string =>
  greeting ? `<Response><Say>${escapeXml(greeting)}</Say></Response>` : "<Response><Hangup/></Response>";

const escapeXml = (text: string): string => text.replace(/[<>&"']/g, (c) => `&#${c.charCodeAt(0)};`);

function readIncoming(parameters: Parameters): Incoming | undefined {
  const { MessageSid, SmsSid, CallSid, MessageStatus, CallStatus, From } = parameters;
  const message = MessageSid ?? SmsSid;
  const key = From ?? message ?? CallSid ?? "";
  // A status callback names the state in the id, so that each state is handled once.
  if (message !== undefined && parameters["Body"] === undefined && MessageStatus !== undefined) {
    return { id: `${message}:${MessageStatus}`, key: message, kind: "message_status", parameters };
  }
  if (message !== undefined) return { id: message, key, kind: "message", parameters };
  if (CallSid !== undefined && parameters["CallbackSource"] !== undefined)
    return { id: `${CallSid}:${CallStatus}`, key: CallSid, kind: "call_status", parameters };
  if (CallSid !== undefined && (CallStatus === undefined || CallStatus === "ringing"))
    return { id: CallSid, key: CallSid, kind: "call", parameters };
  if (CallSid !== undefined) return { id: `${CallSid}:${CallStatus}`, key: CallSid, kind: "call_status", parameters };
  return undefined;
}

function mediaOf(parameters: Parameters): { url: string; contentType: string | null }[] {
  const count = Math.min(Number(parameters["NumMedia"] ?? 0) || 0, 10);
  return Array.from({ length: count }, (_, n) => ({
    url: parameters[`MediaUrl${n}`] ?? "",
    contentType: parameters[`MediaContentType${n}`] ?? null,
  })).filter((media) => media.url !== "");
}

/** https://www.twilio.com/docs/messaging/api/message-resource#create-a-message-resource: form post, basic auth, 201 with `sid` and `status`. */
async function send(ctx: PluginContext<Config>, message: OutboundMessage): Promise<Required<SendReceipt>> {
  const { accountSid, authToken } = ctx.config;
  const from = message.from ?? ctx.config.from;
  if (!from) throw new Error("No sender: set `from` in the configuration, or name one with the message.");
  const form = new URLSearchParams({ To: message.to, Body: message.body });
  form.set(from.startsWith("MG") ? "MessagingServiceSid" : "From", from);
  for (const { url } of message.attachments ?? []) form.append("MediaUrl", url);
  const sent = await ctx.http.post<{ sid: string; status: string }>(
    `https://api.twilio.com/2010-04-01/Accounts/${accountSid}/Messages.json`,
    form,
    {
      authorization: `Basic ${btoa(`${accountSid}:${authToken}`)}`,
    },
  );
  return { externalId: sent.sid, status: sent.status };
}
