/** How PostgreSQL's text values become JavaScript values, on both drivers: bigint and numeric as number, timestamptz as Date, jsonb parsed. */
import pg from "pg";

const int8 = 20;
const numeric = 1700;
const int8Array = 1016;

const parseNumber = (text: string): number => Number(text);
const parseInt8Array = pg.types.getTypeParser(int8Array as never, "text") as unknown as (text: string) => unknown[];

export const pgTypes: pg.CustomTypesConfig = {
  getTypeParser: ((oid: number, format?: "text" | "binary") => {
    if (format !== "binary") {
      if (oid === int8 || oid === numeric) return parseNumber;
      if (oid === int8Array)
        return (text: string) => parseInt8Array(text).map((item) => (item === null ? null : Number(item)));
    }
    return pg.types.getTypeParser(oid, format as "text");
  }) as pg.CustomTypesConfig["getTypeParser"],
};
