/** What the hub is told when a bundle does not compile, or threw while it ran: JSON, as the guest describes its errors. */

export function describeLoadError(error: unknown): string {
  const message = withoutEngine(error instanceof Error ? error.message : String(error));
  // Below the boundary the engine adds our own frames: they are nobody's business.
  const full = error instanceof Error ? withoutEngine(error.stack ?? "") : "";
  const stack = full.split("\n    at (<isolated-vm boundary>)")[0]!;
  return JSON.stringify({
    name: error instanceof Error ? error.name.slice(0, 100) : "Error",
    message: message.slice(0, 4000),
    stack: stack.slice(0, 8000),
  });
}

/** The engine says where an error began; when that is nowhere in the bundle it names itself. */
function withoutEngine(text: string): string {
  return text.replaceAll(/ \[<isolated-vm>:\d+:\d+\]/g, "");
}
