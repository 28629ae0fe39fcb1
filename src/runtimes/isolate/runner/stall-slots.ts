/** Words of memory that a runner's main thread and its stall watch share. */
export const StallSlot = {
  /** Grows with every look of the main thread. */
  beats: 0,
  /** 1 while there is work. */
  active: 1,
  /** Number of the instance that the main thread is inside of, else 0. */
  inlineInstance: 2,
  /** Never changes: something to sleep on. */
  never: 3,
  /** Entries on the thread pool. */
  entries: 4,
} as const;

export const stallSlots = 5;
