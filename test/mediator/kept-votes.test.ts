// What guests had voted for stands when the daemon is killed and started again: over a platform that lives on, and over
// one that was restarted with it.
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { maxGuests, SERVED } from '../../src/mediator/guest.ts'
import type { Recollection, RestoreReport } from '../../src/mediator/relay-port.ts'
import { owns } from '../../src/permissions/grants.ts'
import { EXCLUSIVELY_HELD } from '../../src/permissions/reasons.ts'
import { parsePlatform } from '../../src/platform/load.ts'
import { Platform } from '../../src/platform/platform.ts'
import { spaceIds } from '../../src/scmi/space.ts'
import { KillableLink, Killed } from './killable-link.ts'
import { exampleText, Machine, type MemoryGuest } from './machine.ts'

const [SUCCESS, DENIED, BUSY, COMMS_ERROR] = [0, -3, -6, -7]
const [POWER_SET, POWER_GET, CLOCK_SET, RATE_SET, VOLTAGE_SET] = [0x1104, 0x1105, 0x1407, 0x1405, 0x1705]
const [ON, OFF, VOLTAGE_ON] = [0, 0x4000_0000, 0x7]
/** Power domain of guests a and b; clock of c and d. */
const [sdhi, can] = [2, 9]
const devices = [[0, 2, 5], [1, 3, 7], [6], [8]] as const
const [a, b, c, d] = [0, 1, 2, 3]
const addedAt = (slot: number): number => 1_700_000_000_000 + slot

const folder = mkdtempSync(join(tmpdir(), 'kept-votes-'))
const votesFile = join(folder, 'votes')
afterAll(() => rmSync(folder, { recursive: true }))

const lastWriter = exampleText
  .replace('sharing: votes', 'sharing: last-writer')
  .replaceAll('permissions: deny', 'permissions: allow')

/** A platform, and one daemon after the other over it. */
class World {
  platform: Platform
  machine: Machine
  link: KillableLink
  log: string[] = []
  tapped: (readonly number[])[] = []
  recollection: Recollection | undefined
  onTap: (channel: number, words: readonly number[]) => void = () => {}
  readonly #text: string
  readonly #machines: Machine[] = []

  /** With a daemon that serves all guests; `idle`: with none so far. */
  constructor(text = lastWriter, idle = false) {
    this.#text = text
    this.platform = this.#newPlatform()
    this.link = undefined as never
    this.machine = undefined as never
    if (idle) return
    this.machine = this.#newMachine()
    for (const slot of devices.keys()) this.open(slot, { returning: false })
  }

  guest(slot: number): MemoryGuest {
    return this.machine.guests[slot] as MemoryGuest
  }

  open(
    slot: number,
    options: Parameters<Machine['open']>[2] = {},
    has: readonly number[] = devices[slot] ?? [],
  ): RestoreReport {
    return this.machine.open(slot, has, {
      returning: true,
      since: addedAt(slot),
      ...options,
    }) as RestoreReport
  }

  /** The daemon is killed and started, over a platform that lives on or was restarted; it knows of these domains. */
  next({ fresh = false, knows = [a, b, c, d], text = this.#text } = {}): this {
    if (this.machine !== undefined) this.link.left = 0
    if (fresh) this.platform = this.#newPlatform(text)
    this.machine = this.#newMachine(text)
    this.recollection = this.machine.execute({
      type: 'recollect',
      domains: knows.map(slot => ({ slot, since: addedAt(slot) })),
    }) as Recollection
    return this
  }

  /** The same, with every guest served again. */
  again(options: Parameters<World['next']>[0] = {}, order = [a, b, c, d]): this {
    this.next(options)
    for (const slot of order) this.open(slot)
    return this
  }

  status(slot: number, message: number, ...words: number[]): number {
    return this.guest(slot).status(message, ...words)
  }
  power(slot: number, state: number, domain = sdhi): number {
    return this.status(slot, POWER_SET, 0, domain, state)
  }
  view(slot: number, domain = sdhi): number {
    return this.guest(slot).words(POWER_GET, domain)[1] as number
  }
  isOn(domain = sdhi): boolean {
    return this.platform.power.state(domain) === 1
  }

  /** Channel, message and payload of what the platform received. */
  received(): (readonly number[])[] {
    return this.tapped.splice(0)
  }

  stop(): void {
    for (const machine of this.#machines) machine.stop()
  }

  #newPlatform(text = this.#text): Platform {
    const platform = new Platform(parsePlatform(text, 'platform.yaml'))
    platform.tap = (channel, words, length) => {
      const [header = 0, ...payload] = Array.from(words.subarray(0, length >>> 2))
      this.tapped.push([channel, (((header >>> 10) & 0xff) << 8) | (header & 0xff), ...payload])
      this.onTap(channel, this.tapped.at(-1) as number[])
    }
    return platform
  }

  #newMachine(text = this.#text): Machine {
    const machine = new Machine({
      edit: () => text,
      firmware: () => {
        this.link = new KillableLink(this.platform)
        return this.link
      },
      votesFile,
      log: this.log,
    })
    this.#machines.push(machine)
    return machine
  }
}

