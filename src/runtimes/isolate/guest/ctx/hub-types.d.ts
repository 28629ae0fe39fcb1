/** Type-only stand-ins for what src/runtimes/runtime.ts names and the guest has no global of: no value can be used by mistake. */
interface AbortSignal {
  readonly aborted: boolean;
}
