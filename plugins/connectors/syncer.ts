/** For tests of connectors. */
import type { TestCallError, TestedPlugin, TestSynced, TestSyncOptions } from "@backplane/plugin-api/testing";

/** Syncs again and again, each time from where the last one stood, failed or not. */
export function syncer(plugin: TestedPlugin): (options?: TestSyncOptions) => Promise<TestSynced> {
  let next: TestSyncOptions = {};
  return async (options = next) => {
    try {
      const synced = await plugin.sync(options);
      next = synced.next;
      return synced;
    } catch (error) {
      next = (error as TestCallError).next ?? next;
      throw error;
    }
  };
}
