/** `messages`: send to people, list what came and went, show one with its attempts. */
import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { usageFailure } from "../failure.ts";
import { listAll } from "../list.ts";
import { wholeNumber } from "../whole-number.ts";

interface Message {
  id: string;
  direction?: string;
  channel?: string;
  status?: string;
  from?: string | null;
  to?: string[];
  body?: string | null;
  sentAt?: string;
  errorCode?: string | null;
}

interface Attempt {
  id: string;
  number: number;
  plugin: string | null;
  channel: string;
  to: string;
  state: string;
  status: string;
  tries: number;
  externalId: string | null;
  errorCode: string | null;
  error: string | null;
}

interface SendOptions {
  channel?: string;
  plugin?: string;
  contact?: string;
  subject?: string;
  at?: string;
  key?: string;
  fallback?: string[];
  json?: boolean;
}

interface ListOptions {
  direction?: string;
  channel?: string;
  contact?: string;
  status?: string;
  limit: number;
  json?: boolean;
}

export function messagesVerb(program: Command, cli: Cli): void {
  const { print } = cli;
  const messages = program
    .command("messages")
    .description("send messages to people, and look at what came and went")
    .addHelpText(
      "after",
      '\nExamples:\n  backplane messages send +15551230001 "See you at nine" --channel sms --fallback email\n  backplane messages list --direction inbound\n  backplane messages show 0199…',
    );

  messages
    .command("send")
    .description("queue a message")
    .argument("<to>", "an address of the channel, or - with --contact")
    .argument("<text>", "what to say")
    .option("--channel <type>", "such as sms, whatsapp or email")
    .option("--plugin <id>", "the plugin that carries it")
    .option("--contact <id>", "the contact it is for; its address is used where <to> is -")
    .option("--subject <text>", "for email")
    .option("--at <time>", "not before this time, such as 2026-12-24T18:00:00Z")
    .option("--key <key>", "idempotency key: the same again is the same message")
    .option("--fallback <channel...>", "other channels, in order, should this one fail")
    .option("--json", "print JSON")
    .action(async (to: string, text: string, options: SendOptions) => {
      const { channel, plugin, contact, subject, at, key, fallback, json = false } = options;
      const answer = await cli.hub().call<{ id: string }>("/api/messages", {
        method: "POST",
        body: {
          body: text,
          ...(to === "-" ? {} : { to }),
          ...(channel === undefined ? {} : { channel }),
          ...(plugin === undefined ? {} : { plugin }),
          ...(contact === undefined ? {} : { contactId: contact }),
          ...(subject === undefined ? {} : { subject }),
          ...(at === undefined ? {} : { sendAt: timeOf(at) }),
          ...(key === undefined ? {} : { idempotencyKey: key }),
          ...(fallback === undefined ? {} : { fallback: fallback.map((type) => ({ channel: type })) }),
        },
      });
      if (json) print.json(answer);
      else print.line(`Queued as ${answer.id}.`);
    });

  messages
    .command("list", { isDefault: true })
    .description("list messages, newest first")
    .option("--direction <way>", "only inbound or outbound ones")
    .option("--channel <type>", "only of this channel")
    .option("--contact <id>", "only with this contact")
    .option("--status <status>", "only in this state")
    .option("--limit <count>", "at most so many", wholeNumber, 50)
    .option("--json", "print JSON")
    .action(async ({ direction, channel, contact, status, limit, json = false }: ListOptions) => {
      const found = await listAll<Message>(cli.hub(), "/api/messages", "messages", {
        query: { direction, channel, contactId: contact, status },
        limit,
      });
      if (json) return print.json({ messages: found });
      if (found.length === 0) return print.line("No messages.");
      print.table(
        found.map((message) => [
          message.id,
          message.direction === "outbound" ? "out" : "in",
          message.channel ?? "",
          message.status ?? "",
          (message.direction === "outbound" ? message.to?.[0] : message.from) ?? "",
          oneLine(message.body ?? ""),
        ]),
        ["ID", "WAY", "CHANNEL", "STATUS", "WITH", "TEXT"],
      );
    });

  messages
    .command("show")
    .description("show one message and every attempt to deliver it")
    .argument("<id>", "the message")
    .option("--json", "print JSON")
    .action(async (id: string, { json = false }: { json?: boolean }) => {
      const message = await cli
        .hub()
        .call<Message & { attempts: Attempt[] }>(`/api/messages/${encodeURIComponent(id)}`);
      if (json) return print.json(message);
      print.table([
        ["id", message.id],
        ["way", message.direction ?? ""],
        ["channel", message.channel ?? ""],
        ["status", message.status ?? ""],
        ["from", message.from ?? ""],
        ["to", (message.to ?? []).join(", ")],
        ["sent", message.sentAt ?? ""],
        ["text", unbroken(message.body ?? "")],
      ]);
      if (message.attempts.length === 0) return;
      print.line("");
      print.table(
        message.attempts.map((attempt) => [
          String(attempt.number),
          attempt.channel,
          attempt.plugin ?? "none",
          attempt.to,
          attempt.state === "cancelled" ? "cancelled" : attempt.status,
          String(attempt.tries),
          attempt.externalId ?? "",
          attempt.errorCode === null ? "" : unbroken(`${attempt.errorCode}: ${attempt.error ?? ""}`),
        ]),
        ["#", "CHANNEL", "PLUGIN", "TO", "STATUS", "TRIES", "SERVICE'S ID", "ERROR"],
      );
    });
}

function timeOf(text: string): string {
  const time = new Date(text);
  if (Number.isNaN(time.getTime()))
    throw usageFailure(`'${text}' is no time.`, "Write something like 2026-12-24T18:00:00Z.");
  return time.toISOString();
}

const unbroken = (text: string): string => text.replace(/\s+/g, " ").trim();

const oneLine = (text: string): string => {
  const line = unbroken(text);
  return line.length > 80 ? `${line.slice(0, 79)}…` : line;
};
