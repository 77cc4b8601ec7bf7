// What this daemon did to a domain that outlives it: the monitor it enabled, the page it put there, the conduit it set.
//
// Xen tells a monitor of ours that lost its process from a stranger's by nothing: both are EBUSY. So it is written down
// before it is done, with what proves the domain to be the same one: its UUID, and the boot that its id is of.
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { errorText, MediatorError } from '../../errors.ts'
import { currentBoot } from '../../native/provenance.ts'
import { replaceFile } from '../../native/replaced-file.ts'

/** How far the monitor got: being enabled, enabled, taken down by us. */
export type Stage = 'arming' | 'armed' | 'disarmed'

export interface MonitorEntry {
  readonly version: 1
  readonly domid: number
  readonly uuid: string
  /** /proc/sys/kernel/random/boot_id: domain ids begin anew with the machine. */
  readonly bootId: string
  /** Of this arming; hexadecimal digits, in the log and here. */
  readonly nonce: string
  readonly stage: Stage
  /** The event channel's port on the domain's side; -1 before it is known. */
  readonly port: number
  /** The page that was put into a hole, a guest frame number; -1 for none. */
  readonly page: number
  /** Whether the guest's own tree was changed to call by SMC. */
  readonly conduitSet: boolean
}

/** One domain's entry, in a file of its own. */
export class MonitorJournal {
  readonly path: string
  readonly #domid: number
  readonly #uuid: string
  readonly #bootId: string

  /** For the domain with that id and UUID, in `directory`. */
  constructor(directory: string, domid: number, uuid: string, bootId = currentBoot()) {
    this.path = join(directory, `${domid}.json`)
    this.#domid = domid
    this.#uuid = uuid
    this.#bootId = bootId
  }

  /** What was written of this very domain; undefined when nothing was. Entries of former domains are removed. */
  load(): MonitorEntry | undefined {
    let text: string
    try {
      text = readFileSync(this.path, 'utf8')
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw new MediatorError('STATE_CORRUPT', `${this.path}: ${errorText(cause)}`, {
        cause,
        path: this.path,
      })
    }
    const entry = parse(text)
    if (entry === undefined)
      throw new MediatorError('STATE_CORRUPT', `${this.path}: is no entry of a monitor`, { path: this.path })
    if (entry.domid === this.#domid && entry.uuid === this.#uuid && entry.bootId === this.#bootId)
      return entry
    this.remove()
    return undefined
  }

  /** Writes the entry, on disk before this returns. */
  save(entry: Omit<MonitorEntry, 'version' | 'domid' | 'uuid' | 'bootId'>): void {
    const whole: MonitorEntry = {
      ...entry,
      version: 1,
      domid: this.#domid,
      uuid: this.#uuid,
      bootId: this.#bootId,
    }
    try {
      mkdirSync(dirname(this.path), { recursive: true, mode: 0o700 })
    } catch (cause) {
      throw new MediatorError('SYSTEM', `${this.path}: ${errorText(cause)}`, { cause, path: this.path })
    }
    replaceFile(this.path, `${JSON.stringify(whole)}\n`)
  }

  /** Notes that the page `gfn`, which the domain does not have, is about to be put there. */
  plan(gfn: number): void {
    const before = this.load() ?? { nonce: '', stage: 'disarmed', port: -1, conduitSet: false }
    this.save({ ...before, page: gfn })
  }

  /** Forgets the domain. */
  remove(): void {
    rmSync(this.path, { force: true })
  }
}

function parse(text: string): MonitorEntry | undefined {
  try {
    const value = JSON.parse(text) as MonitorEntry
    const sound =
      value.version === 1 &&
      Number.isInteger(value.domid) &&
      typeof value.uuid === 'string' &&
      typeof value.bootId === 'string' &&
      typeof value.nonce === 'string' &&
      ['arming', 'armed', 'disarmed'].includes(value.stage) &&
      Number.isInteger(value.port) &&
      Number.isInteger(value.page) &&
      typeof value.conduitSet === 'boolean'
    return sound ? value : undefined
  } catch {
    return undefined
  }
}
