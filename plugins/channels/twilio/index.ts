/** Twilio as a channel: signed webhooks in (answered with TwiML, handled later), messages and calls out over the REST API. */
import {
  type ChannelChanges,
  definePlugin,
  type Entity,
  type PluginContext,
  ref,
  type SecretHandle,
  type WebhookResponse,
} from "@backplane/plugin-api";
import { createAccessToken } from "./access-token.ts";
import { type Incoming, mediaOf, missedStates, readIncoming } from "./incoming.ts";
import { contactOf, conversationKey, conversationRow } from "./records.ts";
import { createCall, fetchAccount, sendMessage } from "./rest.ts";
import { isForm, isSignedByTwilio } from "./signature.ts";
import { answerCall, twimlDocument } from "./voice.ts";

interface Config {
  accountSid: string;
  authToken: SecretHandle;
  from?: string;
  voiceGreeting?: string;
  forwardTo?: string;
  voicemail?: boolean;
  transcribe?: boolean;
  apiKeySid?: string;
  apiKeySecret?: SecretHandle;
  twimlAppSid?: string;
}

type Context = PluginContext<Config>;

export default definePlugin<Config>({
  async webhook(request, ctx) {
    if (!(await isSignedByTwilio(request, ctx.config.authToken, ctx.crypto))) {
      ctx.logger.warn("refused a webhook whose signature does not verify", { url: request.url });
      return { status: 403, body: "signature does not verify", accept: [] };
    }
    const parameters = isForm(request) ? Object.fromEntries(new URLSearchParams(request.rawBody)) : {};
    const step = new URL(request.url).searchParams.get("step");
    const incoming = readIncoming(parameters, step, new Date().toISOString());
    const isCall = parameters["CallSid"] !== undefined && parameters["CallbackSource"] === undefined;
    return twiml(isCall ? answerCall(ctx.config, parameters, step, request.url) : "", incoming ? [incoming] : []);
  },
  channel: {
    type: "sms",
    async handleIncomingEvent(payload, ctx) {
      const incoming = payload as Incoming;
      return takers[incoming.kind](incoming, ctx);
    },
    sendMessage: (message, ctx) => sendMessage(ctx, message),
    async placeCall(call, ctx) {
      const { from, ...session } = await createCall(ctx, call);
      const at = new Date().toISOString();
      const contactId = await contactOf(ctx.data, call.to);
      const party = { channel: "voice", own: from, address: call.to, at, inbound: false } as const;
      const { externalId, data } = conversationRow(party, contactId);
      await ctx.data.upsert("conversations", { externalId, ...data });
      await ctx.data.upsert("calls", {
        externalId: session.id,
        provider: "twilio",
        direction: "outbound",
        from,
        to: call.to,
        conversationId: ref("conversations", externalId),
        contactId,
        startedAt: at,
        status: session.status,
        missed: false,
      });
      return session;
    },
    generateAccessToken: (userId, ctx) => createAccessToken(userId, ctx.config, ctx.crypto),
    // https://www.twilio.com/docs/fax: the service ended on 17 December 2021.
    async sendFax() {
      throw new Error("Twilio ended its fax service on 17 December 2021: no fax can be sent.");
    },
  },
  functions: {
    sendMessage: (parameters: { to: string; body: string; from?: string; mediaUrl?: string }, ctx) =>
      sendMessage(ctx, {
        id: ctx.execution.id,
        ...parameters,
        ...(parameters.mediaUrl ? { attachments: [{ url: parameters.mediaUrl }] } : {}),
      }),
  },
  async health(ctx) {
    const { status } = await fetchAccount(ctx);
    return status === "active"
      ? { status: "healthy" }
      : { status: "unhealthy", message: `The Twilio account is ${status}.` };
  },
});

const twiml = (body: string, accept: Incoming[]): WebhookResponse => ({
  status: 200,
  headers: { "content-type": "text/xml; charset=utf-8" },
  body: twimlDocument(body),
  accept,
});

const takers: Record<Incoming["kind"], (incoming: Incoming, ctx: Context) => ChannelChanges | Promise<ChannelChanges>> =
  {
    message: takeMessage,
    message_status: takeMessageStatus,
    call: takeCall,
    call_status: takeCallStatus,
    voicemail: takeVoicemail,
    transcript: takeTranscript,
  };

