/** The two log levels the bus speaks in; a pino logger fits. */
export interface BusLog {
  warn(details: object, message: string): void;
  error(details: object, message: string): void;
}

export const silentLog: BusLog = { warn() {}, error() {} };
