/** The smallest complete plugin: one function and one subscription. */
import { definePlugin } from "@backplane/plugin-api";

interface Config {
  greeting: string;
}

export default definePlugin<Config>({
  functions: {
    async hello({ who }: { who: string }, ctx) {
      return { text: `${ctx.config.greeting}, ${who}` };
    },
  },
  subscriptions: {
    async "order.*"(event, ctx) {
      ctx.logger.info(`saw ${event.type}`, { id: event.id });
      await ctx.emitEvent("greeter.saw", { id: event.id });
    },
  },
});
