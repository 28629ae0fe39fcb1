/** Text that the database can hold and a header or log line bears. */
import { z } from "zod";
import { isStorableText } from "../bus/event-record.ts";

export const storableText = (max: number): z.ZodString =>
  z.string().max(max).refine(isStorableText, "must be well-formed text without control characters");
