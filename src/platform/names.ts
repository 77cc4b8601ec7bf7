// Names of resources and agents as they go on the wire: packed once, copied by words.
const shortWords = 4
const longWords = 16

/** The names of one protocol's resources, packed. */
export class Names {
  readonly #short: Uint32Array
  readonly #long: Uint32Array
  readonly #extended: Uint8Array

  /** @param names printable ASCII, at most 63 characters each */
  constructor(names: readonly string[]) {
    this.#short = new Uint32Array(names.length * shortWords)
    this.#long = new Uint32Array(names.length * longWords)
    this.#extended = Uint8Array.from(names, name => (name.length > 15 ? 1 : 0))
    const short = new Uint8Array(this.#short.buffer)
    const long = new Uint8Array(this.#long.buffer)
    for (const [id, name] of names.entries()) {
      for (let i = 0; i < Math.min(name.length, 15); i++) short[id * 16 + i] = name.charCodeAt(i)
      for (let i = 0; i < Math.min(name.length, 63); i++) long[id * 64 + i] = name.charCodeAt(i)
    }
  }

  /** 1 where the name is longer than its 16-byte field can hold. */
  extended(id: number): number {
    return this.#extended[id] as number
  }

  /** Writes the first 15 characters to the four words at `at`. */
  short(id: number, words: Uint32Array, at: number): void {
    for (let i = 0; i < shortWords; i++) words[at + i] = this.#short[id * shortWords + i] as number
  }

  /** Writes the whole name to the sixteen words at `at`. */
  long(id: number, words: Uint32Array, at: number): void {
    for (let i = 0; i < longWords; i++) words[at + i] = this.#long[id * longWords + i] as number
  }
}
