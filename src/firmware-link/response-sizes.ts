// Which lengths a message's response may have at each version of its protocol: compiled from the schema, read per message.
import { header, tableIndex, tableSize } from '../scmi/header.ts'
import { protocols } from '../scmi/protocols.ts'
import { type AnyMessage, existsAt, formAt, type Protocol, tailStep, type Version } from '../scmi/schema.ts'

/** Versions that the schema lists for any protocol, at most. */
const maxVersions = 4
/** Stands for a version that is not known: whatever form fits is accepted. */
export const anyVersion = -1

/** The lengths of successful responses, header and status included. */
export class ResponseSizes {
  /** Bytes without a tail, by table index and version; 0 where the version has no such message. */
  readonly #fixed = new Uint16Array(tableSize * maxVersions)
  readonly #step = new Uint8Array(tableSize * maxVersions)
  readonly #known = new Uint8Array(tableSize)

  constructor() {
    for (const protocol of protocols as readonly Protocol[]) {
      for (const message of Object.values(protocol.messages) as AnyMessage[]) {
        const at = tableIndex(header(protocol.id, message.id))
        this.#known[at] = 1
        for (const [index, { version }] of protocol.versions.entries()) {
          if (!existsAt(message, version)) continue
          const { response } = formAt(message, version)
          this.#fixed[at * maxVersions + index] = 8 + response.size
          this.#step[at * maxVersions + index] = response.tail === undefined ? 0 : tailStep(response.tail)
        }
      }
    }
  }

  /** Index of the newest listed version of a protocol that is not above `version`; `anyVersion` where there is none. */
  indexOf(protocolId: number, version: Version): number {
    for (const protocol of protocols as readonly Protocol[]) {
      if (protocol.id !== protocolId) continue
      let index = anyVersion
      for (let i = 0; i < protocol.versions.length; i++)
        if ((protocol.versions[i]?.version ?? 0) <= version) index = i
      return index
    }
    return anyVersion
  }

  /**
   * Whether a successful response to the message at `index` (a table index) may be `length` bytes long at the version
   * with this index. A message that the schema does not know may have any length that holds a status.
   */
  fits(index: number, version: number, length: number): boolean {
    if (this.#known[index] === 0) return length >= 8
    if (version !== anyVersion) return this.#fitsAt(index * maxVersions + version, length)
    for (let v = 0; v < maxVersions; v++) if (this.#fitsAt(index * maxVersions + v, length)) return true
    return false
  }

  #fitsAt(at: number, length: number): boolean {
    const fixed = this.#fixed[at] as number
    if (fixed === 0) return false
    const rest = length - fixed
    const step = this.#step[at] as number
    return step === 0 ? rest === 0 : rest >= 0 && rest % step === 0
  }
}
