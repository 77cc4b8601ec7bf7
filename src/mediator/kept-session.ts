// What a guest negotiated and subscribed to, in a file of the run directory: for a successor of this process, when the
// guest outlives it. The file is mapped; keeping it up costs plain stores.
import { renameSync, rmSync } from 'node:fs'
import { MappedMemory } from '../native/mapped-memory.ts'
import { attachOwnFile } from '../native/own-file.ts'
import { currentBoot, uuidWords } from '../native/provenance.ts'

/** Words of a link's name for a guest's run: `GuestLink.run`. */
const runWords = 8

// Words of the file. Behind them the kinds, two words each; then a bitmap for each kind.
const MAGIC = 0
const KINDS = 1
const VERSION = 2
const NOTIFY_ERRORS = 3
const BOOT = 4
const RUN = 8
const TABLE = RUN + runWords
const magic = 0x31534353 // 'SCS1'

/** What has a bit for each resource: a message that subscribes, by its table index. */
export interface KeptKind {
  readonly command: number
  readonly count: number
}

/** One guest's file. Only `claim` believes what a predecessor wrote; everything read from it is bounded by our own kinds. */
export class KeptSession {
  #path: string
  readonly #kinds: readonly KeptKind[]
  readonly #memory: MappedMemory
  readonly #words: Uint32Array
  readonly #boot: Uint32Array
  /** Where the bitmap of a kind begins, by command. */
  readonly #bitmaps = new Map<number, number>()
  /** Where a bitmap of no kind would begin. */
  readonly #end: number

  private constructor(path: string, kinds: readonly KeptKind[]) {
    this.#path = path
    this.#kinds = kinds
    let at = TABLE + kinds.length * 2
    for (const { command, count } of kinds) {
      this.#bitmaps.set(command, at)
      at += (count + 31) >>> 5
    }
    this.#end = at
    this.#boot = uuidWords(currentBoot())
    this.#memory = new MappedMemory(at * 4)
    this.#words = this.#memory.words
  }

  /** The file at `path`, made when it is not there. SYSTEM when it cannot be kept. */
  static open(path: string, kinds: readonly KeptKind[]): KeptSession {
    const session = new KeptSession(path, kinds)
    try {
      attachOwnFile(session.#memory, path, session.#end * 4)
    } catch (error) {
      session.close()
      throw error
    }
    return session
  }

  /** The Base version in force, and whether errors are to be notified: as they stand in the file. */
  get version(): number {
    return this.#words[VERSION] as number
  }
  get notifyErrors(): boolean {
    return this.#words[NOTIFY_ERRORS] === 1
  }

  /**
   * Whether the file was left for this very run of the guest, in this boot of the machine, by a process with the same
   * kinds and counts; then it stands as it is. False for a run that has no name.
   */
  claim(run: Uint32Array | undefined): boolean {
    const words = this.#words
    return (
      run !== undefined &&
      words[MAGIC] === magic &&
      words[KINDS] === this.#kinds.length &&
      run.every((word, i) => words[RUN + i] === word) &&
      this.#boot.every((word, i) => words[BOOT + i] === word) &&
      this.#kinds.every(
        ({ command, count }, i) => words[TABLE + i * 2] === command && words[TABLE + i * 2 + 1] === count,
      )
    )
  }

  /** A run begins in which nothing was negotiated or subscribed to. Without a name no successor will believe the file. */
  begin(run: Uint32Array | undefined, version: number): void {
    const words = this.#words
    words[MAGIC] = 0 // first: a process that dies in between leaves nothing to believe
    words.fill(0, KINDS, this.#end)
    words[KINDS] = this.#kinds.length
    words[VERSION] = version
    words.set(this.#boot, BOOT)
    for (const [i, { command, count }] of this.#kinds.entries()) {
      words[TABLE + i * 2] = command
      words[TABLE + i * 2 + 1] = count
    }
    this.mark(run)
  }

  /** What is kept stands, and the run has this name now: its front end may have come back another. */
  mark(run: Uint32Array | undefined): void {
    if (this.claim(run)) return
    const words = this.#words
    words[MAGIC] = 0
    if (run === undefined) return
    words.set(run, RUN)
    words[MAGIC] = magic
  }

  negotiated(version: number, notifyErrors: boolean): void {
    this.#words[VERSION] = version
    this.#words[NOTIFY_ERRORS] = notifyErrors ? 1 : 0
  }

  set(command: number, id: number, on: boolean): void {
    const at = this.#bitmaps.get(command)
    if (at === undefined) return
    const words = this.#words
    const word = at + (id >>> 5)
    const mask = 1 << (id & 31)
    words[word] = on ? (words[word] as number) | mask : (words[word] as number) & ~mask
  }

  /** Every subscription in the file. Allocates. */
  subscriptions(): { command: number; id: number }[] {
    return this.#kinds.flatMap(({ command, count }) => {
      const at = this.#bitmaps.get(command) as number
      return Array.from({ length: count }, (_, id) => id)
        .filter(id => (((this.#words[at + (id >>> 5)] as number) >>> (id & 31)) & 1) === 1)
        .map(id => ({ command, id }))
    })
  }

  /** The file is called otherwise from now on. Throws what renaming throws. */
  rename(path: string): void {
    renameSync(this.#path, path)
    this.#path = path
  }

  /** Lets go of the file, and leaves it for a successor. Twice is once. */
  close(): void {
    this.#memory.close()
  }

  /** Lets go of the file and removes it. */
  remove(): void {
    this.close()
    rmSync(this.#path, { force: true })
  }
}
