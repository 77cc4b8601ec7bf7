// Copies bytes between two memories of which each has a view of bytes and one of words. Without objects, unlike `set`.

/** Copies `count` bytes; by words where both places allow, which is three times as fast. */
export function copy(
  fromBytes: Uint8Array,
  fromWords: Uint32Array,
  from: number,
  toBytes: Uint8Array,
  toWords: Uint32Array,
  to: number,
  count: number,
): void {
  let done = 0
  if (((from | to) & 3) === 0) {
    const words = count >>> 2
    const fromWord = from >>> 2
    const toWord = to >>> 2
    for (let i = 0; i < words; i++) toWords[toWord + i] = fromWords[fromWord + i]!
    done = words << 2
  }
  for (let i = done; i < count; i++) toBytes[to + i] = fromBytes[from + i]!
}
