/** Twilio as a channel: signed webhooks in (answered with TwiML, handled later), messages and calls out over the REST API. */
import { definePlugin, type PluginContext, type SecretHandle, type WebhookResponse } from "@backplane/plugin-api";
import { createAccessToken } from "./access-token.ts";
import { type Incoming, mediaOf, missedStates, readIncoming } from "./incoming.ts";
import { contactOf, conversationOf } from "./records.ts";
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
      await takers[incoming.kind](incoming, ctx);
    },
    sendMessage: (message, ctx) => sendMessage(ctx, message),
    async placeCall(call, ctx) {
      const { from, ...session } = await createCall(ctx, call);
      const at = new Date().toISOString();
      const { conversationId, contactId } = await conversationOf(ctx.data, {
        channel: "voice",
        own: from,
        address: call.to,
        at,
        inbound: false,
      });
      await ctx.data.upsert("calls", {
        externalId: session.id,
        provider: "twilio",
        direction: "outbound",
        from,
        to: call.to,
        conversationId,
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

const takers: Record<Incoming["kind"], (incoming: Incoming, ctx: Context) => Promise<void>> = {
  message: takeMessage,
  message_status: takeMessageStatus,
  call: takeCall,
  call_status: takeCallStatus,
  voicemail: takeVoicemail,
  transcript: takeTranscript,
};

async function takeMessage({ id, receivedAt, parameters }: Incoming, ctx: Context): Promise<void> {
  const { MessageSid, SmsSid, From = "", To = "", Body = "" } = parameters;
  const externalId = MessageSid ?? SmsSid!;
  const media = mediaOf(parameters);
  const { conversationId, contactId } = await conversationOf(ctx.data, {
    channel: "sms",
    own: To,
    address: From,
    at: receivedAt,
    inbound: true,
  });
  const message = await ctx.data.upsert<{ id: string }>("messages", {
    externalId,
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
  });
  await ctx.emitEvent(
    "comms.MessageReceived",
    {
      messageId: message.id,
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
    },
    { id, subject: From },
  );
}

async function takeMessageStatus({ id, parameters }: Incoming, ctx: Context): Promise<void> {
  const providerStatus = parameters["MessageStatus"] ?? "";
  await ctx.emitEvent(
    "comms.MessageStatus",
    {
      channel: "sms",
      provider: "twilio",
      externalId: parameters["MessageSid"] ?? parameters["SmsSid"],
      status: messageStates[providerStatus] ?? providerStatus,
      providerStatus,
      errorCode: parameters["ErrorCode"] ?? null,
    },
    { id, subject: parameters["To"] ?? "" },
  );
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

async function takeCall({ id, receivedAt, parameters }: Incoming, ctx: Context): Promise<void> {
  const call = await storeCall(parameters, { startedAt: receivedAt, status: "ringing", missed: false }, ctx);
  await ctx.emitEvent("comms.CallReceived", call, { id, subject: call.from });
}

async function takeCallStatus({ receivedAt, parameters }: Incoming, ctx: Context): Promise<void> {
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
  const call = await storeCall(parameters, known ? change : { startedAt: receivedAt, missed: false, ...change }, ctx);
  if (inbound && unanswered) await publishMissed(call, ctx);
}

/** A call is missed once, however many webhooks say so: they share the event's id. */
const publishMissed = (call: CallData, ctx: Context): Promise<unknown> =>
  ctx.emitEvent("comms.CallMissed", call, { id: `${call.externalId}:missed`, subject: call.from });

async function takeVoicemail({ id, receivedAt, parameters }: Incoming, ctx: Context): Promise<void> {
  const { RecordingSid = "", RecordingUrl = "", RecordingDuration } = parameters;
  const call = await storeCall(parameters, { missed: true, status: "no-answer", endedAt: receivedAt }, ctx);
  await publishMissed(call, ctx);
  const durationSeconds = Number(RecordingDuration ?? 0) || 0;
  const voicemail = await ctx.data.upsert<{ id: string }>("voicemails", {
    externalId: RecordingSid,
    callId: call.callId,
    contactId: call.fromContactId,
    from: call.from,
    recordedAt: receivedAt,
    durationSeconds,
    recordingUrl: RecordingUrl,
    listened: false,
  });
  await ctx.emitEvent(
    "comms.VoicemailReceived",
    {
      voicemailId: voicemail.id,
      callId: call.callId,
      provider: "twilio",
      externalId: RecordingSid,
      from: call.from,
      fromContactId: call.fromContactId,
      recordingUrl: RecordingUrl,
      durationSeconds,
    },
    { id, subject: call.from },
  );
}

async function takeTranscript({ parameters }: Incoming, ctx: Context): Promise<void> {
  const { RecordingSid, TranscriptionText, TranscriptionStatus } = parameters;
  if (!RecordingSid || TranscriptionStatus !== "completed") return;
  await ctx.data.upsert("voicemails", { externalId: RecordingSid, transcript: TranscriptionText ?? "" });
}

interface KnownCall {
  missed: boolean;
  status: string;
}

async function callOf(sid: string, ctx: Context): Promise<KnownCall | undefined> {
  const [call] = await ctx.data.query<KnownCall>("calls", { externalId: sid, source: "io.twilio.sms" }, { limit: 1 });
  return call;
}

interface CallData {
  callId: string;
  conversationId: string | null;
  channel: "voice";
  provider: "twilio";
  externalId: string;
  from: string;
  to: string;
  status: string;
  fromContactId: string | null;
}

/** Writes the row of a call, and gives what its events say. */
async function storeCall(
  parameters: Record<string, string>,
  change: { status: string; startedAt?: string; endedAt?: string; missed?: boolean },
  ctx: Context,
): Promise<CallData> {
  const { CallSid = "", From = "", To = "", Direction } = parameters;
  const inbound = Direction !== "outbound-api" && Direction !== "outbound-dial";
  const at = change.startedAt;
  const party = at
    ? await conversationOf(ctx.data, {
        channel: "voice",
        own: inbound ? To : From,
        address: inbound ? From : To,
        at,
        inbound,
      })
    : { contactId: await contactOf(ctx.data, inbound ? From : To) };
  const call = await ctx.data.upsert<{ id: string; conversationId?: string | null }>("calls", {
    externalId: CallSid,
    provider: "twilio",
    direction: inbound ? "inbound" : "outbound",
    from: From,
    to: To,
    ...party,
    fromContactId: inbound ? party.contactId : null,
    ...change,
  });
  return {
    callId: call.id,
    conversationId: call.conversationId ?? null,
    channel: "voice",
    provider: "twilio",
    externalId: CallSid,
    from: From,
    to: To,
    status: change.status,
    fromContactId: inbound ? party.contactId : null,
  };
}
