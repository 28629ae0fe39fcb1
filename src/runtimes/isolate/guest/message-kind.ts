/** What crosses between the runner and the pump inside an isolate. Shared by both; never seen by plugin code. */

/** Runner to guest: five values a message: kind, id, aux, a, b. */
export const Inbound = {
  /** id: call id of the load · a: JSON GuestEnvironment · b: JSON of the pump's limits */
  load: 1,
  /** id: call · aux: 1 when chunks are taken · a: JSON {handler, environment} · b: JSON array of arguments */
  call: 2,
  /** id: call */
  cancel: 3,
  /** id: call · aux: ability call · a: "1" for an error · b: JSON */
  answer: 4,
  /** id: call · aux: further chunks that may be sent */
  credit: 5,
  /** a: comma-separated timer numbers that are due */
  timers: 6,
  /** id: call; runs `stop` */
  stop: 7,
} as const;

/**
 * Guest to runner: records in one text, `KIND id aux nameLength bodyLength\n` followed by name and body (lengths in
 * UTF-16 units).
 */
export const Outbound = {
  result: "R",
  /** aux: CallFault */
  error: "E",
  /** aux: ability call · name: ability */
  ability: "A",
  /** name: ability */
  message: "M",
  chunk: "C",
  /** id: ms · aux: timer */
  timer: "T",
  /** aux: timer */
  clearTimer: "D",
  /** body: JSON error that nobody caught */
  uncaught: "U",
} as const;

export interface PumpLimits {
  pendingAbilityCalls: number;
  timers: number;
  /** Size of one message, UTF-16 units. */
  messageBytes: number;
  /** Log text of one call, UTF-16 units. */
  logBytes: number;
  /** Everything but results that may leave with one entry, UTF-16 units. */
  outboxBytes: number;
}
