/** Rule operators: conditions and actions that rules use by id, for example `comms.callCount`. */
import type { ConfigShape, PluginContext } from "./context.ts";
import type { PluginEvent } from "./definition.ts";

/** Made Open's ConditionOperator. It should only look, never change anything: a rule may ask more than once. */
export interface ConditionOperator<Config extends object = ConfigShape> {
  readonly id?: string;
  evaluate(
    params: Record<string, unknown>,
    context: RuleContext,
    ctx: PluginContext<Config>,
  ): Promise<boolean> | boolean;
}

/** Made Open's ActionOperator. */
export interface ActionOperator<Config extends object = ConfigShape> {
  readonly id?: string;
  execute(
    params: Record<string, unknown>,
    context: RuleContext,
    ctx: PluginContext<Config>,
  ): Promise<unknown> | unknown;
}

/**
 * A name that rules may use in templates, such as `followUp`. An action that names it runs once for each value of the list.
 * As a condition it only looks.
 */
export interface RuleVariable<Config extends object = ConfigShape> {
  /** At most 200 values, each a JSON object. */
  list(context: RuleContext, ctx: PluginContext<Config>): Promise<object[]> | object[];
}

/** What a rule knows while it runs. */
export interface RuleContext {
  rule: { id: string; name: string };
  /**
   * The run, and the action within it. `idempotencyKey` is the same when the action is tried again: use it as the `id` of
   * what the action makes. Absent in conditions.
   */
  run?: { id: string; idempotencyKey: string };
  /** The event that set the rule off; absent when it was started by hand or by the clock. */
  event?: PluginEvent;
  /** Results of the rule's earlier actions, by their names. */
  steps?: Record<string, unknown>;
  organization: string;
  userId?: string;
}
