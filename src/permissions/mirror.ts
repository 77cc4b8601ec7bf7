// Grants told to the firmware: the Base protocol's permission commands, on the management channel. Sends, judges, keeps none.
import { base } from '../scmi/base.ts'
import { decodeResponse, encodeCommand } from '../scmi/codec.ts'
import { COMMS_ERROR, DENIED, INVALID_PARAMETERS } from '../scmi/status.ts'

/** Sends a whole frame on a firmware channel; resolves with the whole answer. */
export type Send = (channel: number, frame: Uint8Array) => Promise<Uint8Array>

/** Whether the firmware was seen to refuse what an agent was not granted. */
export type Enforcement = 'enforced' | 'not-enforced' | 'unknown'

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
   * Asks for something the agent behind `channel` should be refused, in a form that can take no effect: a control with
   * reserved flag bits set. DENIED proves that permissions are enforced; INVALID_PARAMETERS that the firmware looked at
   * the flags first, or at them only.
   */
  async probe(
    channel: number,
    protocol: number,
    message: string,
    version: number,
    value: Readonly<Record<string, number>>,
  ): Promise<Enforcement> {
    const answer = await this.#send(channel, encodeCommand(protocol, message, version, value))
    const { status } = decodeResponse(protocol, message, version, answer)
    return status === DENIED ? 'enforced' : status === INVALID_PARAMETERS ? 'not-enforced' : 'unknown'
  }

  async #command(message: string, value: Readonly<Record<string, number>>): Promise<number> {
    const answer = await this.#send(this.#channel, encodeCommand(base.id, message, this.#version, value))
    const { status, malformed } = decodeResponse(base.id, message, this.#version, answer)
    return malformed === undefined ? status : COMMS_ERROR
  }
}
