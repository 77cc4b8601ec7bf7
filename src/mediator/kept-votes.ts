// What the arbiter keeps, in a file of the run directory: for a successor of this process. The arbiter's own tables lie in
// the mapped file, so that keeping it up costs nothing beyond what is written anyhow.
import { MappedMemory } from '../native/mapped-memory.ts'
import { attachOwnFile } from '../native/own-file.ts'
import { currentBoot, uuidWords } from '../native/provenance.ts'
import type { Counts } from '../permissions/grants.ts'
import { spaceIds } from '../scmi/space.ts'
import { Arbiter, type Books } from './arbiter.ts'

// Words of the file: the magic word, how many words there are, how many slots and channels; this boot of the machine; the
// number of resources of each space. Then two words a slot, the time at which its domain was added; then the arbiter's tables.
const MAGIC = 0
const LENGTH = 1
const BOOT = 4
const COUNTS = 8
const SINCE = COUNTS + spaceIds
const magic = 0x31564353 // 'SCV1'

/** How many of everything the tables are for. */
export interface Shape {
  readonly counts: Counts
  readonly slots: number
  readonly channels: number
}

/** The file, mapped until `close`. Its tables are the arbiter's, which bounds what it finds in them. */
export class KeptVotes implements Books {
  /** Whether a process of this boot left it, over a platform with as many of everything; else it is empty now. */
  readonly believed: boolean
  /** Whether a process of this boot left something that is not believed. */
  readonly foreign: boolean
  readonly #memory: MappedMemory
  readonly #words: Uint32Array
  readonly #slots: number
  #next: number

  private constructor(path: string, { counts, slots, channels }: Shape) {
    const tables = SINCE + slots * 2
    const total = tables + Arbiter.words(counts, slots, channels)
    this.#slots = slots
    this.#next = tables
    this.#memory = new MappedMemory(total * 4)
    this.#words = this.#memory.words
    const header = new Uint32Array(SINCE)
    header.set([magic, total, slots, channels])
    header.set(uuidWords(currentBoot()), BOOT)
    for (let space = 0; space < spaceIds; space++) header[COUNTS + space] = counts[space] ?? 0
    try {
      attachOwnFile(this.#memory, path, total * 4)
    } catch (error) {
      this.close()
      throw error
    }
    const words = this.#words
    this.believed = header.every((word, i) => words[i] === word)
    this.foreign =
      !this.believed && header.subarray(BOOT, COUNTS).every((word, i) => words[BOOT + i] === word)
    if (this.believed) return
    words[MAGIC] = 0 // first: a process that dies in between leaves nothing to believe
    words.fill(0, LENGTH)
    words.set(header.subarray(LENGTH), LENGTH)
    words[MAGIC] = magic
  }

  /** The file at `path`, made when it is not there. SYSTEM when it cannot be kept. */
  static open(path: string, shape: Shape): KeptVotes {
    return new KeptVotes(path, shape)
  }

  /** The next table of the arbiter. */
  take(words: number): Uint32Array {
    const from = this.#next
    this.#next += words
    if (this.#next > this.#words.length) throw new RangeError('the arbiter takes more than it said')
    return this.#words.subarray(from, this.#next)
  }

  /** When the domain in the slot was added, in milliseconds; 0 for none. */
  since(slot: number): number {
    const at = SINCE + slot * 2
    return (this.#words[at] as number) + (this.#words[at + 1] as number) * 2 ** 32
  }

  /** Slots with a domain. */
  get taken(): number[] {
    return Array.from({ length: this.#slots }, (_, slot) => slot).filter(slot => this.since(slot) !== 0)
  }

  /** The slot is the domain's that was added then; nobody's for 0. */
  assign(slot: number, since: number): void {
    const at = SINCE + slot * 2
    this.#words[at] = 0
    this.#words[at + 1] = since / 2 ** 32
    this.#words[at] = since
  }

  /** Lets go of the file, and leaves it for a successor. The arbiter's tables are empty then. Twice is once. */
  close(): void {
    this.#memory.close()
  }
}
