/**
 * Pooled connections, each tied to one partition (organisation), host name and checked address. The connector dials that
 * address and nothing else, so no later DNS answer matters; TLS still proves the host name.
 */
import { buildConnector, Pool } from "undici";

export interface Destination {
  /** Connections are never shared over partitions. */
  partition: string;
  protocol: "http:" | "https:";
  /** Becomes the Host header and the TLS server name. */
  host: string;
  /** The checked IP address. */
  address: string;
  port: number;
}

export interface ConnectionsOptions {
  /** Pools held before the least recently used idle ones are closed. @default 512 */
  maxPools?: number;
  /** Connections of one pool at once. @default 16 */
  connectionsPerPool?: number;
  /** Additional trusted certificates (PEM), for tests. */
  ca?: string;
}

/** Marks failures before a request was sent: another address of the host may then be tried safely. */
export class ConnectFailure extends Error {
  override readonly name = "ConnectFailure";
}

export interface Lease extends Disposable {
  pool: Pool;
}

export const MAX_RESPONSE_HEADER_BYTES = 65_536;

export class Connections {
  readonly #pools = new Map<string, { pool: Pool; busy: number }>();
  readonly #maxPools: number;
  readonly #perPool: number;
  readonly #ca: string | undefined;

  constructor(options: ConnectionsOptions = {}) {
    this.#maxPools = options.maxPools ?? 512;
    this.#perPool = options.connectionsPerPool ?? 16;
    this.#ca = options.ca;
  }

  has(destination: Destination): boolean {
    return this.#pools.has(keyOf(destination));
  }

  get size(): number {
    return this.#pools.size;
  }

  /** The pool of a destination; it is not evicted before the lease is disposed of. */
  lease(destination: Destination): Lease {
    const key = keyOf(destination);
    const entry = this.#pools.get(key) ?? { pool: this.#open(destination), busy: 0 };
    this.#pools.delete(key);
    this.#pools.set(key, entry);
    entry.busy += 1;
    this.#evict();
    return {
      pool: entry.pool,
      [Symbol.dispose]: () => {
        entry.busy -= 1;
      },
    };
  }

  async close(): Promise<void> {
    const open = [...this.#pools.values()];
    this.#pools.clear();
    await Promise.all(open.map(({ pool }) => pool.destroy()));
  }

  #evict(): void {
    for (const [key, { pool, busy }] of this.#pools) {
      if (this.#pools.size <= this.#maxPools) return;
      if (busy > 0) continue;
      this.#pools.delete(key);
      pool.destroy().catch(() => {});
    }
  }

  #open(destination: Destination): Pool {
    const { address, port } = destination;
    const dial = buildConnector({
      allowH2: false,
      timeout: 5_000,
      keepAlive: true,
      ...(this.#ca === undefined ? {} : { ca: this.#ca }),
    });
    return new Pool(`${destination.protocol}//${destination.host}`, {
      connections: this.#perPool,
      pipelining: 1,
      // The request's own deadline governs; undici's coarse timers would only add a second, different error.
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: 5_000,
      keepAliveMaxTimeout: 30_000,
      maxHeaderSize: MAX_RESPONSE_HEADER_BYTES,
      connect: (options, callback) => {
        dial(
          { ...options, hostname: address, port: String(port), servername: options.servername ?? destination.host },
          (error, socket) => {
            if (error) return callback(new ConnectFailure("connect", { cause: error }), null);
            if (socket.remoteAddress !== undefined && !sameAddress(socket.remoteAddress, address)) {
              socket.destroy();
              return callback(new ConnectFailure("connected elsewhere"), null);
            }
            callback(null, socket);
          },
        );
      },
    });
  }
}

function sameAddress(left: string, right: string): boolean {
  const [l, r] = [left, right].map((text) => new URL(`http://${text.includes(":") ? `[${text}]` : text}`).hostname);
  return l === r;
}

function keyOf({ partition, protocol, host, address, port }: Destination): string {
  return JSON.stringify([partition, protocol, host, address, port]);
}
