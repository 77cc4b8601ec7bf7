// The header word against words that Linux and SCP-firmware sent, and against the standard's bit positions.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  COMMAND,
  DELAYED_RESPONSE,
  header,
  messageId,
  messageType,
  NOTIFICATION,
  protocolId,
  reservedMask,
  tableIndex,
  tableSize,
  token,
  tokenMask,
  tokens,
} from '../../src/scmi/header.ts'

/** Words as recorded from Linux 6.12 and SCP-firmware 2.14, read off by hand. */
const recorded = [
  [0x0004_4000, 0x10, 0x0, COMMAND, 1, 'Linux: its second message, BASE PROTOCOL_VERSION'],
  [0x0190_5c06, 0x17, 0x6, COMMAND, 100, 'Linux: VOLTAGE_CONFIG_GET'],
  [0x0000_4f01, 0x13, 0x1, NOTIFICATION, 0, 'SCP: PERFORMANCE_LEVEL_CHANGED'],
  [0x0000_5205, 0x14, 0x5, DELAYED_RESPONSE, 0, 'SCP: CLOCK_RATE_SET completed'],
  [0x0002_6400, 0x99, 0x0, COMMAND, 0, 'a vendor protocol uses the top bit of its field'],
  [0x0fff_ffff, 0xff, 0xff, NOTIFICATION, 1023, 'every field full'],
] as const

describe('a header word', () => {
  test.each(recorded)(
    '0x%x is protocol 0x%x message 0x%x type %i token %i: %s',
    (word, protocol, message, type, sent) => {
      expect([protocolId(word), messageId(word), messageType(word), token(word)]).toEqual([
        protocol,
        message,
        type,
        sent,
      ])
      expect(header(protocol, message, type, sent)).toBe(word)
    },
  )

  test('is put together from what fits its fields, and read back whole', () => {
    fc.assert(
      fc.property(fc.nat(0xff), fc.nat(0xff), fc.nat(3), fc.nat(1023), (protocol, message, type, sent) => {
        const word = header(protocol, message, type, sent)
        expect(word).toBe(message + type * 0x100 + protocol * 0x400 + sent * 0x4_0000)
        expect([protocolId(word), messageId(word), messageType(word), token(word)]).toEqual([
          protocol,
          message,
          type,
          sent,
        ])
      }),
      { seed: 1, numRuns: 500 },
    )
  })

  test('too large parts do not spill into their neighbours', () => {
    expect(header(0x1ff, 0x1ff, 7, 0x7ff)).toBe(header(0xff, 0xff, 3, 0x3ff))
  })

  test('the masks cover what their fields are, and tokens are as many as the mask allows', () => {
    expect(tokenMask).toBe(header(0, 0, 0, tokens - 1))
    expect((reservedMask | header(0xff, 0xff, 3, 1023)) >>> 0).toBe(0xffff_ffff)
    expect(reservedMask & header(0xff, 0xff, 3, 1023)).toBe(0)
  })
})

describe('the table index', () => {
  test('is protocol and message, whatever else the word holds', () => {
    fc.assert(
      fc.property(fc.nat(0xffff_ffff), word => {
        const index = tableIndex(word)
        expect(index).toBe(protocolId(word) * 256 + messageId(word))
        expect(index).toBeLessThan(tableSize)
      }),
      { seed: 1, numRuns: 500 },
    )
  })
})
