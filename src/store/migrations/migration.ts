/** One step of the schema. */
export interface Migration {
  id: number;
  name: string;
  sql: string;
}
