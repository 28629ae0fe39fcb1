/** Data adapters give functions and agents one way to reach data that lives elsewhere. */
import type { ConfigShape, PluginContext } from "./context.ts";

export type Row = Record<string, unknown>;
export type Filters = Record<string, unknown>;

/** The agent proposal's DataAdapter; `ctx` of the call comes last. What a source cannot do is left out. */
export interface DataAdapter<Config extends object = ConfigShape> {
  list?(entity: string, filters: Filters, ctx: PluginContext<Config>): Promise<Row[]>;
  get?(entity: string, id: string | number, ctx: PluginContext<Config>): Promise<Row | null>;
  create?(entity: string, data: Row, ctx: PluginContext<Config>): Promise<Row>;
  update?(entity: string, id: string | number, data: Row, ctx: PluginContext<Config>): Promise<Row>;
  delete?(entity: string, id: string | number, ctx: PluginContext<Config>): Promise<void>;
  query?(entity: string, query: Row, ctx: PluginContext<Config>): Promise<Row[]>;
  batchCreate?(entity: string, items: Row[], ctx: PluginContext<Config>): Promise<Row[]>;
  batchUpdate?(
    entity: string,
    updates: { id: string | number; data: Row }[],
    ctx: PluginContext<Config>,
  ): Promise<Row[]>;
  /** JSON Schema of an entity. */
  getSchema?(entity: string, ctx: PluginContext<Config>): Promise<Record<string, unknown>>;
  listEntities?(ctx: PluginContext<Config>): Promise<string[]>;
}
