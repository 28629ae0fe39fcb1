/** Worker half of map-stack.ts: decodes source maps, keeps the last few, and answers positions with display names. */
import { parentPort } from "node:worker_threads";
import { TraceMap, traceSegment } from "@jridgewell/trace-mapping";
import type { MapAnswer, MapRequest, Position } from "./map-stack.ts";
import { displayName } from "./source-names.ts";

interface DecodedMap {
  map: TraceMap;
  sources: unknown[];
}

const keptMaps = 4;
/** Larger ones are decoded for one answer and let go, for their decoded form is many times larger still. */
const keptMappingsLength = 2_000_000;
const maps = new Map<string, DecodedMap | null>();

parentPort?.on("message", ({ key, positions, sourceMap }: MapRequest) =>
  parentPort?.postMessage(answer(key, positions, sourceMap)),
);

function answer(key: string, positions: Position[], sourceMap: string | undefined): MapAnswer {
  let decoded = maps.get(key);
  if (decoded === undefined) {
    if (sourceMap === undefined) return { needsMap: true };
    decoded = decode(sourceMap);
    if (maps.size >= keptMaps) maps.delete(maps.keys().next().value ?? "");
    if (sourceMap.length <= keptMappingsLength) maps.set(key, decoded);
  }
  const found = decoded;
  return { places: positions.map((position) => (found ? placeOf(found, position) : null)) };
}

/** Only the parts of a plain map that are needed; a sectioned one is not read. */
function decode(text: string): DecodedMap | null {
  try {
    const map = JSON.parse(text) as { version?: unknown; sources?: unknown; mappings?: unknown };
    if (map.version !== 3 || !Array.isArray(map.sources) || typeof map.mappings !== "string") return null;
    if (!/^[A-Za-z0-9+/,;]*$/.test(map.mappings)) return null;
    return { map: new TraceMap({ version: 3, names: [], sources: [], mappings: map.mappings }), sources: map.sources };
  } catch {
    return null;
  }
}

function placeOf({ map, sources }: DecodedMap, [line, column]: Position): string | null {
  try {
    const segment = traceSegment(map, line, column);
    if (!segment || segment.length === 1) return null;
    const [, source, sourceLine, sourceColumn] = segment;
    if (!(source in sources) || !isPlace(sourceLine) || !isPlace(sourceColumn)) return null;
    return `${displayName(sources[source])}:${sourceLine + 1}:${sourceColumn + 1}`;
  } catch {
    return null;
  }
}

function isPlace(number: number): boolean {
  return Number.isInteger(number) && number >= 0 && number < 1e9;
}
