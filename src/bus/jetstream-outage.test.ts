/** NATS goes away and comes back while work flows: a proxy in front of the real server is cut. */
import assert from "node:assert/strict";
import { connect, createServer, type Server, type Socket } from "node:net";
import { it } from "node:test";
import { openBus, Recorder, until } from "./bus-fixture.ts";

/** A TCP proxy that can be cut and mended on the same port. */
class Cable {
  readonly #sockets = new Set<Socket>();
  readonly #target: URL;
  #server: Server | undefined;
  port = 0;

  constructor(url: string) {
    this.#target = new URL(url);
  }

  async mend(): Promise<void> {
    const server = createServer((near) => {
      const far = connect(Number(this.#target.port || 4222), this.#target.hostname);
      for (const [from, to] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#sockets.add(from);
        from.on("error", () => to.destroy());
        from.on("close", () => to.destroy());
        from.pipe(to);
      }
    });
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(this.port, "127.0.0.1", resolve));
    this.port = (server.address() as { port: number }).port;
  }

  async cut(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
    await new Promise<void>((resolve) => this.#server!.close(() => resolve()));
  }
}

it("while NATS is away work goes on over the database, and over NATS again when it is back", {
  skip: process.env["TEST_NATS_URL"] ? false : "needs TEST_NATS_URL",
  timeout: 40_000,
}, async () => {
  const cable = new Cable(process.env["TEST_NATS_URL"]!);
  await cable.mend();
  const recorder = new Recorder();
  {
    await using bus = await openBus({
      name: "outage",
      store: process.env["TEST_DATABASE_URL"] ? "postgres" : "pglite",
      natsUrl: `nats://127.0.0.1:${cable.port}`,
    });
    const nodes = [
      await bus.node({}, (node) => node.handle("message", recorder.handler())),
      await bus.node({}, (node) => node.handle("message", recorder.handler())),
    ];
    let n = 0;
    const send = async (): Promise<void> =>
      bus.enqueue(...Array.from({ length: 50 }, () => ({ itemId: `i${n++}`, key: `k${n % 5}` })));
    const all = (what: string) => until(() => new Set(recorder.items()).size === n, what, 15_000);
    assert.deepEqual(
      nodes.map((node) => node.driver),
      ["jetstream", "jetstream"],
    );
    await send();
    await all("over NATS");
    await send();
    await cable.cut();
    await send();
    await until(() => nodes.every((node) => node.driver === "database"), "noticed");
    await send();
    await all("without NATS");
    await cable.mend();
    await until(() => nodes.every((node) => node.driver === "jetstream"), "back", 10_000);
    await send();
    await all("over NATS again");
    assert.deepEqual(recorder.overlaps, []);
    for (const items of recorder.byKey().values()) {
      const order = [...new Set(items)].map((item) => Number(item.slice(1)));
      assert.deepEqual(
        order,
        order.toSorted((a, b) => a - b),
      );
    }
  }
  await cable.cut();
});

it("a hub starts without NATS and works from the database", { timeout: 20_000 }, async () => {
  await using bus = await openBus({
    name: "nowhere",
    store: "pglite",
    natsUrl: "nats://127.0.0.1:9",
    unreachable: true,
  });
  const recorder = new Recorder();
  const node = await bus.node({}, (n) => n.handle("message", recorder.handler()));
  assert.equal(node.driver, "database");
  await bus.enqueue({ itemId: "i" });
  await until(() => recorder.seen.length === 1, "handled");
});
