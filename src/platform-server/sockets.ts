// Where each channel of a served platform listens: one socket file per channel, named for its agent. It opens none.
import { checkSocketPath } from '../config/paths.ts'
import type { PlatformConfig } from '../platform/config.ts'

/** One channel of the platform, and its socket. */
export interface AgentSocket {
  readonly channel: number
  readonly agentId: number
  readonly name: string
  readonly trusted: boolean
  /** Largest frame, header included. */
  readonly maxMessageBytes: number
  readonly path: string
}

/** Bytes a channel carries where the platform file does not say. */
const usualBytes = 128

/**
 * The sockets of a platform, in order of its channels: `PREFIX<agent id>.sock`, and `PREFIX<agent id>-<n>.sock` for an
 * agent's second channel and those after it. SOCKET_PATH when a path would be too long.
 */
export function agentSockets(config: PlatformConfig, prefix: string): AgentSocket[] {
  const channels: readonly { agent: number; maxMessageBytes?: number }[] =
    config.channels ?? config.agents.map(({ id }) => ({ agent: id }))
  const seen = new Map<number, number>()
  return channels.map(({ agent: agentId, maxMessageBytes = usualBytes }, channel) => {
    const nth = (seen.get(agentId) ?? 0) + 1
    seen.set(agentId, nth)
    const agent = config.agents.find(({ id }) => id === agentId)
    return {
      channel,
      agentId,
      name: agent?.name ?? '',
      trusted: agent?.trusted === true,
      maxMessageBytes,
      path: checkSocketPath(`${prefix}${agentId}${nth === 1 ? '' : `-${nth}`}.sock`),
    }
  })
}
