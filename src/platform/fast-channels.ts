// Fast channels of performance domains: descriptors that the platform file declares. Nothing listens at their addresses.
import { performance as protocol } from '../scmi/performance.ts'
import { type AnyMessage, existsAt } from '../scmi/schema.ts'
import { BODY, type Call } from './call.ts'
import type { PerformanceConfig } from './config-protocols.ts'
import { out, outBits, shiftOf, two32 } from './words.ts'

const m = protocol.messages
const DESCRIBE = m.PERFORMANCE_DESCRIBE_FASTCHANNEL
const DOORBELL = outBits(DESCRIBE, 'attributes', 'doorbell')
const WIDTH = shiftOf(outBits(DESCRIBE, 'attributes', 'doorbell_width'))
const words = out(DESCRIBE, 'doorbell_preserve_mask_high') + 1 - BODY
const at = (field: string): number => out(DESCRIBE, field) - BODY
/** Messages that move two words, maximum then minimum; the others move one. */
const limits = [m.PERFORMANCE_LIMITS_SET.id, m.PERFORMANCE_LIMITS_GET.id] as readonly number[]
const widths = { 8: 0, 16: 1, 32: 2 } as const
const firstMessage = m.PERFORMANCE_LIMITS_SET.id
const messages = 4

type FastChannel = PerformanceConfig['domains'][number]['fastChannels'][number]

function descriptor(channel: FastChannel): Uint32Array {
  const d = new Uint32Array(words)
  const put = (field: string, value: number) => {
    d[at(`${field}_low`)] = value
    d[at(`${field}_high`)] = value / two32
  }
  d[at('rate_limit')] = channel.rateLimitUs
  put('chan_addr', channel.address)
  d[at('chan_size')] = limits.includes(channel.message) ? 8 : 4
  const { doorbell } = channel
  if (doorbell !== undefined) {
    d[0] = DOORBELL | (widths[doorbell.width] << WIDTH)
    put('doorbell_addr', doorbell.address)
    put('doorbell_set_mask', doorbell.set)
    put('doorbell_preserve_mask', doorbell.preserve)
  }
  return d
}

export function fastChannels(domains: PerformanceConfig['domains']) {
  const descriptors = domains.map(d => {
    const list = new Array<Uint32Array | undefined>(messages).fill(undefined)
    for (const channel of d.fastChannels) list[channel.message - firstMessage] = descriptor(channel)
    return list
  })
  const offered = new Uint8Array(256)
  for (const d of domains) for (const { message } of d.fastChannels) offered[message] = 1
  const since = new Uint32Array(256).fill(0xffff_ffff)
  for (const message of Object.values(protocol.messages) as AnyMessage[])
    since[message.id] = existsAt(message, 0x1_0000) ? 0x1_0000 : (message.since ?? 0x1_0000)
  return {
    /** Whether any domain has a fast channel for the message. */
    offered: (message: number): boolean => offered[message] !== 0 && offered[message] !== undefined,
    /** Whether the domain has any fast channel. */
    has: (domain: number): boolean => (domains[domain]?.fastChannels.length ?? 0) > 0,
    /** Whether the message exists at the version. */
    known: (message: number, version: number): boolean =>
      message < 256 && version >= (since[message] as number),
    /** Writes the descriptor; false where the domain has none for the message. */
    describe(call: Call, message: number): boolean {
      const list = descriptors[call.resource] as readonly (Uint32Array | undefined)[]
      const found =
        message >= firstMessage && message < firstMessage + messages
          ? list[message - firstMessage]
          : undefined
      if (found === undefined) return false
      for (let i = 0; i < words; i++) call.words[BODY + i] = found[i] as number
      return true
    },
  }
}
