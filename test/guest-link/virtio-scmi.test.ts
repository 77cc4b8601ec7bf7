// The device-normative statements of the virtio standard's section "SCMI Device", one by one, over real rings: a guest's
// driver in a memfd, the vhost-user link, the mediator and the virtual SCP. Each test quotes what it holds us to.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { VhostUserLink } from '../../src/guest-link/vhost-user/vhost-user.ts'
import { eventfd } from '../../src/native/libc.ts'
import { DENIED, NOT_FOUND, NOT_SUPPORTED, SUCCESS } from '../../src/scmi/status.ts'
import { Machine } from '../mediator/machine.ts'
import { everything, type FrontEndOptions, FrontEndSocket, Guest, P2A, vu } from '../virtio/front-end.ts'

const folder = mkdtempSync(join(tmpdir(), 'virtio-scmi-'))
const path = join(folder, 'guest.sock')
afterAll(() => rmSync(folder, { recursive: true }))

let machine: Machine
let link: VhostUserLink
let guest: Guest
const step = () => {
  for (let i = 0; i < 4; i++) machine.step()
}
beforeEach(() => {
  machine = new Machine({
    // The gpu's clock and sensor answer late where that is asked for.
    edit: text =>
      text
        .replace('step: 50000000 } }', 'step: 50000000 }, async: { ms: 2 } }')
        .replace('max: 125000, tripPoints: 2 }', 'max: 125000, tripPoints: 2, async: { ms: 2 } }'),
    link: (opening, handler, reactor) => {
      link = new VhostUserLink(
        { path, role: 'server', guest: opening.slot },
        { reactor, handler, log: () => {} },
      )
      return link
    },
  })
  machine.open(0, [0, 2, 5]) // avb, sdhi0, gpu
})
afterEach(() => {
  guest.close()
  machine.stop()
})
function start(options: FrontEndOptions = {}): void {
  guest = Guest.start(path, step, options)
}

const word = (protocol: number, id: number, token = 0): number =>
  (id | (protocol << 10) | (token << 18)) >>> 0
const frame = (...words: number[]): Buffer => Buffer.from(Uint32Array.from(words, each => each >>> 0).buffer)
const words = (hex: string): number[] => {
  const bytes = Buffer.from(hex, 'hex')
  return Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readInt32LE(i * 4))
}
/** Asks and gives the words of the whole answer, header first. */
const ask = (...command: number[]): number[] => words(guest.ask(frame(...command)))

const CLOCK = 0x14
const SENSOR = 0x15
const RATE_GET = word(CLOCK, 0x6)
const RATE_SET = word(CLOCK, 0x5)
const ASYNC = 1
const sensor = 0 // guest-a's gpu-temp
const READING_GET = word(SENSOR, 0x6)
const TRIP_POINT_NOTIFY = word(SENSOR, 0x4)
const ATTRIBUTES = 0x2
const gpuClock = 8

test('"The device MUST offer VIRTIO_SCMI_F_P2A_CHANNELS if the device can implement at least one SCMI notification, or delayed response."', () => {
  const socket = FrontEndSocket.connect(path, step)
  expect(socket.ask(vu.GET_FEATURES).payload.readUInt32LE(0) & 1).toBe(1)
  socket.close()
  start()
})

test('"The device MUST offer VIRTIO_SCMI_F_SHARED_MEMORY if the device can implement at least one SCMI statistics shared memory region." It can not: they would lead past the mediator, and what names them reads zero', () => {
  const socket = FrontEndSocket.connect(path, step)
  expect(socket.ask(vu.GET_FEATURES).payload.readUInt32LE(0) & 2).toBe(0)
  socket.close()
  start()
  // PROTOCOL_ATTRIBUTES of power and performance end with address low, high and length of the statistics.
  expect(ask(word(0x11, 1)).slice(3)).toEqual([0, 0, 0])
  expect(ask(word(0x13, 1)).slice(3)).toEqual([0, 0, 0])
  expect(ask(word(SENSOR, 1)).slice(3)).toEqual([0, 0, 0])
})

test('"If VIRTIO_SCMI_F_SHARED_MEMORY was negotiated, the device MAY implement an SCMI statistics shared memory region using a virtio shared memory region." It never is: what was not offered cannot be agreed to', () => {
  start()
  const reply = guest.socket.ask(vu.SET_FEATURES, Buffer.from('0300007001000000', 'hex'), [], 9)
  expect(reply.payload.readUInt32LE(0)).toBe(1)
})