/** Who votes for what or holds it exclusively, as the file says: by its layout, space by space. */
function staked({ counts, firmware: { channels } }: Machine): { slot: number; space: number; id: number }[] {
  const bytes = readFileSync(votesFile)
  const words = new Uint32Array(Uint8Array.from(bytes).buffer)
  let at = 8 + spaceIds + maxGuests * 2
  const channelWords = Math.ceil(channels / 32)
  return Array.from(counts.entries()).flatMap(([space, count]) => {
    const votes = at
    const owners = votes + count * (maxGuests / 32 + 2 * channelWords + channels)
    at = owners + count
    return Array.from({ length: count }, (_, id) => id).flatMap(id =>
      Array.from({ length: maxGuests }, (_, slot) => slot)
        .filter(
          slot =>
            (((words[votes + id * 2 + (slot >>> 5)] as number) >>> (slot & 31)) & 1) === 1 ||
            words[owners + id] === slot + 1,
        )
        .map(slot => ({ slot, space, id })),
    )
  })
}

let worlds: World[]
beforeEach(() => {
  worlds = []
})
afterEach(() => {
  for (const world of worlds) world.stop()
  rmSync(votesFile, { recursive: true, force: true })
})
function world(text?: string): World {
  const made = new World(text)
  worlds.push(made)
  return made
}

