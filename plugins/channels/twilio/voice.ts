/** What callers hear and where a call goes, as TwiML (https://www.twilio.com/docs/voice/twiml). */
import type { Parameters, Step } from "./incoming.ts";

export interface VoiceConfig {
  voiceGreeting?: string;
  forwardTo?: string;
  voicemail?: boolean;
  transcribe?: boolean;
}

const dialSeconds = 20;
const recordSeconds = 120;

/** The answer to a call that comes in, and to each step after it. `url` is the webhook's own address. */
export function answerCall(config: VoiceConfig, parameters: Parameters, step: string | null, url: string): string {
  if (step === "dialed")
    return parameters["DialCallStatus"] === "completed" || parameters["DialCallStatus"] === "answered"
      ? "<Hangup/>"
      : takeMessage(config, url);
  if (step !== null) return "<Hangup/>";
  if (parameters["CallStatus"] !== undefined && parameters["CallStatus"] !== "ringing") return "";
  if (config.forwardTo)
    return `<Dial timeout="${dialSeconds}" action="${at(url, "dialed")}">${escapeXml(config.forwardTo)}</Dial>`;
  return takeMessage(config, url);
}

function takeMessage(config: VoiceConfig, url: string): string {
  const greeting = config.voiceGreeting ? `<Say>${escapeXml(config.voiceGreeting)}</Say>` : "";
  if (!config.voicemail) return `${greeting}<Hangup/>`;
  const transcribe = config.transcribe ? ` transcribe="true" transcribeCallback="${at(url, "transcribed")}"` : "";
  return `${greeting}<Record maxLength="${recordSeconds}" playBeep="true" action="${at(url, "recorded")}"${transcribe}/><Hangup/>`;
}

function at(url: string, step: Step): string {
  const { origin, pathname } = new URL(url);
  return escapeXml(`${origin}${pathname}?step=${step}`);
}

export const twimlDocument = (body: string): string =>
  `<?xml version="1.0" encoding="UTF-8"?>${body === "" ? "<Response/>" : `<Response>${body}</Response>`}`;

export const escapeXml = (text: string): string => text.replace(/[<>&"']/g, (c) => `&#${c.charCodeAt(0)};`);