test('"If the device implements a shared memory region, the device MUST assign the corresponding shmid as per the following table". It implements none: no shmid leads to a region', () => {
  start()
  const [SHMEM, GET_SHMEM_CONFIG, BACKEND_REQ] = [1 << 21, 44, 1 << 5]
  const offered = guest.socket.ask(vu.GET_PROTOCOL_FEATURES).payload.readUInt32LE(0)
  expect(offered & (SHMEM | BACKEND_REQ)).toBe(0)
  expect(guest.socket.ask(GET_SHMEM_CONFIG, Buffer.alloc(0), [], 9).payload.readUInt32LE(0)).toBe(1)
})

test('"The device MAY process available commands out of order and in parallel." Each answer is in the buffer of its own command', () => {
  start()
  const posted = Array.from({ length: 20 }, (_, token) =>
    guest.post(frame(word(CLOCK, 0x6, token), token % 3)),
  )
  step()
  const came = new Set<number>()
  for (let head = guest.commands.take(); head >= 0; head = guest.commands.take()) {
    came.add(head)
    const { at } = posted.find(each => each.head === head) ?? { at: -1 }
    const token = posted.findIndex(each => each.head === head)
    expect(words(guest.hex(at, 4))).toEqual([word(CLOCK, 0x6, token)])
  }
  expect(came.size).toBe(20)
})

test.each([
  [64, 200],
  [256, 1000],
])(
  '"The device MUST process all available commands eventually, even in the case of bursts of multiple command messages." A ring of %i, always full, %i commands',
  (ringSize, count) => {
    start({ ringSize })
    const posted: number[] = []
    for (let i = 0; i < ringSize; i++) posted.push(guest.post(frame(RATE_GET, 0)).head)
    let answered = 0
    for (let round = 0; round < 4000 && answered < count; round++) {
      machine.step()
      for (let head = guest.commands.take(); head >= 0; head = guest.commands.take()) {
        expect(guest.commands.written).toBe(16)
        guest.commands.again(head)
        answered++
      }
      if (guest.commands.wantsKick()) guest.kick(0)
    }
    expect(answered).toBeGreaterThanOrEqual(count)
  },
)

test.each([
  ["a clock that is nobody's", [RATE_GET, 99], NOT_FOUND],
  ['a message that is none', [word(CLOCK, 0x7f)], NOT_FOUND],
  ['a protocol that is none', [word(0x55, 0)], NOT_SUPPORTED],
])(
  '"If the status field in the virtio_scmi_response ret_values has a value other than SUCCESS, the device MUST set the size of ret_values to the size of the status field." %s',
  (_what, command, status) => {
    start()
    expect(ask(...(command as number[]))).toEqual([command[0], status])
  },
)

test('"If the driver requests an SCMI notification … and there are currently NOT enough available buffers in the eventq, the device SHOULD still return SCMI status code SUCCESS."', () => {
  start()
  expect(guest.events.free).toBe(16) // none was ever made available
  expect(ask(TRIP_POINT_NOTIFY, sensor, 1)).toEqual([TRIP_POINT_NOTIFY, SUCCESS])
})

test('"… or a delayed response and there are currently NOT enough available buffers in the eventq, the device SHOULD still return SCMI status code SUCCESS."', () => {
  start()
  expect(ask(READING_GET, sensor, ASYNC)[1]).toBe(SUCCESS)
})

describe('without VIRTIO_SCMI_F_P2A_CHANNELS', () => {
  beforeEach(() => start({ features: everything & ~P2A }))

  test.each([
    ['SENSOR_TRIP_POINT_NOTIFY', [TRIP_POINT_NOTIFY, sensor, 1]],
    ['SENSOR_READING_GET, asynchronous', [READING_GET, sensor, ASYNC]],
    ['CLOCK_RATE_SET, asynchronous', [RATE_SET, ASYNC, gpuClock, 100_000_000, 0]],
    ['BASE_NOTIFY_ERRORS', [word(0x10, 0x8), 1]],
  ])(
    '"the device MUST deny any request for an SCMI notification or a delayed response by returning SCMI status code NOT_SUPPORTED." %s',
    (_name, command) => {
      expect(ask(...command)).toEqual([command[0], NOT_SUPPORTED])
    },
  )

  test.each([
    ['BASE_NOTIFY_ERRORS', 0x10, 0x8],
    ['POWER_STATE_NOTIFY', 0x11, 0x6],
    ['PERFORMANCE_NOTIFY_LIMITS', 0x13, 0x9],
    ['PERFORMANCE_NOTIFY_LEVEL', 0x13, 0xa],
    ['CLOCK_RATE_NOTIFY', CLOCK, 0x9],
    ['SENSOR_TRIP_POINT_NOTIFY', SENSOR, 0x4],
  ])(
    '"the device MUST NOT indicate in the PROTOCOL_MESSAGE_ATTRIBUTES return values that any SCMI notification, or delayed response, is implemented." %s',
    (_name, protocol, id) => {
      const header = word(protocol, ATTRIBUTES)
      expect(ask(header, id)).toEqual([header, NOT_FOUND])
    },
  )

  test('nor in what describes a sensor or a clock: asynchronous reads, updates and change notifications are not there', () => {
    const [, status, , , low = -1] = ask(word(SENSOR, 0x3), 0)
    expect([status, low & (0xc000_0000 | 0)]).toEqual([SUCCESS, 0])
    const [, clockStatus, attributes = -1] = ask(word(CLOCK, 0x3), 0)
    expect([clockStatus, attributes & (0xc000_0000 | 0)]).toEqual([SUCCESS, 0])
  })

  test('P2A is followed at each negotiation: agreed to after a reset of the driver, it is there', () => {
    guest.stopDriver()
    guest.socket.send(vu.SET_FEATURES, Buffer.from('0100007001000000', 'hex'))
    expect(link.hasP2A).toBe(true)
  })
})

