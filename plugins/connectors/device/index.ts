/** Devices as a connector: agents push batches of samples with a device token; nothing is pulled. */
import { definePlugin, type Entity, type PluginContext, type WebhookResponse } from "@backplane/plugin-api";
import { changesOf, type DeviceState } from "./changes.ts";
import { maxSamples, type PlaceInfo, readSamples, type Sample } from "./samples.ts";
import { deviceOf, issueToken, revokeToken } from "./tokens.ts";

interface Config {
  batteryLowPercent: number;
  staleAfterMinutes: number;
}

type Context = PluginContext<Config>;

/** One accepted batch. */
interface Incoming {
  id: string;
  /** Batches of one device are taken one after the other. */
  key: string;
  deviceId: string;
  samples: Sample[];
}

/** Folders that an agent may be asked to read: each is an optional permission of the manifest. */
const folders = ["C:/Users/Public/Documents"];

export default definePlugin<Config>({
  async webhook(request, ctx) {
    const deviceId = await deviceOf(request.headers["authorization"], ctx);
    if (deviceId === undefined) return answer(401, { error: "the device token is missing, wrong or revoked" });
    if (request.method === "GET") return answer(200, { deviceId, maxSamples, folders: grantedFolders(ctx) });
    if (request.method !== "POST") return answer(405, { error: "post samples, or get what the agent may do" });
    const body = parse(request.rawBody);
    const given = Array.isArray(body) ? body : (body as { samples?: unknown } | undefined)?.samples;
    if (!Array.isArray(given)) return answer(400, { error: 'the body must be JSON: {"samples": […]}' });
    if (given.length > maxSamples)
      return answer(413, { error: `at most ${maxSamples} samples in one batch`, maxSamples });
    const { samples, faults } = readSamples(given, Date.now());
    const readable = samples.filter((sample) => sample.type !== "file" || mayRead(sample.path, ctx));
    for (const sample of samples)
      if (!readable.includes(sample))
        faults.push({ index: given.indexOf(sample), reason: "the folder is not granted" });
    if (readable.length === 0) return answer(given.length === 0 ? 202 : 400, { accepted: 0, faults });
    // The same samples again are the same item, whatever became of the first answer.
    const digest = await ctx.crypto.digest("SHA-256", JSON.stringify(readable));
    const item: Incoming = { id: `${deviceId}:${hex(digest)}`, key: deviceId, deviceId, samples: readable };
    return answer(202, { accepted: readable.length, faults }, [item]);
  },
  connector: {
    // Devices push; there is nothing to ask for.
    async *sync() {},
    async handleIncomingEvent(payload, ctx) {
      const { deviceId, samples } = payload as Incoming;
      const device = await ctx.data.getById<DeviceState>("devices", deviceId);
      if (!device) return { items: [] };
      return changesOf({
        device,
        samples,
        places: await storePlaces(deviceId, samples, ctx),
        batteryLowPercent: ctx.config.batteryLowPercent,
        freshSince: new Date(Date.now() - ctx.config.staleAfterMinutes * 60_000).toISOString(),
      });
    },
    mapToUnifiedModel({ id, type, data }): Entity[] {
      const row = data as Record<string, unknown>;
      switch (type) {
        case "location":
          return [{ type: "locations", externalId: id, data: row }];
        case "activity":
          return [{ type: "activities", externalId: id, data: row }];
        case "file":
          return [{ type: "files", externalId: id, data: row }];
        case "device":
          return [{ type: "devices", id, data: row }];
        default:
          return [];
      }
    },
  },
  functions: {
    async registerDevice(parameters: { name: string; platform: string; model?: string; osVersion?: string }, ctx) {
      const { id: deviceId } = await ctx.data.upsert<{ id: string }>("devices", {
        externalId: crypto.randomUUID(),
        ...parameters,
      });
      return { deviceId, token: await issueToken(deviceId, ctx) };
    },
    async rotateToken({ deviceId }: { deviceId: string }, ctx) {
      if (!(await ctx.data.getById("devices", deviceId))) throw new Error(`There is no device '${deviceId}'.`);
      return { deviceId, token: await issueToken(deviceId, ctx) };
    },
    revokeDevice: async ({ deviceId }: { deviceId: string }, ctx) => ({ revoked: await revokeToken(deviceId, ctx) }),
  },
});

/** Places are rows of their own, so that rules and people can name them; gives their ids by the agent's. Each belongs to its device. */
async function storePlaces(deviceId: string, samples: readonly Sample[], ctx: Context): Promise<Map<string, string>> {
  const places = new Map<string, PlaceInfo>();
  for (const sample of samples) if ("place" in sample) places.set(sample.place.id, sample.place);
  const rows = await Promise.all(
    [...places].map(async ([id, { id: _id, ...place }]) => {
      const row = await ctx.data.upsert<{ id: string }>("places", {
        externalId: `${deviceId}:${id}`,
        ...place,
      });
      return [id, row.id] as const;
    }),
  );
  return new Map(rows);
}

const grantedFolders = (ctx: Context): string[] =>
  folders.filter((folder) => ctx.permissions.has(`filesystem:read:${folder}`));

/** Windows' paths know no case. */
function mayRead(path: string, ctx: Context): boolean {
  const plain = path.replaceAll("\\", "/");
  if (plain.split("/").includes("..")) return false;
  return grantedFolders(ctx).some((folder) => plain.toLowerCase().startsWith(`${folder.toLowerCase()}/`));
}

const answer = (status: number, body: object, accept: Incoming[] = []): WebhookResponse => ({ status, body, accept });

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const hex = (bytes: Uint8Array): string => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
