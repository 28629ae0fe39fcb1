/**
 * Tells when something in a plugin's folder changes, or in a folder that its imports lead to. Watches folders rather than
 * files, because editors replace files; passes over `node_modules`, hidden names and what editors leave behind.
 */
import { type FSWatcher, readdirSync, watch } from "node:fs";
import { dirname, join, resolve, sep } from "node:path";

export interface FolderWatch extends Disposable {
  /** Watches the folders of these files as well; those of an earlier call no longer. */
  follow(files: readonly string[]): void;
}

const maxFolders = 1000;
const passedOver = /^\.|^node_modules$|~$|\.(tgz|swp|swx|tmp|log)$|^4913$|^#.*#$/;

export function watchFolder(dir: string, onChange: () => void): FolderWatch {
  const root = resolve(dir);
  const watchers = new Map<string, FSWatcher>();
  let followed: readonly string[] = [];

  const refresh = (): void => {
    const wanted = new Set([...foldersBelow(root), ...followed]);
    for (const [folder, watcher] of watchers) {
      if (wanted.has(folder)) continue;
      watcher.close();
      watchers.delete(folder);
    }
    for (const folder of wanted) {
      if (watchers.has(folder)) continue;
      try {
        const watcher = watch(folder, { persistent: true }, (kind, name) => {
          if (name !== null && passedOver.test(name)) return;
          // A folder may have come or gone.
          if (kind === "rename") refresh();
          onChange();
        });
        watcher.on("error", () => {
          watcher.close();
          watchers.delete(folder);
        });
        watchers.set(folder, watcher);
      } catch {
        // It vanished meanwhile.
      }
    }
  };

  refresh();
  return {
    follow(files) {
      followed = [...new Set(files.map((file) => dirname(file)))].filter(
        (folder) => !folder.split(sep).includes("node_modules"),
      );
      refresh();
    },
    [Symbol.dispose]() {
      for (const watcher of watchers.values()) watcher.close();
      watchers.clear();
    },
  };
}

function foldersBelow(root: string): string[] {
  const found = [root];
  for (let at = 0; at < found.length && found.length < maxFolders; at += 1) {
    try {
      for (const entry of readdirSync(found[at]!, { withFileTypes: true }))
        if (entry.isDirectory() && !passedOver.test(entry.name)) found.push(join(found[at]!, entry.name));
    } catch {
      // It vanished meanwhile.
    }
  }
  return found.slice(0, maxFolders);
}