/** What came by the eventq: the words of each frame. `places`: where its buffers are, in the order they were offered. */
function events(places: number[]): number[][] {
  const came: number[][] = []
  for (let head = guest.events.take(); head >= 0; head = guest.events.take())
    came.push(words(guest.hex(places[head] ?? 0, guest.events.written)))
  return came
}
/** Time passes until `there`, or for 50 ms. */
async function later(there = () => false): Promise<void> {
  for (let i = 0; i < 25 && !there(); i++) {
    await new Promise(done => setTimeout(done, 2))
    step()
  }
}

describe('the eventq', () => {
  const delayed = (header: number): number => header | (2 << 8)
  const changed = (protocol: number, id: number): number => word(protocol, id) | (3 << 8)
  const POWER_SET = word(0x11, 0x4)
  const POWER_NOTIFY = word(0x11, 0x6)
  const sdhi = 2
  const OFF = 0x4000_0000
  const [reading, clock] = [READING_GET | (0x2a << 18), RATE_SET | (0x2b << 18)]

  test('"If the device intends to send a delayed response and there are no available buffers in the eventq, the device MUST send the corresponding delayed response once enough buffers become available."', async () => {
    start()
    expect(ask(reading, sensor, ASYNC)[1]).toBe(SUCCESS)
    expect(ask(clock, ASYNC, gpuClock, 100_000_000, 0)[1]).toBe(SUCCESS)
    await later()
    expect(guest.events.take()).toBeLessThan(0)
    const places = [guest.offer()]
    step()
    expect(events(places)).toEqual([[delayed(reading), SUCCESS, sensor, 41250, 0, 0, 0]])
    places.push(guest.offer())
    step()
    expect(events(places)).toEqual([[delayed(clock), SUCCESS, gpuClock, 100_000_000, 0]])
    expect(guest.signals(1)).toBeGreaterThan(0)
  })

  test('"If the status field in a delayed response payload has a value other than SUCCESS, the device MUST set the size of payload to the size of the status field." The clock was taken away meanwhile', async () => {
    start()
    const places = [guest.offer()]
    expect(ask(clock, ASYNC, gpuClock, 100_000_000, 0)[1]).toBe(SUCCESS)
    machine.regrant(0, 0)
    await later(() => link.counters.delivered > 0)
    expect(events(places)).toEqual([[delayed(clock), DENIED]])
  })

  test('"If the device intends to send a notification and there are no available buffers in the eventq, the device MAY drop the notification, or send a corresponding notification later, once enough buffers become available." One is sent later', () => {
    start()
    ask(POWER_NOTIFY, sdhi, 1)
    ask(POWER_SET, 0, sdhi, 0)
    expect(link.counters.delivered).toBe(0)
    const places = [guest.offer()]
    step()
    expect(events(places)).toEqual([[changed(0x11, 0), 1, sdhi, 0]])
  })

  test('"If the device sends the notification later, the device MAY send the notification with updated data, unless the specific SCMI protocol disallows this." The newest of three is sent', () => {
    start()
    expect(ask(POWER_NOTIFY, sdhi, 1)[1]).toBe(SUCCESS)
    for (const state of [0, OFF, 0]) ask(POWER_SET, 0, sdhi, state)
    expect(link.counters.delivered).toBe(0)
    const places = [guest.offer(), guest.offer(), guest.offer()]
    step()
    expect(events(places)).toEqual([[changed(0x11, 0), 1, sdhi, 0]])
  })

  test('"The device MAY send the notification later if the events which cause the notification take place in quick succession." With buffers there, each is sent at once', () => {
    start()
    const places = [guest.offer(), guest.offer(), guest.offer()]
    ask(POWER_NOTIFY, sdhi, 1)
    for (const state of [0, OFF]) ask(POWER_SET, 0, sdhi, state)
    expect(events(places)).toEqual([
      [changed(0x11, 0), 1, sdhi, 0],
      [changed(0x11, 0), 1, sdhi, OFF],
    ])
  })

  test('"If the device intends to send a notification and there are available buffers, but one of the buffers is too small to fit the notification, the device MAY omit the notification." It goes into the next that fits; the small one comes back empty', () => {
    start()
    const places = [guest.offer(8), guest.offer()]
    ask(POWER_NOTIFY, sdhi, 1)
    ask(POWER_SET, 0, sdhi, 0)
    expect(events(places)).toEqual([[], [changed(0x11, 0), 1, sdhi, 0]])
    expect(link.counters).toMatchObject({ delivered: 1, badLengths: 1 })
  })

  test('"… the device MUST send the corresponding delayed response once enough buffers become available." Behind forty that are too small, too', async () => {
    start({ eventRingSize: 64 })
    expect(ask(reading, sensor, ASYNC)[1]).toBe(SUCCESS)
    await later(() => link.counters.undelivered > 0)
    const places = Array.from({ length: 40 }, () => guest.place(8))
    for (const at of places) {
      guest.events.begin()
      guest.events.segment(at, 8, true)
      guest.events.end()
    }
    places.push(guest.offer())
    guest.kick(1)
    step()
    expect(events(places).at(-1)).toEqual([delayed(reading), SUCCESS, sensor, 41250, 0, 0, 0])
  })

  test('a buffer that is readable comes back empty: "The driver MUST NOT put device-readable descriptors into the eventq"', () => {
    start()
    const at = guest.place(64)
    guest.events.begin()
    guest.events.segment(at, 64, false)
    guest.events.end()
    ask(POWER_NOTIFY, sdhi, 1)
    ask(POWER_SET, 0, sdhi, 0)
    expect(events([at])).toEqual([[]])
  })

  test('"The eventq only exists if VIRTIO_SCMI_F_P2A_CHANNELS was negotiated": without it nothing is ever put there', () => {
    start({ features: everything & ~P2A })
    const places = [guest.offer()]
    ask(POWER_NOTIFY, sdhi, 1)
    ask(POWER_SET, 0, sdhi, 0)
    expect(events(places)).toEqual([])
  })
})

