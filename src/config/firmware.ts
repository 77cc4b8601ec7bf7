// What the configuration says of the firmware, for each kind of link: what goes together, and which channel is whose.
import { maxSocketPathBytes } from './paths.ts'
import { platformFile, socketPath, type WrittenConfig } from './scmid-schema.ts'
import type { Problem, YamlFile } from './yaml-file.ts'

/** What is declared of one channel, to be checked against what discovery finds. */
export interface ConfiguredChannel {
  readonly channel: number
  readonly agentId?: number
  readonly smcId?: number
  readonly shmem?: number
}

interface AnyFirmware {
  /** Milliseconds until a silent platform counts as failed. */
  readonly deadlineMs: number
  readonly management: { readonly channel: number; readonly agentId?: number }
  readonly agents: readonly ConfiguredChannel[]
}

/** The firmware, its channels numbered. */
export type ConfiguredFirmware = AnyFirmware &
  (
    | {
        readonly link: 'embedded'
        /** The virtual SCP's own file. */
        readonly platform: string
      }
    | {
        readonly link: 'stream-socket'
        /** Where the platform listens for each channel; the management channel is the first. */
        readonly sockets: readonly string[]
        /** Milliseconds to wait for all of them at start. */
        readonly connectMs: number
      }
  )

type Written = WrittenConfig['firmware']

/** The firmware as written, with each path made `absolute`. Wants a file in which `firmwareProblems` found nothing. */
export function resolvedFirmware(written: Written, absolute: (name: string) => string): ConfiguredFirmware {
  const { link, deadlineMs, management, channels = [], agents = [] } = written
  if (link === 'embedded')
    return {
      link,
      platform: absolute(written.platform ?? ''),
      deadlineMs,
      management: { ...management, channel: management?.channel ?? 0 },
      agents,
    }
  const { path = '', ...self } = management ?? {}
  return {
    link,
    sockets: [path, ...channels.map(channel => channel.path)].map(absolute),
    connectMs: written.connectMs ?? 5000,
    deadlineMs,
    management: { ...self, channel: 0 },
    agents: channels.map(({ path: _, ...identity }, i) => ({ ...identity, channel: i + 1 })),
  }
}

/** What is missing for the link chosen, and what goes with another one. */
export function firmwareProblems(
  { link, platform, channels, connectMs, management, agents }: Written,
  absolute: (name: string) => string,
): Problem[] {
  const problems: Problem[] = []
  const say = (path: readonly (string | number)[], text: string): void => {
    problems.push({ path: ['firmware', ...path], text })
  }
  const foreign = (other: string, ...rows: (readonly [unknown, readonly string[]])[]): void => {
    for (const [value, path] of rows) if (value !== undefined) say(path, `goes with link: ${other}`)
  }
  if (link === 'embedded') {
    if (platform === undefined) say(['platform'], `is missing; expected ${platformFile}`)
    if (management !== undefined && management.channel === undefined)
      say(['management', 'channel'], 'is missing; expected an integer from 0 to 65535')
    foreign(
      'stream-socket',
      [channels, ['channels']],
      [connectMs, ['connectMs']],
      [management?.path, ['management', 'path']],
    )
    return problems
  }
  if (management?.path === undefined) say(['management', 'path'], `is missing; expected ${socketPath}`)
  foreign(
    'embedded',
    [platform, ['platform']],
    [agents, ['agents']],
    [management?.channel, ['management', 'channel']],
  )
  const sockets: (readonly [string | undefined, readonly (string | number)[]])[] = [
    [management?.path, ['management', 'path']],
    ...(channels ?? []).map(({ path }, i) => [path, ['channels', i, 'path']] as const),
  ]
  for (const [name, at] of sockets) {
    const bytes = name === undefined ? 0 : Buffer.byteLength(absolute(name))
    if (bytes > maxSocketPathBytes)
      say(at, `a Unix socket's path may have ${maxSocketPathBytes} bytes, this has ${bytes}`)
  }
  return problems
}

/** Every identity stands once: channel or socket, agent id, smc-id and shmem, each named with where it stood first. */
export function identityProblems(file: YamlFile<WrittenConfig>): Problem[] {
  const { management = {}, agents = [], channels = [] } = file.value.firmware
  const declared = [
    { path: ['firmware', 'management'], of: management },
    ...agents.map((of, i) => ({ path: ['firmware', 'agents', i], of })),
    ...channels.map((of, i) => ({ path: ['firmware', 'channels', i], of })),
  ]
  const problems: Problem[] = []
  for (const key of ['channel', 'path', 'agentId', 'smcId', 'shmem']) {
    const first = new Map<unknown, readonly (string | number)[]>()
    for (const each of declared) {
      const value = (each.of as Readonly<Record<string, unknown>>)[key]
      if (value === undefined) continue
      const path = [...each.path, key]
      const other = first.get(value)
      if (other === undefined) first.set(value, path)
      else problems.push({ path, text: `${key} ${shown(key, value)} stands already at ${file.where(other)}` })
    }
  }
  return problems
}

const shown = (key: string, value: unknown): string =>
  typeof value === 'number' && (key === 'smcId' || key === 'shmem')
    ? `0x${value.toString(16)}`
    : String(value)