describe('over a platform that lives on, where whoever writes last decides', () => {
  test('what one guest needs is not switched off by another', () => {
    const w = world()
    for (const slot of [a, b]) expect(w.power(slot, ON)).toBe(SUCCESS)
    w.again().received()
    expect(w.view(a)).toBe(ON)
    w.received()
    expect(w.power(b, OFF)).toBe(SUCCESS)
    expect(w.received()).toEqual([])
    expect([w.isOn(), w.view(a), w.view(b)]).toEqual([true, ON, OFF])
    w.again()
    expect([w.isOn(), w.view(a), w.view(b)]).toEqual([true, ON, OFF])
    w.received()
    expect(w.power(a, OFF)).toBe(SUCCESS)
    expect(w.received()).toEqual([
      [2, POWER_SET, 0, sdhi, OFF], // b's channel may still hold it
      [1, POWER_SET, 0, sdhi, OFF],
    ])
    expect(w.isOn()).toBe(false)
  })

  test('not even before that one is served', () => {
    const w = world()
    for (const slot of [a, b]) w.power(slot, ON)
    w.next()
    w.open(b)
    w.received()
    expect(w.power(b, OFF)).toBe(SUCCESS)
    expect(w.received()).toEqual([])
    expect([w.isOn(), w.view(b)]).toEqual([true, OFF])
    // Killed again meanwhile: nothing is lost of the one that was never served.
    w.again({}, [b, a])
    expect([w.isOn(), w.view(a), w.view(b)]).toEqual([true, ON, OFF])
    expect(w.power(a, OFF)).toBe(SUCCESS)
    expect(w.isOn()).toBe(false)
  })

  test('a driver that was reset meanwhile has its vote, as under one daemon: its devices may still run', () => {
    const w = world()
    for (const slot of [a, b]) w.power(slot, ON)
    w.again()
    w.machine.relay.restarted(w.guest(a))
    w.power(b, OFF)
    expect([w.isOn(), w.view(a)]).toEqual([true, ON])
  })

  test('an exclusive setting stays its holder’s, also before that one is served', () => {
    const w = world()
    expect(w.status(c, RATE_SET, 0, can, 20_000_000, 0)).toBe(SUCCESS)
    w.next()
    w.open(d)
    expect(w.status(d, RATE_SET, 0, can, 40_000_000, 0)).toBe(DENIED)
    expect(w.machine.records().at(-1)).toMatchObject({ slot: d, rule: EXCLUSIVELY_HELD })
    w.open(c)
    expect(w.status(d, RATE_SET, 0, can, 40_000_000, 0)).toBe(DENIED)
    expect(w.status(c, RATE_SET, 0, can, 40_000_000, 0)).toBe(SUCCESS)
  })

  test('a domain that went meanwhile: what nobody else needs is released, on its channel', () => {
    const w = world()
    for (const slot of [a, b]) w.power(slot, ON)
    w.power(a, ON, 0)
    w.received()
    w.next({ knows: [b, c, d] })
    expect(w.received()).toEqual([[1, POWER_SET, 0, 0, OFF]])
    w.open(b)
    expect([w.isOn(0), w.isOn()]).toEqual([false, true])
    w.received()
    expect(w.power(b, OFF)).toBe(SUCCESS)
    expect(w.received()).toEqual([
      [1, POWER_SET, 0, sdhi, OFF],
      [2, POWER_SET, 0, sdhi, OFF],
    ])
  })

  test('a domain that is not served again: its votes stand until it is forgotten', () => {
    const w = world()
    for (const slot of [a, b]) w.power(slot, ON)
    w.next()
    w.open(b)
    w.power(b, OFF)
    expect(w.isOn()).toBe(true)
    w.machine.execute({ type: 'forget', slot: a })
    expect(w.isOn()).toBe(false)
    w.machine.execute({ type: 'forget', slot: a })
    w.machine.execute({ type: 'forget', slot: b }) // served: nothing to forget
    w.power(b, ON)
    expect(w.next().recollection).toEqual({
      domains: [b, c, d].map(slot => ({ slot, since: addedAt(slot) })),
      foreign: false,
    })
  })

  test('what a guest has lost meanwhile it does not hold any more', () => {
    const w = world()
    for (const domain of [0, sdhi]) w.power(a, ON, domain)
    w.next()
    w.open(a, {}, [0, 5])
    expect([w.isOn(0), w.isOn()]).toEqual([true, false])
    w.next()
    w.open(a)
    expect([w.isOn(0), w.isOn(), w.view(a)]).toEqual([true, false, OFF])
  })

  test('a domain that was added anew in that place has nothing of the former one', () => {
    const w = world()
    for (const slot of [a, b]) w.power(slot, ON)
    w.next()
    w.open(a, { returning: false, since: addedAt(a) + 7 })
    w.open(b)
    expect([w.view(a), w.view(b), w.isOn()]).toEqual([OFF, ON, true])
    // Nor has one that the journal has in that place, and that was added at another time.
    expect(w.next({ knows: [a] }).recollection?.domains).toEqual([])
    expect(w.isOn()).toBe(false)
  })

  test('a domain that is removed leaves nothing', () => {
    const w = world()
    w.power(a, ON, 0)
    w.machine.close(a)
    expect(w.isOn(0)).toBe(false)
    expect(w.next().recollection?.domains.map(({ slot }) => slot)).toEqual([b, c, d])
  })

  test('a daemon that stops leaves as much as one that is killed', () => {
    const w = world()
    for (const slot of [a, b]) w.power(slot, ON)
    w.machine.relay.close()
    w.again()
    w.power(b, OFF)
    expect([w.isOn(), w.view(a)]).toEqual([true, ON])
  })
})

