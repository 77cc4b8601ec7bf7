import { describe, expect, test } from 'vitest'
import { parseScriptLine, type ScriptLine } from '../../src/guest/script-line.ts'

const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'))

const table: readonly [string, ScriptLine | undefined, string][] = [
  ['', { kind: 'nothing' }, 'empty'],
  ['   # only a comment', { kind: 'nothing' }, 'comment'],
  ['05500000 00000000', { kind: 'frame', bytes: bytes('0550000000000000') }, 'bytes as in golden frames'],
  ['05 50 00 00 0', undefined, 'half a byte'],
  ['DEADBEEF # upper case', { kind: 'frame', bytes: bytes('deadbeef') }, 'upper case, comment behind'],
  ['sleep 5', { kind: 'sleep', ms: 5 }, 'a wait'],
  ['sleep -5', undefined, 'a negative wait'],
  ['sleep 3600001', undefined, 'more than an hour'],
  ['use clock 0,3', { kind: 'use', protocol: 0x14, ids: [0, 3] }, 'protocol by its word'],
  ['try 0x11 2', { kind: 'try', protocol: 0x11, ids: [2] }, 'protocol by its number'],
  ['use clock', undefined, 'no ids'],
  ['use clocks 0', undefined, 'no such protocol'],
  ['use clock 0,', undefined, 'an id is missing'],
  ['use clock 4294967296', undefined, 'no 32-bit id'],
  ['discover', { kind: 'discover' }, 'look around'],
  ['mark the end', { kind: 'mark', text: 'the end' }, 'a mark'],
  [
    'CLOCK_RATE_SET clock_id=3 rate=0x17d7840 flags.round_up=1',
    {
      kind: 'message',
      protocol: 0x14,
      message: 'CLOCK_RATE_SET',
      value: { clock_id: 3n, rate: 25_000_000n, flags: { round_up: 1 } },
    },
    'numbers in both notations, one range of a word',
  ],
  [
    'VOLTAGE_LEVEL_SET domain_id=1 level=-5',
    { kind: 'message', protocol: 0x17, message: 'VOLTAGE_LEVEL_SET', value: { domain_id: 1n, level: -5n } },
    'a negative level',
  ],
  [
    'reset.PROTOCOL_VERSION',
    { kind: 'message', protocol: 0x16, message: 'PROTOCOL_VERSION', value: {} },
    'a message of every protocol, of one',
  ],
  [
    'CLOCK_CONFIG_SET clock_id=1 extended_config_val=2',
    {
      kind: 'message',
      protocol: 0x14,
      message: 'CLOCK_CONFIG_SET',
      value: { clock_id: 1n, extended_config_val: 2n },
    },
    'a field of a later version',
  ],
]
test.each(table)('%s: %s', (line, said) => {
  if (said === undefined) expect(() => parseScriptLine(line)).toThrow(RangeError)
  else expect(parseScriptLine(line)).toEqual(said)
})

describe('what is wrong is told', () => {
  test.each([
    ['CLOCK_RATE_SETT clock_id=3', 'no message CLOCK_RATE_SETT'],
    ['PROTOCOL_VERSION', 'say which one'],
    ['power.CLOCK_RATE_SET clock_id=3', 'no message power.CLOCK_RATE_SET'],
    ['CLOCK_RATE_SET rate=1', 'CLOCK_RATE_SET lacks clock_id'],
    ['CLOCK_RATE_SET clock_id=3 rat=1', 'no field rat; it has flags, clock_id, rate'],
    ['CLOCK_RATE_SET clock_id=3 rate=fast', 'rate=fast: expected field=number'],
    ['CLOCK_RATE_SET clock_id=3 clock_id=4', 'clock_id is given twice'],
    ['CLOCK_CONFIG_SET clock_id=3 attributes=1 attributes.enable=1', 'attributes is given twice'],
  ])('%s: %s', (line, text) => expect(() => parseScriptLine(line)).toThrow(text))
})
