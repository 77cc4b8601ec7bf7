// Steps that are undone in reverse order when a later one fails. What the steps are is their callers' business.

/** Undoes one step. */
export type Undo = () => void | Promise<void>

/** Runs `steps`; when one throws, undoes those before it, last first, and throws what it threw. */
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

/** Lets one caller at a time through, in order. */
export class Turnstile {
  #last: Promise<unknown> = Promise.resolve()

  pass<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work, work)
    this.#last = turn.catch(() => {})
    return turn
  }
}
