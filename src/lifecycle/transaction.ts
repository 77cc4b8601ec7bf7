// Steps that are undone in reverse order when a later one fails, or that all are taken whatever fails. What the steps are
// is their callers' business.

/** Undoes one step. */
export type Undo = () => void | Promise<void>

/**
 * Runs `steps`; when one throws, undoes those before it, last first, and throws what it threw. A step that may fail after
 * it took effect registers its undo beforehand.
 */
export async function transaction<T>(
  steps: (undo: (step: Undo) => void) => Promise<T>,
  onUndoFault: (error: unknown) => void,
): Promise<T> {
  const undos: Undo[] = []
  try {
    return await steps(undo => undos.push(undo))
  } catch (error) {
    for (const undo of undos.reverse()) {
      try {
        await undo()
      } catch (fault) {
        onUndoFault(fault)
      }
    }
    throw error
  }
}

/** Takes every step, in order, whatever fails on the way; throws the first fault then. For what takes rights away. */
export async function pressOn(steps: readonly Undo[]): Promise<void> {
  const faults: unknown[] = []
  for (const step of steps) {
    try {
      await step()
    } catch (fault) {
      faults.push(fault)
    }
  }
  if (faults.length > 0) throw faults[0]
}

/** Lets one caller at a time through, in order. */
export class Turnstile {
  #last: Promise<unknown> = Promise.resolve()

  pass<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work)
    this.#last = turn.catch(() => {})
    return turn
  }
}
