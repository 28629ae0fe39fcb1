/** Sends mail: https://learn.microsoft.com/graph/api/user-sendmail, and https://learn.microsoft.com/graph/api/message-reply for answers. */
import { isAbilityError, type OutboundMessage, type SendReceipt } from "@backplane/plugin-api";
import { addressOf, type Context, postJson } from "./graph.ts";
import { sentByUs } from "./mail.ts";

export interface Mail {
  /** Written into the mail, so that a sync knows it as ours. */
  id: string;
  to: string[];
  cc?: string[];
  from?: string;
  subject?: string;
  body: string;
  html?: string;
  attachments?: OutboundMessage["attachments"];
  /** Graph's id of a message, or the id of its row. */
  replyToMessageId?: string;
}

interface FileAttachment {
  "@odata.type": "#microsoft.graph.fileAttachment";
  name: string;
  contentType?: string;
  contentBytes: string;
}

/** What Graph takes with one request. Larger files would need an upload session. */
const maxAttachedBytes = 3 * 1024 * 1024;

/** Graph gives a sent mail no id to be known by. Errors: those of requests. */
export async function sendMail(ctx: Context, mail: Mail): Promise<SendReceipt> {
  for (const address of [...mail.to, ...(mail.cc ?? [])])
    if (!/^[^\s@<>,;]+@[^\s@<>,;]+$/.test(address)) throw new Error(`'${address}' is no mail address.`);
  const { files, links } = await attach(ctx, mail.attachments ?? []);
  const body = mail.html
    ? { contentType: "html", content: mail.html + htmlLinks(links) }
    : { contentType: "text", content: mail.body + textLinks(links) };
  const message = {
    body,
    toRecipients: mail.to.map(recipient),
    ...(mail.cc?.length ? { ccRecipients: mail.cc.map(recipient) } : {}),
    ...(mail.from ? { from: recipient(mail.from) } : {}),
    ...(files.length > 0 ? { attachments: files } : {}),
  };
  if (mail.replyToMessageId) {
    const id = await idAtGraph(ctx, mail.replyToMessageId);
    await postJson(ctx, addressOf(ctx, `messages/${encodeURIComponent(id)}/reply`), { message });
  } else {
    await postJson(ctx, addressOf(ctx, "sendMail"), {
      message: {
        ...message,
        subject: mail.subject ?? "",
        internetMessageHeaders: [{ name: sentByUs, value: mail.id }],
      },
      saveToSentItems: true,
    });
  }
  return { status: "sent" };
}

const recipient = (address: string): object => ({ emailAddress: { address } });

async function idAtGraph(ctx: Context, id: string): Promise<string> {
  const row = await ctx.data.getById<{ provider?: string; externalId: string | null }>("messages", id);
  return row?.provider === "microsoft-graph" && row.externalId ? row.externalId : id;
}

/** Files whose host is granted are fetched and attached; of all others, and of what is too large, the mail carries the link. */
async function attach(
  ctx: Context,
  attachments: NonNullable<OutboundMessage["attachments"]>,
): Promise<{ files: FileAttachment[]; links: { url: string; name: string }[] }> {
  const files: FileAttachment[] = [];
  const links: { url: string; name: string }[] = [];
  let left = maxAttachedBytes;
  for (const { url, contentType, filename } of attachments) {
    const name = filename ?? decodeURIComponent(new URL(url).pathname.split("/").at(-1) || "attachment");
    const fetched = await fetchFile(ctx, url);
    if (!fetched || fetched.bytes.length > left) {
      links.push({ url, name });
      continue;
    }
    left -= fetched.bytes.length;
    const type = contentType ?? fetched.contentType;
    files.push({
      "@odata.type": "#microsoft.graph.fileAttachment",
      name,
      ...(type ? { contentType: type } : {}),
      contentBytes: fetched.bytes.toBase64(),
    });
  }
  return { files, links };
}

async function fetchFile(
  ctx: Context,
  url: string,
): Promise<{ bytes: Uint8Array; contentType: string | null } | undefined> {
  try {
    const answer = await ctx.http.fetch(url);
    if (!answer.ok) throw new Error(`The attachment ${url} cannot be fetched: its server answered ${answer.status}.`);
    return { bytes: new Uint8Array(await answer.arrayBuffer()), contentType: answer.headers.get("content-type") };
  } catch (error) {
    if (isAbilityError(error, "egress_denied") || isAbilityError(error, "egress_too_large")) return undefined;
    throw error;
  }
}

const textLinks = (links: { url: string; name: string }[]): string =>
  links.length === 0 ? "" : `\n\n${links.map(({ url, name }) => `${name}: ${url}`).join("\n")}`;

const htmlLinks = (links: { url: string; name: string }[]): string =>
  links.map(({ url, name }) => `<p><a href="${escapeHtml(url)}">${escapeHtml(name)}</a></p>`).join("");

const escapeHtml = (text: string): string => text.replace(/[<>&"']/g, (c) => `&#${c.charCodeAt(0)};`);
