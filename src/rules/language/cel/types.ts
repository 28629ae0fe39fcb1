/** Types that the checker knows. `dyn` is what only the run knows, such as a field of an event. */

export type CelType =
  | "dyn"
  | "null"
  | "bool"
  | "int"
  | "double"
  | "string"
  | "bytes"
  | "list"
  | "map"
  | "timestamp"
  | "duration";