describe('over a platform that was restarted with the daemon', () => {
  test('it is told again before the guest is served: supplies first, then domains, clocks; what is off last', () => {
    const w = world()
    w.status(a, CLOCK_SET, 3, 1, 0)
    w.power(a, ON, 0)
    w.status(a, VOLTAGE_SET, 0, VOLTAGE_ON)
    w.status(a, CLOCK_SET, 4, 0, 0)
    w.power(a, OFF, 4)
    w.status(a, VOLTAGE_SET, 1, 0)
    w.next({ fresh: true }).received()
    const served: unknown[] = []
    w.onTap = () => served.push(w.machine.guests[a])
    expect(w.open(a)).toEqual({ votes: 3, releases: 3, subscriptions: 0, failed: [] })
    expect(w.received()).toEqual([
      [1, VOLTAGE_SET, 0, VOLTAGE_ON],
      [1, POWER_SET, 0, 0, ON],
      [1, CLOCK_SET, 3, 1, 0],
      [1, CLOCK_SET, 4, 0, 0],
      [1, POWER_SET, 0, 4, OFF],
      [1, VOLTAGE_SET, 1, 0],
    ])
    expect(served).toEqual(Array(6).fill(undefined))
  })

  test.each([[[a, b, c, d]], [[b, a, d, c]]])('in whatever order guests come back: %j', order => {
    const w = world()
    for (const slot of [a, b]) w.power(slot, ON)
    for (const slot of [c, d]) expect(w.status(slot, CLOCK_SET, can, 1, 0)).toBe(SUCCESS)
    w.power(b, OFF)
    w.status(c, CLOCK_SET, can, 0, 0)
    w.again({ fresh: true }, order)
    expect([w.isOn(), w.platform.clocks.running(can)]).toEqual([true, true])
    expect([w.view(a), w.view(b)]).toEqual([ON, OFF])
    w.power(a, OFF)
    w.status(d, CLOCK_SET, can, 0, 0)
    expect([w.isOn(), w.platform.clocks.running(can)]).toEqual([false, false])
  })

  test('the state a guest chose for a domain of its own is what is asked for', () => {
    const w = world()
    const fault = (_channel: number, { ints }: { ints: Int32Array }) => (ints[3] === 1 ? SUCCESS : undefined)
    w.link.fault = fault
    expect(w.power(a, 1, 0)).toBe(SUCCESS)
    w.next({ fresh: true })
    const asked: number[] = []
    w.link.fault = (_channel, { ints }) => {
      asked.push(ints[3] as number)
      return SUCCESS
    }
    w.open(a)
    expect(asked).toEqual([1])
  })

  test('what it refuses is no vote any more, and is told', () => {
    const w = world()
    for (const slot of [a, b]) w.power(slot, ON)
    w.next({ fresh: true })
    w.link.fault = channel => (channel === 1 ? DENIED : undefined)
    expect(w.open(a)).toMatchObject({ votes: 0, failed: ['POWER_STATE_SET 2 on: status -3'] })
    w.link.fault = () => undefined
    w.open(b)
    expect([w.view(a), w.view(b), w.isOn()]).toEqual([OFF, ON, true])
    w.power(b, OFF)
    expect(w.isOn()).toBe(false)
  })

  test('that is silent: the guest waits until it is told all of it', () => {
    const w = world()
    for (const domain of [0, sdhi]) w.power(a, ON, domain)
    w.next({ fresh: true })
    w.link.fault = (_channel, { ints }) => (ints[2] === sdhi ? COMMS_ERROR : undefined)
    w.open(a)
    expect(w.power(a, OFF)).toBe(BUSY)
    expect(() => w.machine.execute({ type: 'restore', channel: 1, refused: [] })).toThrow(/did not answer/)
    w.link.fault = () => undefined
    expect(w.machine.execute({ type: 'restore', channel: 1, refused: [] })).toMatchObject({ votes: 2 })
    expect([w.isOn(0), w.isOn()]).toEqual([true, true])
    expect(w.power(a, OFF)).toBe(SUCCESS)
  })

  test('whose channel is to be restored: it is told once, then', () => {
    const w = world()
    w.power(a, ON)
    w.next({ fresh: true }).received()
    w.machine.relay.reconnected(1)
    w.open(a)
    expect(w.received()).toEqual([])
    expect(w.machine.execute({ type: 'restore', channel: 1, refused: [] })).toMatchObject({ votes: 1 })
  })

  test('guests behind one channel: each is told of when it comes, and the other goes on meanwhile', () => {
    const w = world()
    for (const [slot, device] of [
      [4, 2],
      [5, 3],
    ] as const) {
      w.open(slot, { returning: false, channel: 4 }, [device])
      w.power(slot, ON)
    }
    w.next({ fresh: true, knows: [4, 5] }).received()
    w.open(4, { channel: 4 }, [2])
    expect(w.received()).toEqual([[4, POWER_SET, 0, sdhi, ON]])
    w.link.fault = () => {
      expect(w.machine.relay.mediator.guests[4]?.standing).toBe(SERVED)
      return undefined
    }
    w.open(5, { channel: 4 }, [3])
    expect(w.received()).toEqual([[4, POWER_SET, 0, sdhi, ON]])
    w.power(4, OFF)
    expect([w.isOn(), w.view(5)]).toEqual([true, ON])
    w.power(5, OFF)
    expect(w.isOn()).toBe(false)
  })
})

