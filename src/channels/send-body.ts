/** From the fields of a request to the content of a message. */
import type { MessageContent } from "./outbound-message.ts";

interface ContentFields {
  body: string;
  from?: string | undefined;
  subject?: string | undefined;
  html?: string | undefined;
  media?: readonly { url: string; contentType?: string | undefined; filename?: string | undefined }[] | undefined;
  replyToMessageId?: string | undefined;
  metadata?: Record<string, unknown> | undefined;
}

/** Without what is absent: the same request has the same content. */
export function contentOf({
  body,
  from,
  subject,
  html,
  media,
  replyToMessageId,
  metadata,
}: ContentFields): MessageContent {
  return {
    body,
    ...(from === undefined ? {} : { from }),
    ...(subject === undefined ? {} : { subject }),
    ...(html === undefined ? {} : { html }),
    ...(media === undefined || media.length === 0
      ? {}
      : {
          attachments: media.map(({ url, contentType, filename }) => ({
            url,
            ...(contentType === undefined ? {} : { contentType }),
            ...(filename === undefined ? {} : { filename }),
          })),
        }),
    ...(replyToMessageId === undefined ? {} : { replyToMessageId }),
    ...(metadata === undefined ? {} : { metadata }),
  };
}
