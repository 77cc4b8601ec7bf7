// The values a rate or a level may have: an ascending list, or lowest, highest and step. Doubles, exact to 2^53.

/** Which way a value that is not described is rounded. */
export const DOWN = 0
export const UP = 1
export const NEAREST = 2

export class DescribedValues {
  /** Whether they are told as lowest, highest, step. */
  readonly range: boolean
  /** The list; or the three of the range. */
  readonly values: Float64Array
  /** In and out of `round`: a double that goes through a call would need a place on the heap. */
  readonly cell = new Float64Array(1)
  readonly #lowest: number
  readonly #highest: number

  constructor(
    form: readonly number[] | { readonly min: number; readonly max: number; readonly step: number },
  ) {
    this.range = 'step' in form
    this.values = 'step' in form ? Float64Array.of(form.min, form.max, form.step) : Float64Array.from(form)
    this.#lowest = this.values[0] ?? 0
    this.#highest = ('step' in form ? this.values[1] : this.values.at(-1)) ?? 0
  }

  /** Replaces cell[0] by a described value; false, leaving it, where it lies beyond the ends. */
  round(mode: number): boolean {
    const wanted = this.cell[0] as number
    if (!(wanted >= this.#lowest && wanted <= this.#highest)) return false
    let below: number
    let above: number
    if (this.range) {
      const step = this.values[2] as number
      below = wanted - ((wanted - this.#lowest) % step)
      above = below === wanted ? below : below + step
      if (above > this.#highest) above = below // the step need not divide the range
    } else {
      let low = 0
      let high = this.values.length - 1
      while (low < high) {
        const middle = (low + high + 1) >>> 1
        if ((this.values[middle] as number) <= wanted) low = middle
        else high = middle - 1
      }
      below = this.values[low] as number
      above = below === wanted ? below : (this.values[low + 1] as number)
    }
    if (mode === UP) this.cell[0] = above
    else if (mode === DOWN) this.cell[0] = below
    else this.cell[0] = wanted - below <= above - wanted ? below : above
    return true
  }

  /** Whether cell[0] is one of them. */
  held(): boolean {
    const wanted = this.cell[0] as number
    return this.round(DOWN) && this.cell[0] === wanted
  }
}