describe('a file that is not believed', () => {
  const spoiled = (spoil: (words: Uint32Array) => void): World => {
    const w = world()
    for (const slot of [a, b]) w.power(slot, ON)
    const bytes = readFileSync(votesFile)
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 2)
    spoil(words)
    writeFileSync(votesFile, bytes)
    return w
  }

  test('of another boot of the machine: nothing stands, and nothing is said', () => {
    const w = spoiled(words => words.fill(7, 5, 6)).next()
    expect(w.recollection).toEqual({ domains: [], foreign: false })
    for (const slot of [a, b]) w.open(slot)
    expect([w.view(a), w.view(b)]).toEqual([OFF, OFF])
  })

  test.each([0, 1, 2, 3, 8 + 0x11])(
    'of this boot, and other in word %i: nothing stands, nothing is released, it is said',
    at => {
      const w = spoiled(words => {
        words[at] = (words[at] as number) ^ 1
      })
      w.received()
      w.next()
      expect(w.recollection).toEqual({ domains: [], foreign: true })
      for (const slot of [a, b]) w.open(slot)
      expect([w.received(), w.isOn()]).toEqual([[], true])
      // Written anew: the next one believes it.
      w.power(a, ON)
      expect(w.again().recollection).toMatchObject({ foreign: false })
      expect(w.view(a)).toBe(ON)
    },
  )

  test('of a platform that has more of something', () => {
    const w = spoiled(() => {})
    w.next({
      fresh: true,
      text: lastWriter.replace('\n\n# Requests', '\n    - { id: 8, name: new }\n\n# Requests'),
    })
    expect(w.recollection).toEqual({ domains: [], foreign: true })
  })

  test('that cannot be a file: it is told, and guests are served all the same', () => {
    symlinkSync('/etc/passwd', votesFile)
    const w = world()
    for (const slot of [a, b]) expect(w.power(slot, ON)).toBe(SUCCESS)
    w.power(b, OFF)
    expect(w.isOn()).toBe(true)
    expect(w.log).toEqual([expect.stringMatching(/^warn votes cannot be kept over a restart: .*ELOOP/)])
    w.again()
    expect([w.recollection?.domains, w.view(a)]).toEqual([[], OFF])
  })

  test('whatever bytes stand in it: a guest has votes and holds on what is its own, and is asked for nothing else', () => {
    const w = world()
    for (const slot of [a, b]) w.power(slot, ON)
    w.status(c, RATE_SET, 0, can, 20_000_000, 0)
    w.stop()
    const good = Uint8Array.from(readFileSync(votesFile))
    const tables = (8 + spaceIds + maxGuests * 2) * 4
    const patch = (from: number) =>
      fc
        .array(
          fc.tuple(
            fc.integer({ min: from, max: good.length - 1 }),
            fc.uint8Array({ minLength: 1, maxLength: 400 }),
          ),
          {
            minLength: 1,
            maxLength: 4,
          },
        )
        .map(patches => {
          const copy = Uint8Array.from(good)
          for (const [at, bytes] of patches) copy.set(bytes.subarray(0, good.length - at), at)
          return copy
        })
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 64 }),
          patch(0),
          patch(tables),
          fc.constantFrom(0xff, 0x01, 0x80, 0x7f).map(byte => good.slice().fill(byte, tables)),
        ),
        fc.boolean(),
        (bytes, fresh) => {
          writeFileSync(votesFile, bytes)
          const again = new World(lastWriter, true)
          again.next({ fresh }).received()
          for (const slot of [a, b, c, d]) {
            again.received()
            again.open(slot)
            const grants = again.machine.grants(...(devices[slot] ?? []))
            for (const [channel, message = 0, ...payload] of again.received()) {
              const id = payload[message === POWER_SET ? 1 : 0] as number
              const value = payload[message === POWER_SET ? 2 : 1] as number
              const isOff = message === POWER_SET ? value === OFF : value === 0
              if (isOff) continue // of what nobody votes for
              expect([channel, owns(grants.owned[message >>> 8], id)]).toEqual([slot + 1, true])
            }
          }
          for (const { slot, space, id } of staked(again.machine)) {
            const grants = again.machine.grants(...(devices[slot] ?? []))
            expect([slot, space, id, owns(grants.owned[space], id)]).toEqual([slot, space, id, true])
          }
          // And they are served: each vote can be given and taken.
          for (const slot of [a, b]) expect([SUCCESS, DENIED]).toContain(again.power(slot, ON))
          for (const slot of [a, b]) expect(again.power(slot, OFF)).toBe(SUCCESS)
          expect(again.isOn()).toBe(false)
          again.stop()
          rmSync(votesFile, { force: true })
        },
      ),
      { seed: 11, numRuns: 30 },
    )
  })
})

