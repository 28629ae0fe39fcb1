/** Calls (https://www.twilio.com/docs/voice/api/call-resource) and what callers left (https://www.twilio.com/docs/voice/api/recording). */
import { type Entity, type RawItem, ref } from "@backplane/plugin-api";
import { accountPath, type Context, get, type History } from "./history.ts";
import { callsOfChannel, conversationEntity, type Party, partiesOf, type Seen, voicemailsStored } from "./parties.ts";

export interface TwilioCall {
  sid: string;
  parent_call_sid?: string | null;
  direction?: string | null;
  from?: string | null;
  to?: string | null;
  status?: string | null;
  start_time?: string | null;
  end_time?: string | null;
  date_created?: string | null;
  date_updated?: string | null;
  duration?: string | null;
}

interface Recording {
  sid: string;
  source?: string | null;
  status?: string | null;
  start_time?: string | null;
  date_created?: string | null;
  duration?: string | null;
  uri?: string | null;
}

interface CallData {
  call: TwilioCall;
  inbound: boolean;
  party: Party;
  voicemails: { recording: Recording; isNew: boolean }[];
}

const missedStates = new Set(["busy", "failed", "no-answer", "canceled"]);
const states = new Set(["queued", "ringing", "in-progress", "completed", ...missedStates]);

export function callHistory(ctx: Context, seen: Seen): History<TwilioCall> {
  return {
    type: "call",
    resource: "Calls",
    rows: "calls",
    time: "StartTime",
    async items(rows) {
      const stored = await callsOfChannel(
        ctx,
        rows.map(({ sid }) => sid),
      );
      // The leg to a number that a call is put through to is a part of that call.
      const calls = rows.filter(({ sid, direction }) => !stored.has(sid) && direction !== "outbound-dial");
      const parties = await partiesOf(ctx, calls.map(asContact), seen);
      const items: RawItem[] = [];
      for (const [at, call] of calls.entries()) {
        const inbound = isInbound(call);
        const data: CallData = {
          call,
          inbound,
          party: parties[at]!,
          voicemails: await voicemailsOf(ctx, call, inbound),
        };
        items.push({ id: call.sid, type: "call", data, updatedAt: iso(call.date_updated) ?? startOf(call) });
      }
      return items;
    },
  };
}

export const isInbound = ({ direction }: TwilioCall): boolean =>
  direction === "inbound" || direction === "trunking-originating";

const asContact = (call: TwilioCall) => {
  const inbound = isInbound(call);
  const [own, address] = inbound ? [call.to, call.from] : [call.from, call.to];
  return { channel: "voice", own: own ?? "", address: address ?? "", at: startOf(call), inbound };
};

/** What callers left: only the Record verb records a caller alone. */
async function voicemailsOf(ctx: Context, call: TwilioCall, inbound: boolean): Promise<CallData["voicemails"]> {
  if (!ctx.config.voicemails || !inbound || call.status !== "completed" || !Number(call.duration)) return [];
  const { recordings = [] } = await get<{ recordings?: Recording[] }>(
    ctx,
    `${accountPath(ctx)}/Calls/${call.sid}/Recordings.json`,
  );
  const left = recordings.filter(({ source, status }) => source === "RecordVerb" && status === "completed");
  if (left.length === 0) return [];
  const known = await voicemailsStored(
    ctx,
    left.map(({ sid }) => sid),
  );
  return left.map((recording) => ({ recording, isNew: !known.has(recording.sid) }));
}

export function callEntities({ data }: RawItem): Entity[] {
  const { call, inbound, party, voicemails } = data as CallData;
  const { contactId } = party;
  return [
    ...conversationEntity(party),
    {
      type: "calls",
      externalId: call.sid,
      data: {
        provider: "twilio",
        direction: inbound ? "inbound" : "outbound",
        from: call.from ?? "",
        to: call.to ?? "",
        conversationId: party.conversationId,
        contactId,
        fromContactId: inbound ? contactId : null,
        ...(states.has(call.status ?? "") ? { status: call.status } : {}),
        missed: inbound && (missedStates.has(call.status ?? "") || voicemails.length > 0),
        startedAt: startOf(call),
        endedAt: iso(call.end_time) ?? null,
        durationSeconds: Number(call.duration) || 0,
      },
    },
    ...voicemails.map(
      ({ recording, isNew }): Entity => ({
        type: "voicemails",
        externalId: recording.sid,
        data: {
          callId: ref("calls", call.sid),
          from: call.from ?? "",
          contactId,
          recordedAt: iso(recording.start_time) ?? iso(recording.date_created) ?? startOf(call),
          durationSeconds: Number(recording.duration) || 0,
          recordingUrl: `https://api.twilio.com${(recording.uri ?? "").replace(/\.json$/, "")}`,
          ...(isNew ? { listened: false } : {}),
        },
      }),
    ),
  ];
}

const startOf = (call: TwilioCall): string =>
  iso(call.start_time) ?? iso(call.date_created) ?? new Date(0).toISOString();

/** Twilio writes times as RFC 2822. */
export function iso(time: string | null | undefined): string | undefined {
  const parsed = Date.parse(time ?? "");
  return Number.isNaN(parsed) ? undefined : new Date(parsed).toISOString();
}
