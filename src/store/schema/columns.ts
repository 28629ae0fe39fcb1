/** Kinds of columns as Kysely sees them: what is read, what is inserted, what is updated. */
import type { ColumnType } from "kysely";
import type { JsonInput } from "../json.ts";

export type Jsonb<T> = ColumnType<T, JsonInput, JsonInput>;
export type JsonbDefault<T> = ColumnType<T, JsonInput | undefined, JsonInput>;
export type JsonbOrNull<T> = ColumnType<T | null, JsonInput | null | undefined, JsonInput | null>;
export type Optional<T> = ColumnType<T | null, T | null | undefined, T | null>;
export type TimeDefault = ColumnType<Date, Date | undefined, Date>;
