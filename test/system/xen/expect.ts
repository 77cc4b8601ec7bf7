// Compares what is with what should be, and tells both.
import { isDeepStrictEqual } from 'node:util'

/** Throws with both values when they differ. */
export function expect(found: unknown, wanted: unknown): void {
  if (!isDeepStrictEqual(found, wanted))
    throw new Error(`expected ${JSON.stringify(wanted)}, found ${JSON.stringify(found)}`)
}