async function takeMessage({ id, receivedAt, parameters }: Incoming, ctx: Context): Promise<ChannelChanges> {
  const { MessageSid, SmsSid, From = "", To = "", Body = "" } = parameters;
  const externalId = MessageSid ?? SmsSid!;
  const media = mediaOf(parameters);
  const contactId = await contactOf(ctx.data, From);
  const party = { channel: "sms", own: To, address: From, at: receivedAt, inbound: true } as const;
  const conversation = conversationRow(party, contactId);
  const conversationId = ref("conversations", conversation.externalId);
  const message = {
    provider: "twilio",
    channel: "sms",
    direction: "inbound",
    from: From,
    to: [To],
    body: Body,
    media,
    conversationId,
    contactId,
    fromContactId: contactId,
    sentAt: receivedAt,
    status: "received",
  };
  const event = {
    messageId: ref("messages", externalId),
    conversationId,
    channel: "sms",
    provider: "twilio",
    externalId,
    from: From,
    to: To,
    body: Body,
    media,
    fromContactId: contactId,
    sentAt: receivedAt,
    // STOP, START or HELP, when Twilio has answered such a word itself.
    ...(parameters["OptOutType"] ? { optOut: parameters["OptOutType"] } : {}),
  };
  return {
    entities: [
      { type: "conversations", ...conversation },
      { type: "messages", externalId, data: message },
    ],
    events: [{ type: "comms.MessageReceived", data: event, id, ...(From ? { subject: From } : {}) }],
  };
}

function takeMessageStatus({ id, parameters }: Incoming): ChannelChanges {
  const providerStatus = parameters["MessageStatus"] ?? "";
  const data = {
    channel: "sms",
    provider: "twilio",
    externalId: parameters["MessageSid"] ?? parameters["SmsSid"],
    status: messageStates[providerStatus] ?? providerStatus,
    providerStatus,
    errorCode: parameters["ErrorCode"] ?? null,
  };
  const { To } = parameters;
  return { events: [{ type: "comms.MessageStatus", data, id, ...(To ? { subject: To } : {}) }] };
}

/** https://www.twilio.com/docs/messaging/api/message-resource#message-status-values in the words of the unified model. */
const messageStates: Record<string, string> = {
  accepted: "queued",
  scheduled: "queued",
  queued: "queued",
  sending: "sending",
  sent: "sent",
  delivered: "delivered",
  read: "read",
  undelivered: "undelivered",
  failed: "failed",
  canceled: "failed",
};

async function takeCall({ id, receivedAt, parameters }: Incoming, ctx: Context): Promise<ChannelChanges> {
  const { entities, call } = await callRows(
    parameters,
    { startedAt: receivedAt, status: "ringing", missed: false },
    ctx,
  );
  return { entities, events: [eventOf("comms.CallReceived", call, id)] };
}

async function takeCallStatus({ receivedAt, parameters }: Incoming, ctx: Context): Promise<ChannelChanges> {
  const { CallSid = "", CallStatus, DialCallStatus, CallDuration } = parameters;
  const inbound = parameters["Direction"] !== "outbound-api" && parameters["Direction"] !== "outbound-dial";
  const unanswered =
    DialCallStatus !== undefined ? missedStates.has(DialCallStatus) : missedStates.has(CallStatus ?? "");
  const ended = DialCallStatus !== undefined || unanswered || CallStatus === "completed";
  const change = {
    status: DialCallStatus !== undefined && unanswered ? DialCallStatus : (CallStatus ?? "in-progress"),
    ...(CallStatus === "in-progress" ? { answeredAt: receivedAt } : {}),
    ...(ended ? { endedAt: receivedAt } : {}),
    ...(CallDuration ? { durationSeconds: Number(CallDuration) } : {}),
    ...(inbound && unanswered ? { missed: true } : {}),
  };
  const known = await callOf(CallSid, ctx);
  // Nobody took the forwarded call: what Twilio says of the caller's side afterwards does not make it answered.
  if (known?.missed && CallStatus === "completed") change.status = known.status;
  const started = known ? change : { startedAt: receivedAt, missed: false, ...change };
  const { entities, call } = await callRows(parameters, started, ctx);
  return { entities, events: inbound && unanswered ? [missedEvent(call)] : [] };
}

