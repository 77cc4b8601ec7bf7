// The messages that all protocols answer alike: VERSION, ATTRIBUTES, MESSAGE_ATTRIBUTES, NEGOTIATE_PROTOCOL_VERSION.
import { NOT_FOUND, NOT_SUPPORTED, SUCCESS } from '../scmi/status.ts'
import { BODY, type Call, type Handler } from './call.ts'
import type { Implementation } from './implementation.ts'
import { firstProtocol } from './numbering.ts'
import type { Versions } from './versions.ts'

/** @param exists SUCCESS or NOT_FOUND for a message of a protocol: `protocol index << 8 | message id` */
export function commonHandlers(
  implementation: Implementation,
  versions: Versions,
  exists: (call: Call, index: number) => number,
): Readonly<Record<string, Handler>> {
  const protocol = implementation.protocol.id - firstProtocol
  const newest = versions.word(protocol, versions.presented[protocol] as number)
  return {
    PROTOCOL_VERSION(call) {
      call.words[BODY] = newest // also after an older one was negotiated
      return SUCCESS
    },
    PROTOCOL_ATTRIBUTES: implementation.attributes,
    PROTOCOL_MESSAGE_ATTRIBUTES(call) {
      const message = call.args[0] as number
      if (message > 0xff) return NOT_FOUND
      const status = exists(call, (protocol << 8) | message)
      if (status === SUCCESS) call.words[BODY] = implementation.messageAttributes?.(message) ?? 0
      return status
    },
    NEGOTIATE_PROTOCOL_VERSION(call) {
      return versions.negotiate(call.agent, protocol, call.args[0] as number) ? SUCCESS : NOT_SUPPORTED
    },
  }
}
