// The list of protocols, and look-ups over it. The filter, the platform, the decoder and the docs all start here.
import { base } from './base.ts'
import { clock } from './clock.ts'
import { performance } from './performance.ts'
import { pinControl } from './pin-control.ts'
import { power } from './power.ts'
import { powerCapping } from './power-capping.ts'
import { reset } from './reset.ts'
import type { AnyMessage, Protocol, Version } from './schema.ts'
import { sensor } from './sensor.ts'
import { system } from './system.ts'
import { voltage } from './voltage.ts'

export const protocols = [
  base,
  power,
  system,
  performance,
  clock,
  sensor,
  reset,
  voltage,
  powerCapping,
  pinControl,
] as const satisfies readonly Protocol[]

/** The protocol with this id, or undefined. */
export const protocolOf = (id: number): Protocol | undefined => protocols.find(p => p.id === id)

/** Name and declaration of a message, or undefined. */
export function messageOf(
  protocolId: number,
  messageId: number,
): { name: string; message: AnyMessage } | undefined {
  for (const [name, message] of Object.entries(protocolOf(protocolId)?.messages ?? {})) {
    if (message.id === messageId) return { name, message }
  }
  return undefined
}

/** The newest version of a protocol that this schema knows. */
export const newestVersion = (p: Protocol): Version => p.versions.at(-1)?.version ?? 0

/** SCMI releases, oldest first. */
export const releases = ['1.0', '2.0', '3.0', '3.1', '3.2'] as const
export type Release = (typeof releases)[number]

/** The version word of a protocol in an SCMI release, or undefined where the release does not have it. */
export function versionIn(p: Protocol, release: Release): Version | undefined {
  let version: Version | undefined
  for (const v of p.versions)
    if (releases.indexOf(v.release as Release) <= releases.indexOf(release)) version = v.version
  return version
}
