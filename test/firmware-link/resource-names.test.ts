// src/firmware-link/resource-names.ts: names for people, whatever the firmware makes of the question.
import { describe, expect, test } from 'vitest'
import { MediatorError } from '../../src/errors.ts'
import { discover, type FirmwareRequest } from '../../src/firmware-link/discovery.ts'
import { resourceNames } from '../../src/firmware-link/resource-names.ts'
import { example, hex, name16 } from '../platform/ask.ts'

const messageOf = (command: string): number => {
  const header = Buffer.from(command, 'hex').readUInt32LE(0)
  return (((header >>> 10) & 0xff) << 8) | (header & 0xff)
}

async function namesOf(
  instead: (message: number, id: number) => string | Error | undefined = () => undefined,
) {
  const asked = example()
  const request: FirmwareRequest = async (channel, frame) => {
    const command = Buffer.from(frame).toString('hex')
    const id = command.length > 8 ? Buffer.from(command, 'hex').readUInt32LE(4) : 0
    const answer = instead(messageOf(command), id)
    if (answer instanceof Error) throw answer
    return Buffer.from(
      answer === undefined ? asked.raw(channel, command) : command.slice(0, 8) + answer,
      'hex',
    )
  }
  const { protocols } = await discover(
    async (channel, frame) => Buffer.from(asked.raw(channel, Buffer.from(frame).toString('hex')), 'hex'),
    { channel: 0 },
    [],
  )
  const names = await resourceNames(request, 0, protocols)
  return { names }
}

test('the example platform', async () => {
  const { names } = await namesOf()
  expect(Object.fromEntries(names)).toEqual({
    17: ['avb', 'usb0', 'sdhi', 'can-i2c', 'gpu', 'adc', 'can1', 'cpu'],
    19: ['gpu', 'cpu', 'usb-bus'],
    20: [
      'avb',
      'usb0',
      'usb0-phy',
      'sd0',
      'sd0h',
      'sd2',
      'sd2h',
      'i2c2',
      'gpu',
      'can',
      'canfd',
      'adc',
      'codec',
      'cpu',
    ],
    21: ['gpu-temp', 'adc-in0', 'board-temp'],
    22: ['avb', 'usb0', 'sd0', 'sd2', 'i2c2', 'gpu', 'canfd', 'adc', 'can1'],
    23: ['vcc-sd0', 'vccq-sd0', 'vcc-sd2', 'vdd-cpu'],
  })
})

describe('what cannot be told is an empty name, and the others go on', () => {
  test.each<[string, string]>([
    ['refused', hex(-3 >>> 0)],
    ['too short', hex(0)],
    ['too long', hex(0, 0) + name16('long') + hex(0, 0)],
  ])('%s', async (_why, answer) => {
    const { names } = await namesOf((message, id) => (message === 0x1403 && id === 1 ? answer : undefined))
    expect(names.get(0x14)?.slice(0, 3)).toEqual(['avb', '', 'usb0-phy'])
  })
})

describe('sensors are listed', () => {
  const descriptor = (id: number, name: string): string => hex(id, 0, 2) + name16(name)

  test('each says which it is, in any order', async () => {
    const { names } = await namesOf(message =>
      message === 0x1503
        ? hex(0, 3) + descriptor(2, 'board') + descriptor(0, 'gpu') + descriptor(1, 'adc')
        : undefined,
    )
    expect(names.get(0x15)).toEqual(['gpu', 'adc', 'board'])
  })

  test('one that does not exist has no place', async () => {
    const { names } = await namesOf(message =>
      message === 0x1503 ? hex(0, 2) + descriptor(0xffff_ffff, 'ghost') + descriptor(3, 'ghost') : undefined,
    )
    expect(names.get(0x15)).toEqual(['', '', ''])
  })

  test.each<[string, string]>([
    ['refused', hex(-8 >>> 0)],
    ['malformed', hex(0, 5)],
    ['empty', hex(0, 0)],
  ])('a list that is %s ends', async (_why, answer) => {
    const { names } = await namesOf(message => (message === 0x1503 ? answer : undefined))
    expect(names.get(0x15)).toEqual(['', '', ''])
    expect(names.get(0x16)?.[0]).toBe('avb')
  })
})

test('silence is thrown: it would come again for each', async () => {
  const silent = new MediatorError('FIRMWARE_SILENT', 'the firmware did not answer on channel 0')
  await expect(namesOf(message => (message === 0x1303 ? silent : undefined))).rejects.toThrow(silent)
})