describe('killed at any moment', () => {
  /** What guests share here: who, and how it is asked for. */
  const shared = [
    {
      guests: [a, b],
      isOn: (w: World) => w.isOn(),
      set: (on: boolean) => [POWER_SET, 0, sdhi, on ? ON : OFF],
    },
    {
      guests: [c, d],
      isOn: (w: World) => w.platform.clocks.running(can),
      set: (on: boolean) => [CLOCK_SET, can, on ? 1 : 0, 0],
    },
  ] as const
  type Command = { readonly slot: number; readonly on: boolean }
  const command = fc.record({ slot: fc.constantFrom(a, b, c, d), on: fc.boolean() })
  const kill = fc.record({
    /** A command under way, and so many steps of its way are done. */
    during: fc.option(fc.tuple(command, fc.nat(6))),
    /** Whether its guest gives it again, as the log of what is under way has it; else its driver was reset. */
    replayed: fc.boolean(),
    fresh: fc.boolean(),
    /** Steps of taking up after which the next daemon is killed too. */
    again: fc.option(fc.nat(12)),
    order: fc.shuffledSubarray([a, b, c, d], { minLength: 4 }),
    /** Commands between one guest's coming back and the next one's. */
    between: fc.array(command, { maxLength: 4 }),
  })

  test('what anybody is sure to have asked for is on whenever it should be, and off when nobody wants it', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('votes', 'last-writer'),
        fc.array(fc.oneof({ weight: 4, arbitrary: command }, { weight: 1, arbitrary: kill }), {
          maxLength: 24,
        }),
        (sharing, steps) => {
          rmSync(votesFile, { force: true })
          const w = new World(lastWriter.replace('sharing: last-writer', `sharing: ${sharing}`))
          /** Votes that are sure; undefined: whether the command came to anything nobody knows. */
          const votes = new Map<number, boolean | undefined>([a, b, c, d].map(slot => [slot, false]))
          const resourceOf = (slot: number) => shared[slot < c ? 0 : 1] as (typeof shared)[number]
          // Nobody's OFF reaches a last-writer platform while somebody else is sure to need the resource.
          let asking: number | undefined
          let fresh = false
          w.onTap = (_channel, words) => {
            for (const { guests, set } of shared) {
              const off = set(false)
              if (!off.every((word, i) => words[i + 1] === word)) continue
              expect(guests.filter(slot => slot !== asking && votes.get(slot) === true)).toEqual([])
            }
          }
          const give = ({ slot, on }: Command): void => {
            asking = slot
            const [message, ...words] = resourceOf(slot).set(on)
            const former = votes.get(slot)
            votes.set(slot, undefined)
            try {
              expect(w.status(slot, message as number, ...words)).toBe(SUCCESS)
            } catch (error) {
              if (former === on) votes.set(slot, on)
              throw error
            }
            votes.set(slot, on)
            asking = undefined
          }
          const check = (slots: readonly number[]): void => {
            for (const { guests, isOn } of shared) {
              if (fresh && !guests.every(slot => slots.includes(slot))) continue
              const known = guests.map(slot => votes.get(slot))
              if (known.includes(true)) expect(isOn(w)).toBe(true)
              else if (!known.includes(undefined) && slots.length === 4) expect(isOn(w)).toBe(false)
            }
          }
          const killed = (work: () => void): boolean => {
            try {
              work()
              return false
            } catch (error) {
              if (!(error instanceof Killed)) throw error
              return true
            } finally {
              asking = undefined
              w.link.left = Number.POSITIVE_INFINITY
            }
          }
          for (const step of steps) {
            if ('slot' in step) {
              give(step)
              check([a, b, c, d])
              continue
            }
            const [under, after] = step.during ?? [undefined, 0]
            w.link.left = after
            const replay =
              under !== undefined && killed(() => give(under)) && step.replayed ? under : undefined
            fresh = step.fresh
            w.next({ fresh })
            if (step.again !== null) {
              w.link.left = step.again
              killed(() => {
                for (const slot of step.order) w.open(slot)
              })
              w.next()
            }
            const here: number[] = []
            for (const slot of step.order) {
              w.open(slot)
              here.push(slot)
              if (replay?.slot === slot) give(replay)
              check(here)
              for (const each of step.between)
                if (here.includes(each.slot)) {
                  give(each)
                  check(here)
                }
            }
            fresh = false
          }
          // In the end what is not sure is said, and everything can be switched off.
          for (const slot of [a, b, c, d]) give({ slot, on: false })
          check([a, b, c, d])
          w.stop()
        },
      ),
      { seed: 21, numRuns: 20 },
    )
  })
})
