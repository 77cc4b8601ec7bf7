// The domains that this daemon has paused, written down so that its successor lets go of what it finds held. A pause that
// nobody remembers would hold a domain for ever: Xen counts pauses and does not tell whose they are.
import { readFileSync } from 'node:fs'
import { errorText, MediatorError } from '../../errors.ts'
import { replaceFile } from '../../native/replaced-file.ts'
import type { Hypervisor } from './hypervisor.ts'

interface Held {
  readonly domid: number
  readonly uuid: string
  /** `pausing` and `releasing` are written before Xen is asked, `paused` after it has done it. */
  readonly stage: 'pausing' | 'paused' | 'releasing'
}

interface HoldsFile {
  readonly version: 1
  /** Domain ids begin anew with the machine. */
  readonly bootId: string
  readonly held: readonly Held[]
}

const bootIdFile = '/proc/sys/kernel/random/boot_id'
const keyOf = (domid: number, uuid: string): string => `${domid} ${uuid}`

/** One hold a domain at most. */
export class Holds {
  readonly path: string
  readonly #hypervisor: Hypervisor
  readonly #bootId: string
  readonly #held = new Map<string, Held>()

  constructor(path: string, hypervisor: Hypervisor, bootId = readFileSync(bootIdFile, 'utf8').trim()) {
    this.path = path
    this.#hypervisor = hypervisor
    this.#bootId = bootId
  }

  /**
   * Takes over what an earlier run held. Gives a sentence for each domain of which it cannot be told whether it is held:
   * those are left as they are, paused if they are.
   */
  load(): readonly string[] {
    const doubts: string[] = []
    for (const held of this.#read()) {
      const { domid, uuid, stage } = held
      const info = this.#hypervisor.get(domid)
      if (info === undefined || info.uuid !== uuid || info.dying || !info.paused) continue
      if (stage === 'paused') this.#held.set(keyOf(domid, uuid), held)
      else
        doubts.push(
          `domain ${domid} is paused, perhaps by a daemon that was killed while it was ${stage} it; xl unpause ${domid} lets it go`,
        )
    }
    this.#save()
    return doubts
  }

  has(domid: number, uuid: string): boolean {
    return this.#held.has(keyOf(domid, uuid))
  }

  /** Pauses the domain, once. DOMAIN_UNKNOWN, XEN_REFUSED, SYSTEM when it cannot be written down: it is not paused then. */
  take(domid: number, uuid: string): void {
    if (this.has(domid, uuid)) return
    const key = keyOf(domid, uuid)
    this.#held.set(key, { domid, uuid, stage: 'pausing' })
    try {
      this.#save()
      this.#hypervisor.pause(domid)
    } catch (error) {
      this.#held.delete(key)
      this.#saveIfPossible()
      throw error
    }
    this.#held.set(key, { domid, uuid, stage: 'paused' })
    this.#saveIfPossible()
  }

  /** Takes the pause back, if there is one. A domain that is gone needs none. */
  release(domid: number, uuid: string): void {
    const key = keyOf(domid, uuid)
    if (!this.#held.has(key)) return
    this.#held.set(key, { domid, uuid, stage: 'releasing' })
    this.#saveIfPossible()
    const info = this.#hypervisor.get(domid)
    if (info?.uuid === uuid && !info.dying) this.#hypervisor.unpause(domid)
    this.#held.delete(key)
    this.#saveIfPossible()
  }

  /** The domain is gone, and its pause with it. */
  forget(domid: number, uuid: string): void {
    if (this.#held.delete(keyOf(domid, uuid))) this.#saveIfPossible()
  }

  #read(): readonly Held[] {
    let text: string
    try {
      text = readFileSync(this.path, 'utf8')
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return []
      throw corrupt(this.path, cause)
    }
    try {
      const { version, bootId, held } = JSON.parse(text) as HoldsFile
      if (version !== 1 || !Array.isArray(held)) throw new Error('is no list of held domains')
      return bootId === this.#bootId ? held : []
    } catch (cause) {
      throw corrupt(this.path, cause)
    }
  }

  /** What is in the file then errs on the side of a hold: the next start finds the domain gone, or running. */
  #saveIfPossible(): void {
    try {
      this.#save()
    } catch {
      // `take` throws the next time
    }
  }

  #save(): void {
    const file: HoldsFile = { version: 1, bootId: this.#bootId, held: [...this.#held.values()] }
    replaceFile(this.path, `${JSON.stringify(file)}\n`)
  }
}

const corrupt = (path: string, cause: unknown): MediatorError =>
  new MediatorError('STATE_CORRUPT', `${path}: ${errorText(cause)}`, { cause, path })
