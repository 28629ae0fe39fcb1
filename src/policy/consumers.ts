/** The one spelling of consumer names: which plugin, or which feature of the hub, and which pattern a delivery is for. */

/** `acme.greeter` and `order.*` → `event:acme.greeter#order.*`. */
export function subscriptionConsumer(plugin: string, pattern: string): string {
  return `event:${plugin}#${pattern}`;
}

export function parseSubscriptionConsumer(consumer: string): { plugin: string; pattern: string } {
  const hash = consumer.indexOf("#");
  return { plugin: consumer.slice("event:".length, hash), pattern: consumer.slice(hash + 1) };
}

/** What stands in a consumer's `plugin` when it belongs to the hub itself; no plugin can have this id. */
export const hubConsumerOwner = "*";

/** `rules` and `order.*` → `hub:rules#order.*`. */
export function hubConsumer(feature: string, pattern: string): string {
  return `hub:${feature}#${pattern}`;
}

/** What the consumers of one feature begin with. */
export function hubConsumerPrefix(feature: string): string {
  return `hub:${feature}#`;
}

export function webhookConsumer(plugin: string): string {
  return `webhook:${plugin}`;
}

export function executionConsumer(plugin: string): string {
  return `execution:${plugin}`;
}

/** `acme.sms` → `message:acme.sms`: what is to be sent over the channel of a plugin. */
export function messageConsumer(plugin: string): string {
  return `message:${plugin}`;
}

/** `acme.crm` → `sync:acme.crm`: runs of a connector. */
export function syncConsumer(plugin: string): string {
  return `sync:${plugin}`;
}

/** The plugin of a webhook, execution, message or sync consumer. */
export function pluginOfConsumer(consumer: string): string {
  return consumer.slice(consumer.indexOf(":") + 1);
}
