// Which version of each protocol is presented, and which is in force for each agent. No message.
import { protocols, versionIn } from '../scmi/protocols.ts'
import type { Protocol } from '../scmi/schema.ts'
import type { PlatformConfig } from './config.ts'
import { firstProtocol, protocolCount, sectionOf } from './numbering.ts'
import type { Deviations } from './profiles.ts'

/** Versions that the schema lists for any protocol, at most. */
export const maxVersions = 4

/** Presented and negotiated versions, as indices into each protocol's list of versions. */
export class Versions {
  /** Index of the version presented; -1 where the platform does not have the protocol. */
  readonly presented = new Int8Array(protocolCount).fill(-1)
  readonly #words = new Uint32Array(protocolCount * maxVersions)
  readonly #inForce: Uint8Array
  readonly #ownMajorOnly: boolean

  constructor(config: PlatformConfig, { ownMajorOnly }: Deviations) {
    this.#ownMajorOnly = ownMajorOnly
    for (const protocol of protocols as readonly Protocol[]) {
      const key = sectionOf(protocol.key) as keyof PlatformConfig['versions']
      if (key !== 'base' && config[key] === undefined) continue
      const word = config.versions[key] ?? versionIn(protocol, config.release)
      const index = protocol.id - firstProtocol
      this.presented[index] = protocol.versions.findIndex(v => v.version === word)
      for (const [i, { version }] of protocol.versions.entries())
        this.#words[index * maxVersions + i] = version
    }
    this.#inForce = new Uint8Array(config.agents.length * protocolCount)
    for (let agent = 0; agent < config.agents.length; agent++) this.reset(agent)
  }

  /** Whether the platform has the protocol. */
  has(protocol: number): boolean {
    return (this.presented[protocol] as number) >= 0
  }

  /** Index of the version in force between the agent and the platform. */
  index(agent: number, protocol: number): number {
    return this.#inForce[agent * protocolCount + protocol] as number
  }

  /** The version word of an index. */
  word(protocol: number, index: number): number {
    return this.#words[protocol * maxVersions + index] as number
  }

  /** The version word in force. */
  inForce(agent: number, protocol: number): number {
    return this.word(protocol, this.index(agent, protocol))
  }

  /** Puts a listed version not above the presented one in force; false where there is none such. */
  negotiate(agent: number, protocol: number, version: number): boolean {
    const newest = this.presented[protocol] as number
    for (let i = 0; i <= newest; i++) {
      if (this.#words[protocol * maxVersions + i] !== version) continue
      if (this.#ownMajorOnly && version >>> 16 !== this.word(protocol, newest) >>> 16) return false
      this.#inForce[agent * protocolCount + protocol] = i
      return true
    }
    return false
  }

  /** Puts the presented versions in force again for the agent. */
  reset(agent: number): void {
    for (let protocol = 0; protocol < protocolCount; protocol++)
      this.#inForce[agent * protocolCount + protocol] = Math.max(0, this.presented[protocol] as number)
  }
}
