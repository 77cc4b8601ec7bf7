// 64-bit addresses as two signed 32-bit words, which V8 keeps without the heap; and as numbers where nothing is hot.

const sign = 0x8000_0000 | 0

/** Whether `a` is below `b`, both taken as unsigned 32-bit words. */
export const below = (a: number, b: number): boolean => (a ^ sign) < (b ^ sign)

/** The high word of `hi:lo + n`, for 0 <= n < 2^31; the low one is `(lo + n) | 0`. */
export const carried = (hi: number, lo: number, n: number): number =>
  below((lo + n) | 0, lo) ? (hi + 1) | 0 : hi

/** The 64-bit word at `words[at]`, low word first; -1 when a number cannot hold it exactly. */
export function numberAt(words: Uint32Array, at: number): number {
  const hi = words[at + 1] ?? 0
  return hi >= 2 ** 21 ? -1 : hi * 2 ** 32 + (words[at] ?? 0)
}

/** Writes a number as a 64-bit word. */
export function putNumber(words: Uint32Array, at: number, value: number): void {
  words[at] = value % 2 ** 32
  words[at + 1] = Math.floor(value / 2 ** 32)
}
