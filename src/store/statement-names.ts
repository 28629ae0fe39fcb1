/** Decides which statements are prepared once per connection: those seen a third time, up to a bound. Parsing and planning are most of a small statement's cost. */

const useBeforeNaming = 3;
const maxNames = 500;
/** Long statements are generated ones (many rows, long lists) that hardly repeat. */
const maxLength = 8000;

export class StatementNames {
  #seen = new Map<string, number>();
  #names = new Map<string, string>();

  nameOf(text: string): string | undefined {
    const name = this.#names.get(text);
    if (name !== undefined) return name;
    if (text.length > maxLength || this.#names.size >= maxNames || isControl(text)) return undefined;
    const count = (this.#seen.get(text) ?? 0) + 1;
    if (count < useBeforeNaming) {
      if (this.#seen.size > maxNames * 4) this.#seen.clear();
      this.#seen.set(text, count);
      return undefined;
    }
    this.#seen.delete(text);
    const made = `bp${this.#names.size + 1}`;
    this.#names.set(text, made);
    return made;
  }
}

/** begin, commit and the like go as simple queries: one message instead of five. */
function isControl(text: string): boolean {
  return /^\s*(begin|start|commit|rollback|savepoint|release|listen|unlisten|set|lock|create|drop|alter)\b/i.test(text);
}
