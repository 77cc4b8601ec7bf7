// src/mediator/relay.ts: the main thread's commands, and how each is refused.
import { afterEach, describe, expect, test } from 'vitest'
import { noGrants } from '../../src/permissions/grants.ts'
import { DelayingLink } from './delaying-link.ts'
import { frameOf, headerWord, Machine, type MachineOptions, MemoryGuest, wordsOf } from './machine.ts'

const machines: Machine[] = []
afterEach(() => {
  for (const machine of machines.splice(0)) machine.stop()
})
function machineOf(options: MachineOptions = {}): Machine {
  const machine = new Machine(options)
  machines.push(machine)
  return machine
}
const setup = (machine: Machine) => ({
  versions: machine.versions,
  counts: machine.counts,
  identity: { vendor: 'v', implementationVersion: 0 },
  host: noGrants(),
  auditQueries: false,
})

test('facts are the firmware-link’s', () => {
  expect(machineOf().execute({ type: 'facts' })).toEqual({
    kind: 'embedded',
    channels: 5,
    maxMessageBytes: 128,
  })
})

describe('request', () => {
  test('gives the whole answer, under the command’s own header', () => {
    const answer = machineOf().execute({
      type: 'request',
      channel: 0,
      frame: frameOf(headerWord(0x1000, 0x2a)),
    })
    expect(wordsOf(answer as Uint8Array)).toEqual([headerWord(0x1000, 0x2a), 0, 0x2_0001])
  })

  test.each<[string, number, Uint8Array, string]>([
    [
      'a channel that is not there',
      5,
      frameOf(headerWord(0x1000)),
      'the firmware has 5 channels, and no channel 5',
    ],
    ['a negative one', -1, frameOf(headerWord(0x1000)), 'no channel -1'],
    ['one that is no number', 0.5, frameOf(headerWord(0x1000)), 'no channel 0.5'],
    ['no header', 0, new Uint8Array(3), 'has 4 to 128 bytes, not 3'],
    ['more than the link carries', 0, new Uint8Array(129), 'has 4 to 128 bytes, not 129'],
  ])('%s', (_why, channel, frame, text) => {
    const machine = machineOf()
    expect(() => machine.execute({ type: 'request', channel, frame })).toThrow(text)
  })

  test('more of them than there are transfers', () => {
    let link: DelayingLink | undefined
    const machine = machineOf({
      firmware: platform => {
        link = new DelayingLink(platform)
        return link
      },
    })
    const commands = Array.from({ length: 600 }, (_, i) =>
      machine.begin({ type: 'request', channel: 0, frame: frameOf(headerWord(0x1000, i & 0x3ff)) }),
    )
    link?.settle()
    for (const [i, command] of commands.entries())
      expect(wordsOf(command.result() as Uint8Array)[0]).toBe(headerWord(0x1000, i & 0x3ff))
  })
})

describe('open', () => {
  test.each<[string, Parameters<Machine['open']>, string]>([
    ['a slot that is taken', [0, [1]], 'relay slot 0 is taken'],
    ['a slot beyond the last', [64, [1]], 'serves 64 guests'],
    ['a channel that is not there', [1, [1], { channel: 5 }], 'no channel 5'],
    [
      'a guest that cannot take what the firmware answers',
      [1, [1], { maxMessageBytes: 96 }],
      'the firmware answers with up to 128 bytes, more than the 96 that guest1 can take',
    ],
  ])('%s', (_why, args, text) => {
    const machine = machineOf()
    machine.guest([0])
    expect(() => machine.open(...args)).toThrow(text)
  })

  test('counters begin at 0, also in a slot that had another guest', () => {
    const machine = machineOf()
    machine.guest([0]).status(0x1406, 0)
    expect(machine.counters(0)).toEqual([1, 1, 0, 0])
    machine.close(0)
    expect(machine.counters(0)).toEqual([1, 1, 0, 0]) // what it came to can still be read
    machine.open(0, [0])
    expect(machine.counters(0)).toEqual([0, 0, 0, 0])
  })
})

describe('close', () => {
  test('closes the link; a guest that still speaks is nobody', () => {
    const machine = machineOf()
    const guest = machine.guest([0])
    machine.close(0)
    expect(guest.closed).toBe(true)
    machine.takeTapped()
    expect(guest.status(0x1406, 0)).toBe(-3)
    expect(machine.takeTapped()).toEqual([])
  })

  test.each(['close', 'grants'] as const)('%s of nobody', type => {
    const machine = machineOf()
    expect(() => machine.execute({ type, slot: 3, grants: noGrants() } as never)).toThrow(
      'no guest in slot 3',
    )
  })

  test('the next tenant of a slot inherits neither votes nor views', () => {
    const machine = machineOf()
    const first = machine.guest([2])
    machine.guest([3])
    first.status(0x1104, 0, 2, 0)
    first.status(0x1010, 0x1_0000)
    machine.close(0)
    machine.open(0, [2])
    const next = machine.guests[0] as MemoryGuest
    expect(next.words(0x1105, 2)).toEqual([0, 0x4000_0000])
    expect(next.words(0x1007, 1)[1]).toBe(1) // Base is at the version presented
  })
})

describe('configure', () => {
  test('not while guests are served', () => {
    const machine = machineOf()
    machine.guest([0])
    expect(() => machine.execute({ type: 'configure', setup: setup(machine) })).toThrow(
      'cannot be configured anew',
    )
    machine.close(0)
    machine.execute({ type: 'configure', setup: setup(machine) })
  })

  test('not while the firmware is asked', () => {
    let link: DelayingLink | undefined
    const machine = machineOf({
      firmware: platform => {
        link = new DelayingLink(platform)
        return link
      },
    })
    machine.begin({ type: 'request', channel: 0, frame: frameOf(headerWord(0x1000)) })
    expect(() => machine.execute({ type: 'configure', setup: setup(machine) })).toThrow(
      'cannot be configured anew',
    )
    link?.settle()
    machine.execute({ type: 'configure', setup: setup(machine) })
  })
})

test('delayed responses and notifications that nobody was promised go nowhere', () => {
  const machine = machineOf()
  const guest = machine.guest([0])
  machine.relay.arrived(0, new Uint8Array(16), 16)
  machine.relay.delayed(64, new Uint8Array(8), 8)
  expect(machine.relay.mediator.routing.unrouted).toBe(2)
  expect(guest.faults).toEqual([])
})

test('close twice is once', () => {
  const machine = new Machine()
  const guest = machine.guest([0])
  machine.relay.close()
  machine.stop()
  expect(guest.closed).toBe(true)
})

test('a guest that is shown older versions is left to a successor like any other, when its link can do that', () => {
  const ends: string[] = []
  class Outliving extends MemoryGuest {
    suspend(): void {
      ends.push('suspended')
    }
    override close(): void {
      ends.push('closed')
    }
  }
  const machine = new Machine({ link: ({ slot }, handler) => new Outliving(slot, handler) })
  machine.open(0, [2], { versions: new Map(machine.versions).set(0x11, 0x2_0000) })
  machine.open(1, [3])
  machine.stop()
  expect(ends).toEqual(['suspended', 'suspended'])
})