describe('stop, pause and reset', () => {
  const POWER_NOTIFY = word(0x11, 0x6)
  const POWER_SET = word(0x11, 0x4)
  const subscribed = () => machine.relay.mediator.routing.subscriptions.of(0).length

  test('a machine that stood still goes on where it was, its subscriptions with it', () => {
    start()
    ask(POWER_NOTIFY, 2, 1)
    const bases = guest.stopDriver()
    expect(bases).toEqual([1, 0])
    guest.post(frame(RATE_GET, 0))
    step()
    expect(guest.commands.take()).toBeLessThan(0) // its memory is not touched meanwhile
    guest.kicks.splice(0, 2, eventfd(), eventfd())
    guest.startDriver({ base: bases })
    expect(guest.commands.take()).toBeGreaterThanOrEqual(0)
    expect(subscribed()).toBe(1)
  })

  test('a driver that does without the eventq, where another one had used it, is a driver that was reset', () => {
    start()
    guest.offer()
    ask(POWER_NOTIFY, 2, 1)
    ask(POWER_SET, 0, 2, 0)
    expect(guest.stopDriver()).toEqual([2, 1])
    guest.wipe()
    guest.startDriver({ features: everything & ~P2A, rings: [0] })
    expect(subscribed()).toBe(0)
    expect(ask(POWER_NOTIFY, 2, 1)[1]).toBe(NOT_SUPPORTED)
    // And the next one has it again, and nothing of the first one's.
    guest.stopDriver()
    guest.wipe()
    guest.startDriver()
    const places = [guest.offer()]
    ask(POWER_SET, 0, 2, 0x4000_0000)
    expect(events(places)).toEqual([])
    expect(ask(POWER_NOTIFY, 2, 1)[1]).toBe(SUCCESS)
    ask(POWER_SET, 0, 2, 0)
    expect(events(places)).toHaveLength(1)
  })

  test('both rings at their beginnings are a driver that was reset: subscriptions are void', () => {
    start()
    ask(POWER_NOTIFY, 2, 1)
    expect(subscribed()).toBe(1)
    guest.stopDriver()
    guest.wipe()
    guest.startDriver()
    expect(subscribed()).toBe(0)
    expect(ask(POWER_SET, 0, 2, 0)[1]).toBe(SUCCESS)
  })
})
