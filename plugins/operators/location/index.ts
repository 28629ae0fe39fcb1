/** Rules about where the user is: at a known place, or how far from somewhere. */
import { definePlugin, type PluginContext, type RuleContext } from "@backplane/plugin-api";
import { distanceMeters, type Position } from "./distance.ts";

interface Device {
  id: string;
  currentPlaceId?: string | null;
  currentPlaceType?: string | null;
}

interface Place extends Partial<Position> {
  id: string;
  name?: string | null;
}

/** Where the user is, as far as places are concerned. */
interface Whereabouts {
  placeId: string | null;
  placeType: string | null;
  /** Known from the event alone. */
  placeName?: string | null;
}

interface EventData {
  deviceId?: string | null;
  placeId?: string | null;
  placeType?: string | null;
  placeName?: string | null;
}

export default definePlugin({
  conditions: {
    "location.IsUserAtPlace": {
      async evaluate(params, context, ctx) {
        const { placeType, placeId } = params as { placeType?: string; placeId?: string };
        const at = await whereabouts(params, context, ctx);
        if (!at || at.placeId === null) return false;
        return (
          (placeId === undefined || at.placeId === placeId) && (placeType === undefined || at.placeType === placeType)
        );
      },
    },
    "location.IsUserAtVenue": {
      async evaluate(params, context, ctx) {
        const { venue } = params as { venue: string };
        const at = await whereabouts(params, context, ctx);
        if (!at || at.placeId === null) return false;
        const name = at.placeName ?? (await ctx.data.getById<Place>("places", at.placeId))?.name;
        return name !== undefined && name !== null && sameName(name, venue);
      },
    },
    "location.DistanceTo": {
      async evaluate(params, context, ctx) {
        const { meters, maxAgeMinutes = 60 } = params as { meters: number; maxAgeMinutes?: number };
        const goal = await goalOf(params, ctx);
        const deviceId = await deviceMeant(params, context, ctx);
        if (deviceId === undefined) return false;
        const since = new Date(Date.now() - maxAgeMinutes * 60_000).toISOString();
        const [last] = await ctx.data.query<Partial<Position>>(
          "locations",
          { deviceId, recordedAt: { $gte: since } },
          { limit: 1, orderBy: "-recordedAt" },
        );
        return isPosition(last) && distanceMeters(last, goal) <= meters;
      },
    },
  },
});

/**
 * What the event says of its own device comes before what is stored: the row may be of a moment later. Another device of the
 * user, left at home, says nothing about an arrival at work.
 */
async function whereabouts(
  params: Record<string, unknown>,
  context: RuleContext,
  ctx: PluginContext,
): Promise<Whereabouts | undefined> {
  const { type } = context.event ?? {};
  const data = eventData(context);
  const wanted = params["deviceId"];
  if (data.deviceId && (wanted === undefined || wanted === data.deviceId)) {
    if (type === "location.PlaceArrived" && data.placeId)
      return { placeId: data.placeId, placeType: data.placeType ?? null, placeName: data.placeName ?? null };
    if (type === "location.PlaceLeft") return { placeId: null, placeType: null };
  }
  const deviceId = await deviceMeant(params, context, ctx);
  const device = deviceId === undefined ? null : await ctx.data.getById<Device>("devices", deviceId);
  return device ? { placeId: device.currentPlaceId ?? null, placeType: device.currentPlaceType ?? null } : undefined;
}

/** The one that is named, the event's, or the one that was last heard of: people leave devices lying about. */
async function deviceMeant(
  params: Record<string, unknown>,
  context: RuleContext,
  ctx: PluginContext,
): Promise<string | undefined> {
  const named = params["deviceId"] ?? eventData(context).deviceId;
  if (typeof named === "string" && named !== "") return named;
  const [device] = await ctx.data.query<Device>(
    "devices",
    { lastSeenAt: { $exists: true } },
    { limit: 1, orderBy: "-lastSeenAt" },
  );
  return device?.id;
}

async function goalOf(params: Record<string, unknown>, ctx: PluginContext): Promise<Position> {
  const { placeId, latitude, longitude } = params as { placeId?: string } & Partial<Position>;
  if (placeId === undefined) {
    const goal = { latitude, longitude };
    if (isPosition(goal)) return goal;
    throw new Error("Name a `placeId`, or `latitude` and `longitude`.");
  }
  const place = await ctx.data.getById<Place>("places", placeId);
  if (!place) throw new Error(`There is no place '${placeId}'.`);
  if (!isPosition(place)) throw new Error(`Place '${place.name ?? placeId}' has no position.`);
  return place;
}

const eventData = ({ event }: RuleContext): EventData => (event?.data ?? {}) as EventData;

const isPosition = (place: { [Axis in keyof Position]?: number | undefined } | undefined): place is Position =>
  typeof place?.latitude === "number" && typeof place.longitude === "number";

const sameName = (a: string, b: string): boolean => a.trim().toLowerCase() === b.trim().toLowerCase();
