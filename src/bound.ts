/**
 * For an LRU cache: at most so many entries. Not its `max`, which takes the memory for all of them at
 * once, most of which may never be used.
 */
export function atMost(entries: number) {
  return { maxSize: entries, sizeCalculation: () => 1 }
}
