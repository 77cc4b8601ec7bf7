// What is wrong with a platform file. A shape, no rule.

/** A property at fault and what was expected of it. */
export interface Fault {
  readonly property: string
  readonly expected: string
}

export type Faults = Generator<Fault, void, undefined>
