// How a call names the shared memory that it is about (`arm,scmi-smc-param`): x1 the page of 4 KiB, whatever the guest's
// own pages are, and x2 the offset in it.

const pageBytes = 4096

/** x1 and x2 for an area at a guest-physical address, as four 32-bit words: page low, page high, offset, 0. */
export function registersOf(address: number): Int32Array {
  const page = Math.floor(address / pageBytes)
  return new Int32Array([page | 0, Math.floor(page / 2 ** 32), address % pageBytes, 0])
}

/** Whether the four words from `at` on are x1 and x2 for that area. They are compared, never followed. */
export function namesArea(words: Int32Array, at: number, area: Int32Array): boolean {
  for (let i = 0; i < 4; i++) if (words[at + i] !== area[i]) return false
  return true
}
