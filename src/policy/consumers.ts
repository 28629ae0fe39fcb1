/** The one spelling of consumer names: which plugin and pattern a delivery is for. */

/** `acme.greeter` and `order.*` → `event:acme.greeter#order.*`. */
export function subscriptionConsumer(plugin: string, pattern: string): string {
  return `event:${plugin}#${pattern}`;
}

export function parseSubscriptionConsumer(consumer: string): { plugin: string; pattern: string } {
  const hash = consumer.indexOf("#");
  return { plugin: consumer.slice("event:".length, hash), pattern: consumer.slice(hash + 1) };
}

export function webhookConsumer(plugin: string): string {
  return `webhook:${plugin}`;
}

export function executionConsumer(plugin: string): string {
  return `execution:${plugin}`;
}

/** The plugin of a webhook or execution consumer. */
export function pluginOfConsumer(consumer: string): string {
  return consumer.slice(consumer.indexOf(":") + 1);
}
