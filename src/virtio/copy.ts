// Copies between two memories that are each seen as bytes and as words. A call of set() and subarray() would cost heap.

/** Copies `length` bytes from byte `from` to byte `to`, by words where both are aligned alike. */
export function copy(
  fromBytes: Uint8Array,
  fromInts: Int32Array,
  from: number,
  toBytes: Uint8Array,
  toInts: Int32Array,
  to: number,
  length: number,
): void {
  let done = 0
  if (((from | to) & 3) === 0) {
    const words = length >>> 2
    const fromWord = from >>> 2
    const toWord = to >>> 2
    for (let i = 0; i < words; i++) toInts[toWord + i] = fromInts[fromWord + i] as number
    done = words << 2
  }
  for (; done < length; done++) toBytes[to + done] = fromBytes[from + done] as number
}
