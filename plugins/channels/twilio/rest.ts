/**
 * The calls of Twilio's REST API that this plugin makes: form posts with basic auth, answered 201 with the new resource.
 * https://www.twilio.com/docs/messaging/api/message-resource, https://www.twilio.com/docs/voice/api/call-resource
 */
import type {
  CallSession,
  OutboundCall,
  OutboundMessage,
  PluginContext,
  SecretHandle,
  SendReceipt,
} from "@backplane/plugin-api";
import { escapeXml, twimlDocument } from "./voice.ts";

export interface Account {
  accountSid: string;
  authToken: SecretHandle;
  from?: string;
}

type Context<Config extends Account> = PluginContext<Config>;

/** States of a call that Twilio is to report. */
const callEvents = ["initiated", "ringing", "answered", "completed"];

export async function sendMessage<Config extends Account>(
  ctx: Context<Config>,
  message: OutboundMessage,
): Promise<Required<SendReceipt>> {
  const from = senderOf(ctx, message.from);
  const form = new URLSearchParams({ To: message.to });
  if (message.body !== "") form.set("Body", message.body);
  form.set(from.startsWith("MG") ? "MessagingServiceSid" : "From", from);
  for (const { url } of message.attachments ?? []) form.append("MediaUrl", url);
  if (message.webhookUrl) form.set("StatusCallback", message.webhookUrl);
  const sent = await ctx.http.post<{ sid: string; status: string }>(
    `https://api.twilio.com/2010-04-01/Accounts/${ctx.config.accountSid}/Messages.json`,
    form,
    { authorization: authorization(ctx) },
  );
  return { externalId: sent.sid, status: sent.status };
}

export async function createCall<Config extends Account>(
  ctx: Context<Config>,
  call: OutboundCall,
): Promise<CallSession & { from: string }> {
  const from = senderOf(ctx, call.from);
  if (from.startsWith("MG")) throw new Error("A messaging service cannot place calls: name a number in `from`.");
  const form = new URLSearchParams({ To: call.to, From: from });
  if (call.instructionsUrl) form.set("Url", call.instructionsUrl);
  else form.set("Twiml", twimlDocument(call.message ? `<Say>${escapeXml(call.message)}</Say>` : "<Hangup/>"));
  if (call.webhookUrl) {
    form.set("StatusCallback", call.webhookUrl);
    for (const event of callEvents) form.append("StatusCallbackEvent", event);
  }
  const placed = await ctx.http.post<{ sid: string; status: string }>(
    `https://api.twilio.com/2010-04-01/Accounts/${ctx.config.accountSid}/Calls.json`,
    form,
    { authorization: authorization(ctx) },
  );
  return { id: placed.sid, status: placed.status, from };
}

export const fetchAccount = <Config extends Account>(ctx: Context<Config>): Promise<{ status: string }> =>
  ctx.http.get(`https://api.twilio.com/2010-04-01/Accounts/${ctx.config.accountSid}.json`, {
    authorization: authorization(ctx),
  });

const authorization = <Config extends Account>({ config }: Context<Config>): string =>
  `Basic ${btoa(`${config.accountSid}:${config.authToken}`)}`;

function senderOf<Config extends Account>(ctx: Context<Config>, named: string | undefined): string {
  const from = named ?? ctx.config.from;
  if (!from) throw new Error("No sender: set `from` in the configuration, or name one with the message.");
  return from;
}
