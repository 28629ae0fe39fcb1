/** The work of one organisation in a flow run: its set-up, and what vendors and people ask of the hubs, insisting as they do. */
import { type CrashHub, call, installPlugin, must, sleep } from "./crash-hub.ts";
import { pageCount } from "./vendor.ts";

export const plugin = "test.flows";
export const webhookCount = 6;
export const messageCount = 4;

/** How far an organisation has come, seen from outside. */
export interface Phase {
  webhooks: number;
  messages: number;
  pages: number;
  sends: number;
}

export const stepCount = webhookCount + messageCount + pageCount + webhookCount + messageCount;
export const stepsOf = ({ webhooks, messages, pages, sends }: Phase): number => webhooks + messages + pages + sends;

const rule = `id: answer
name: Answer
trigger: { event: comms.MessageReceived }
conditions:
  - operator: flows.isNew
actions:
  - operator: flows.note
    params: { title: "answer {{ event.externalId }}" }
  - operator: flows.reply
    params: { to: "{{ event.from }}", body: "thanks for {{ event.externalId }}" }
`;

export async function setUp(url: string, org: string): Promise<void> {
  await must(url, "/api/organizations", { body: { id: org, name: org } });
  await installPlugin(url, "flows", plugin, org);
  await must(url, "/api/rules", { org, body: { source: rule } });
}

export interface Work {
  org: string;
  random: () => number;
  running: readonly CrashHub[];
  /** Told when a hub has answered that it took one. */
  onAccepted(kind: "webhooks" | "messages"): void;
}

/** Resolves when everything was accepted once. */
export async function ask({ org, random, running, onAccepted }: Work): Promise<void> {
  /** A caller who got no answer asks again, with the same ids: that is what they are for. */
  const insist = async (path: string, body: object): Promise<void> => {
    for (const until = Date.now() + 300_000; Date.now() < until; await sleep(50)) {
      const { url } = running[Math.floor(random() * running.length)]!;
      const answer = await call(url, path, { org, body }).catch(() => undefined);
      if (answer !== undefined && (answer.status < 300 || answer.status === 409)) return;
    }
    throw new Error(`${org}: ${path} was not accepted within five minutes`);
  };
  await Promise.all([
    insist(`/api/connectors/${plugin}/sync`, {}),
    ...Array.from({ length: webhookCount }, async (_, n) => {
      await sleep(n * 60);
      await insist(`/webhooks/${org}/${plugin}`, { id: `in-${n}`, from: `person-${n % 3}` });
      onAccepted("webhooks");
    }),
    ...Array.from({ length: messageCount }, async (_, n) => {
      await sleep(n * 90);
      await insist("/api/messages", {
        channel: "test",
        to: `friend-${n}`,
        body: `message ${n}`,
        idempotencyKey: `out-${n}`,
      });
      onAccepted("messages");
    }),
  ]);
}