const eventOf = (type: "comms.CallReceived" | "comms.CallMissed", call: CallData, id: string) => ({
  ...{ type, data: call, id },
  ...(call.from ? { subject: call.from } : {}),
});

/** A call is missed once, however many webhooks say so: they share the event's id. */
const missedEvent = (call: CallData) => eventOf("comms.CallMissed", call, `${call.externalId}:missed`);

async function takeVoicemail({ id, receivedAt, parameters }: Incoming, ctx: Context): Promise<ChannelChanges> {
  const { RecordingSid = "", RecordingUrl = "", RecordingDuration } = parameters;
  const change = { missed: true, status: "no-answer", endedAt: receivedAt };
  const { entities, call } = await callRows(parameters, change, ctx);
  const { callId, from, fromContactId } = call;
  const durationSeconds = Number(RecordingDuration ?? 0) || 0;
  const said = { callId, from, durationSeconds, recordingUrl: RecordingUrl };
  const voicemail = { ...said, contactId: fromContactId, recordedAt: receivedAt, listened: false };
  const event = {
    ...said,
    voicemailId: ref("voicemails", RecordingSid),
    provider: "twilio",
    externalId: RecordingSid,
    fromContactId,
  };
  return {
    entities: [...entities, { type: "voicemails", externalId: RecordingSid, data: voicemail }],
    events: [
      missedEvent(call),
      { type: "comms.VoicemailReceived", data: event, id, ...(from ? { subject: from } : {}) },
    ],
  };
}

function takeTranscript({ parameters }: Incoming): ChannelChanges {
  const { RecordingSid, TranscriptionText, TranscriptionStatus } = parameters;
  if (!RecordingSid || TranscriptionStatus !== "completed") return {};
  return {
    entities: [{ type: "voicemails", externalId: RecordingSid, data: { transcript: TranscriptionText ?? "" } }],
  };
}

interface KnownCall {
  missed: boolean;
  status: string;
}

async function callOf(sid: string, ctx: Context): Promise<KnownCall | undefined> {
  const [call] = await ctx.data.query<KnownCall>("calls", { externalId: sid, source: "io.twilio.sms" }, { limit: 1 });
  return call;
}

type Ref = ReturnType<typeof ref>;

interface CallData {
  callId: Ref;
  conversationId: Ref;
  channel: "voice";
  provider: "twilio";
  externalId: string;
  from: string;
  to: string;
  status: string;
  fromContactId: string | null;
}

/** The row of a call, that of its conversation when it begins, and what its events say. */
async function callRows(
  parameters: Record<string, string>,
  change: { status: string; startedAt?: string; endedAt?: string; missed?: boolean },
  ctx: Context,
): Promise<{ entities: Entity[]; call: CallData }> {
  const { CallSid = "", From = "", To = "", Direction } = parameters;
  const inbound = Direction !== "outbound-api" && Direction !== "outbound-dial";
  const at = change.startedAt;
  const party = { channel: "voice", own: inbound ? To : From, address: inbound ? From : To, inbound } as const;
  const contactId = await contactOf(ctx.data, party.address);
  const conversationId = ref("conversations", conversationKey(party));
  const fromContactId = inbound ? contactId : null;
  const row = {
    provider: "twilio",
    direction: inbound ? "inbound" : "outbound",
    from: From,
    to: To,
    contactId,
    fromContactId,
    ...(at ? { conversationId } : {}),
    ...change,
  };
  return {
    entities: [
      ...(at ? [{ type: "conversations", ...conversationRow({ ...party, at }, contactId) }] : []),
      { type: "calls", externalId: CallSid, data: row },
    ],
    call: {
      callId: ref("calls", CallSid),
      conversationId,
      channel: "voice",
      provider: "twilio",
      externalId: CallSid,
      from: From,
      to: To,
      status: change.status,
      fromContactId,
    },
  };
}
