/** Names the source in stacks of a runner that runs from its script. Trusted text: a plugin's code never gets here. */
import { originalPositionFor, TraceMap } from "@jridgewell/trace-mapping";

/** As Node names a script that it read from its standard input. */
const place = /\[stdin\]:(\d{1,9}):(\d{1,9})/g;

/** `map`: the script's source map, JSON. Places it does not know stay as they are. */
export function namePlaces(text: string, map: string): string {
  if (!text.includes("[stdin]:")) return text;
  const traced = new TraceMap(map);
  return text.replaceAll(place, (found, line: string, column: string) => {
    const {
      source,
      line: at,
      column: from,
    } = originalPositionFor(traced, { line: Number(line), column: Number(column) - 1 });
    return source === null ? found : `${source}:${at}:${from + 1}`;
  });
}
