import assert from "node:assert/strict";
import { test } from "node:test";
import { CliFailure } from "./failure.ts";
import { followEvents, readMessages } from "./follow-events.ts";
import type { HubClient, HubRequest } from "./hub-client.ts";

function stream(...chunks: string[]): Response {
  const encoder = new TextEncoder();
  return new Response(
    new ReadableStream({
      start(controller) {
        for (const chunk of chunks) controller.enqueue(encoder.encode(chunk));
        controller.close();
      },
    }),
  );
}

function hubOf(answers: (Response | CliFailure)[], asked: (HubRequest | undefined)[]): HubClient {
  return {
    address: {} as never,
    call: () => Promise.reject(new Error("unused")),
    async open(_path, request) {
      asked.push(request);
      const answer = answers.shift();
      if (answer instanceof Response) return answer;
      throw answer ?? new CliFailure("gone", { code: "forbidden" });
    },
  };
}

test("messages are read across chunks; comments and other events are passed over", async () => {
  const found = [];
  for await (const message of readMessages(
    stream(
      ": hi\nretry: 10\n\nid: 1\r\nda",
      'ta: {"a":\ndata: 1}\n\nevent: problem\ndata: {}\n\nid: 2\ndata: é',
      "\n\n",
    ),
  ))
    found.push(message);
  assert.deepEqual(found, [
    { id: "1", data: '{"a":\n1}' },
    { id: "2", data: "é" },
  ]);
});

test("a lost connection goes on after the last event that came", async () => {
  const asked: (HubRequest | undefined)[] = [];
  const hub = hubOf(
    [
      stream('id: c1\ndata: {"id":"e1"}\n\n'),
      new CliFailure("away", { code: "no_hub" }),
      stream('id: c2\ndata: {"id":"e2"}\n\n'),
    ],
    asked,
  );
  const stop = new AbortController();
  const ids: string[] = [];
  for await (const { id } of followEvents(hub, { after: "e0", signal: stop.signal, retryMs: 1 })) {
    ids.push(id);
    if (id === "e2") break;
  }
  assert.deepEqual(ids, ["e1", "e2"]);
  assert.equal(asked[0]?.query?.["after"], "e0");
  assert.equal(asked[2]?.headers?.["last-event-id"], "c1");
  assert.equal(asked[2]?.query?.["after"], undefined);
});

test("a first connection that fails, and a refusal later, are final", async () => {
  const follow = async (answers: (Response | CliFailure)[]): Promise<void> => {
    for await (const _ of followEvents(hubOf(answers, []), { signal: new AbortController().signal, retryMs: 1 }));
  };
  await assert.rejects(follow([new CliFailure("no hub", { code: "no_hub" })]), /no hub/);
  await assert.rejects(
    follow([stream("id: 1\n\n"), new CliFailure("key revoked", { code: "unauthenticated" })]),
    /key revoked/,
  );
});
