// Grants told to the firmware: the Base protocol's permission commands, on the management channel. Sends, judges, keeps none.
import { base } from '../scmi/base.ts'
import { decodeResponse, encodeCommand } from '../scmi/codec.ts'
import { COMMS_ERROR, DENIED, SUCCESS } from '../scmi/status.ts'

/** Sends a whole frame on a firmware channel; resolves with the whole answer. */
export type Send = (channel: number, frame: Uint8Array) => Promise<Uint8Array>

/** Whether the firmware was seen to refuse what an agent was not granted. */
export type Enforcement = 'enforced' | 'not-enforced' | 'unknown'

/**
 * What the statuses of probes by an agent that was granted nothing prove. DENIED throughout: permissions are enforced.
 * SUCCESS: what should be refused was not. Anything else leaves it open, INVALID_PARAMETERS above all: firmware that
 * looks at the flags before the permissions says so, and so does firmware that has none.
 */
export function enforcementOf(statuses: readonly number[]): Enforcement {
  if (statuses.includes(SUCCESS)) return 'not-enforced'
  return statuses.length > 0 && statuses.every(status => status === DENIED) ? 'enforced' : 'unknown'
}

/** The firmware's own permissions. Every method resolves with the SCMI status; COMMS_ERROR for an answer that is none. */
export class FirmwarePermissions {
  readonly #send: Send
  readonly #channel: number
  readonly #version: number

  /** `channel`: the management channel. `version`: of Base, at least 2.0. */
  constructor(send: Send, channel: number, version: number) {
    this.#send = send
    this.#channel = channel
    this.#version = version
  }

  /** BASE_SET_DEVICE_PERMISSIONS */
  setDevice(agentId: number, deviceId: number, allow: boolean): Promise<number> {
    return this.#command('BASE_SET_DEVICE_PERMISSIONS', {
      agent_id: agentId,
      device_id: deviceId,
      flags: allow ? 1 : 0,
    })
  }

  /** BASE_RESET_AGENT_CONFIGURATION with bit 0 set: without it the permissions would outlive the agent's tenant. */
  resetAgent(agentId: number): Promise<number> {
    return this.#command('BASE_RESET_AGENT_CONFIGURATION', { agent_id: agentId, flags: 1 })
  }

  /**
   * Asks on `channel` for something in a form that can take no effect, a control with reserved flag bits set, and gives
   * the status: it is the caller's to judge, see `enforcementOf`.
   */
  async probe(
    channel: number,
    protocol: number,
    message: string,
    version: number,
    value: Readonly<Record<string, number>>,
  ): Promise<number> {
    const answer = await this.#send(channel, encodeCommand(protocol, message, version, value))
    const { status, malformed } = decodeResponse(protocol, message, version, answer)
    return malformed === undefined ? status : COMMS_ERROR
  }

  async #command(message: string, value: Readonly<Record<string, number>>): Promise<number> {
    const answer = await this.#send(this.#channel, encodeCommand(base.id, message, this.#version, value))
    const { status, malformed } = decodeResponse(base.id, message, this.#version, answer)
    return malformed === undefined ? status : COMMS_ERROR
  }
}
