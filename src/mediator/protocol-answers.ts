// What the mediator answers itself about a protocol that a guest holds: its version, and which of its messages are there.
import { ABSENT, PRIVILEGED, type Rules, SUBSCRIBES } from '../permissions/rules.ts'
import { NEGOTIATE_PROTOCOL_VERSION, PROTOCOL_MESSAGE_ATTRIBUTES, PROTOCOL_VERSION } from '../scmi/common.ts'
import { messageId, protocolId } from '../scmi/header.ts'
import { NOT_FOUND, NOT_SUPPORTED, SUCCESS } from '../scmi/status.ts'
import type { Transfer } from '../transfer.ts'

/** The platform's to answer; any other outcome is the status of the answer in the transfer. */
export const NOT_OURS = 1

/** Answers the command in `transfer`, whose table index is `at`, or leaves it as it is: NOT_OURS. Allocates nothing. */
export function answerAboutProtocol(rules: Rules, transfer: Transfer, at: number, hasP2A: boolean): number {
  const argument = transfer.ints[1] as number
  const presented = rules.versions.get(protocolId(transfer.header)) as number
  switch (messageId(transfer.header)) {
    case PROTOCOL_VERSION:
      transfer.answer(SUCCESS)
      transfer.words[2] = presented
      transfer.length = 12
      return SUCCESS
    case NEGOTIATE_PROTOCOL_VERSION: {
      // Channels may be shared and forms are compiled for one version: only the one presented is there.
      const status = argument === presented ? SUCCESS : NOT_SUPPORTED
      transfer.answer(status)
      return status
    }
    case PROTOCOL_MESSAGE_ATTRIBUTES: {
      const about = (at & 0xff00) | (argument & 0xff)
      const flags = rules.flags[about] as number
      const there =
        (argument & ~0xff) === 0 &&
        (rules.kind[about] as number) > ABSENT &&
        (flags & PRIVILEGED) === 0 &&
        (hasP2A || (flags & SUBSCRIBES) === 0)
      if (there) return NOT_OURS
      transfer.answer(NOT_FOUND)
      return NOT_FOUND
    }
    default:
      return NOT_OURS
  }
}
