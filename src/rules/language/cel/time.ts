/** Times and durations of CEL: reading them, and the parts of a time in any time zone. */
import { type Frame, fail } from "./failure.ts";
import { CelDuration } from "./values.ts";

const shape = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)$/;
const first = Date.parse("0001-01-01T00:00:00Z");
const last = Date.parse("9999-12-31T23:59:59.999Z");

export function readTimestamp(value: string | bigint | number, offset: number): Date {
  const time = typeof value === "string" ? (shape.test(value) ? Date.parse(value) : Number.NaN) : Number(value) * 1000;
  if (time >= first && time <= last) return new Date(time);
  return fail("argument", "This is no time; write RFC 3339, such as `2026-01-31T09:30:00Z`, or seconds.", offset);
}

/** Milliseconds. */
const units: Record<string, number> = { ns: 1e-6, us: 1e-3, µs: 1e-3, ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
const maxDuration = 315_576_000_000_000;

export function readDuration(text: string, offset: number): CelDuration {
  const parts = /^([+-]?)((?:\d{1,15}(?:\.\d{1,9})?(?:ns|us|µs|ms|s|m|h))+)$/.exec(text.slice(0, 200));
  let ms = 0;
  if (parts !== null)
    for (const [, amount, unit] of parts[2]!.matchAll(/([\d.]+)(ns|us|µs|ms|s|m|h)/g))
      ms += Number(amount) * units[unit!]!;
  if (parts === null || ms > maxDuration)
    return fail("argument", "This is no duration; write such as `90s`, `1h30m` or `24h`.", offset);
  return new CelDuration(parts[1] === "-" ? -ms : ms);
}

/** Timestamps beyond year 1 to 9999 have no RFC 3339 text. */
export function shift(time: Date, ms: number, offset: number): Date {
  const moved = time.getTime() + ms;
  return moved >= first && moved <= last ? new Date(moved) : fail("argument", "The time is out of range.", offset);
}

export type TimePart =
  | "getFullYear"
  | "getMonth"
  | "getDate"
  | "getDayOfMonth"
  | "getDayOfWeek"
  | "getDayOfYear"
  | "getHours"
  | "getMinutes"
  | "getSeconds"
  | "getMilliseconds";

/** Months, days of week, month and year count from 0 as CEL has it; only `getDate` counts from 1. */
export function timePart(part: TimePart, time: Date, zone: string | undefined, frame: Frame, offset: number): bigint {
  const local = zone === undefined || zone === "UTC" ? time : inZone(time, zone, frame, offset);
  switch (part) {
    case "getFullYear":
      return BigInt(local.getUTCFullYear());
    case "getMonth":
      return BigInt(local.getUTCMonth());
    case "getDate":
      return BigInt(local.getUTCDate());
    case "getDayOfMonth":
      return BigInt(local.getUTCDate() - 1);
    case "getDayOfWeek":
      return BigInt(local.getUTCDay());
    case "getDayOfYear":
      return BigInt(
        (Date.UTC(local.getUTCFullYear(), local.getUTCMonth(), local.getUTCDate()) -
          Date.UTC(local.getUTCFullYear(), 0, 1)) /
          86_400_000,
      );
    case "getHours":
      return BigInt(local.getUTCHours());
    case "getMinutes":
      return BigInt(local.getUTCMinutes());
    case "getSeconds":
      return BigInt(local.getUTCSeconds());
    case "getMilliseconds":
      return BigInt(local.getUTCMilliseconds());
  }
}

const maxKept = 64;
const formats = new Map<string, Intl.DateTimeFormat>();

/** A Date whose UTC fields are what a clock in `zone` shows. */
function inZone(time: Date, zone: string, frame: Frame, offset: number): Date {
  frame.spend(40, offset);
  const fixed = /^([+-]?)(\d{1,2}):(\d\d)$/.exec(zone);
  if (fixed !== null)
    return new Date(time.getTime() + (fixed[1] === "-" ? -1 : 1) * (Number(fixed[2]) * 60 + Number(fixed[3])) * 60_000);
  let format = formats.get(zone);
  if (format === undefined) {
    frame.spend(2_000, offset);
    try {
      format = new Intl.DateTimeFormat("en-US", {
        timeZone: zone.slice(0, 64),
        hourCycle: "h23",
        year: "numeric",
        month: "numeric",
        day: "numeric",
        hour: "numeric",
        minute: "numeric",
        second: "numeric",
      });
    } catch {
      return fail("argument", "There is no such time zone; write such as `Europe/Berlin`.", offset);
    }
    if (formats.size >= maxKept) formats.delete(formats.keys().next().value!);
    formats.set(zone, format);
  }
  const parts: Record<string, number> = {};
  for (const { type, value } of format.formatToParts(time)) parts[type] = Number(value);
  return new Date(
    Date.UTC(
      parts["year"]!,
      parts["month"]! - 1,
      parts["day"]!,
      parts["hour"]!,
      parts["minute"]!,
      parts["second"]!,
      time.getUTCMilliseconds(),
    ),
  );
}
