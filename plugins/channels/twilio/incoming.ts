/** What Twilio's webhooks say, as items: one for each thing that happened, under an id that is the same when it is sent again. */

export type Parameters = Record<string, string>;

export interface Incoming {
  id: string;
  /** Items of one key are handled in order: those of one call, and what one person sends. */
  key: string;
  kind: "message" | "message_status" | "call" | "call_status" | "voicemail" | "transcript";
  /** RFC 3339: when the webhook came. Twilio's own do not carry a time. */
  receivedAt: string;
  parameters: Parameters;
}

/** Steps of a call that this plugin's TwiML leads Twilio back with, as `?step=`. */
export type Step = "dialed" | "recorded" | "transcribed";

/** Call states that mean nobody answered (https://www.twilio.com/docs/voice/api/call-resource#call-status-values). */
export const missedStates: ReadonlySet<string> = new Set(["busy", "failed", "no-answer", "canceled"]);

/** Nothing for a request that says nothing we know. */
export function readIncoming(parameters: Parameters, step: string | null, receivedAt: string): Incoming | undefined {
  const { MessageSid, SmsSid, CallSid, MessageStatus, CallStatus, From } = parameters;
  const message = MessageSid ?? SmsSid;
  const item = (kind: Incoming["kind"], id: string, key: string): Incoming => ({
    id,
    key,
    kind,
    receivedAt,
    parameters,
  });
  // A status callback names the state in the id, so that each state is handled once.
  if (message !== undefined && parameters["Body"] === undefined && MessageStatus !== undefined)
    return item("message_status", `${message}:${MessageStatus}`, message);
  if (message !== undefined) return item("message", message, From ?? message);
  if (CallSid === undefined) return undefined;
  if (step === "recorded")
    return parameters["RecordingSid"] === undefined
      ? item("call_status", `${CallSid}:unrecorded`, CallSid)
      : item("voicemail", parameters["RecordingSid"], CallSid);
  if (step === "transcribed") return item("transcript", `${parameters["RecordingSid"] ?? CallSid}:transcript`, CallSid);
  if (step === "dialed") return item("call_status", `${CallSid}:dial-${parameters["DialCallStatus"]}`, CallSid);
  if (
    parameters["CallbackSource"] === undefined &&
    parameters["SequenceNumber"] === undefined &&
    (CallStatus === undefined || CallStatus === "ringing")
  )
    return item("call", CallSid, CallSid);
  return item("call_status", `${CallSid}:${CallStatus}`, CallSid);
}

export function mediaOf(parameters: Parameters): { url: string; contentType: string | null }[] {
  const count = Math.min(Number(parameters["NumMedia"] ?? 0) || 0, 10);
  return Array.from({ length: count }, (_, n) => ({
    url: parameters[`MediaUrl${n}`] ?? "",
    contentType: parameters[`MediaContentType${n}`] ?? null,
  })).filter((media) => media.url !== "");
}
