// What a guest that outlives its daemon finds again: subscriptions and the version it negotiated, from a file.
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { KeptSession } from '../../src/mediator/kept-session.ts'
import { Machine, type MachineOptions, type MemoryGuest, wordsOf } from './machine.ts'
import { RestartableLink } from './restartable-link.ts'

const [POWER_STATE_SET, POWER_STATE_NOTIFY] = [0x1104, 0x1106]
const [NEGOTIATE, BASE_NOTIFY_ERRORS] = [0x1010, 0x1008]
const OFF = 0x4000_0000
const [SUCCESS, NOT_SUPPORTED] = [0, -1]
const baseVersion1 = 0x1_0000
const baseVersion2 = 0x2_0000
const run = Uint32Array.of(1, 77, 1234, 0, 0x5000, 0x7f12, 64, 0)

const folder = mkdtempSync(join(tmpdir(), 'kept-session-'))
afterAll(() => rmSync(folder, { recursive: true }))
const sessionFile = (name: string): string => join(folder, `${name}.session`)

let machines: Machine[]
let log: string[]
beforeEach(() => {
  machines = []
  log = []
})
afterEach(() => {
  for (const machine of machines) machine.stop()
  for (const name of readdirSync(folder)) rmSync(join(folder, name), { recursive: true })
})

/** A daemon's relay, over a platform that has just started. */
function machineOf(options: MachineOptions = {}): Machine {
  const machine = new Machine({ sessionFile, log, ...options })
  machines.push(machine)
  return machine
}

/** A guest with a way back, in the run of that name. */
function guestOf(
  machine: Machine,
  devices: readonly number[],
  options: Parameters<Machine['guest']>[1] = {},
  named: Uint32Array | null = run,
): MemoryGuest {
  const guest = machine.guest(devices, options)
  guest.hasP2A = true
  guest.room = Number.POSITIVE_INFINITY
  guest.run = named ?? undefined
  return guest
}

/** A former daemon's guest, which begins with subscriptions to both states of its power domains; that daemon is gone. */
function formerRun(
  devices: readonly number[],
  domains: readonly number[],
  options: MachineOptions = {},
): Machine {
  const former = machineOf(options)
  const guest = guestOf(former, devices)
  former.relay.restarted(guest)
  for (const domain of domains) expect(guest.status(POWER_STATE_NOTIFY, domain, 1)).toBe(SUCCESS)
  return former
}

/** What the platform was told of power domains' subscriptions: channel, domain, on or off. */
const told = (machine: Machine): number[][] =>
  machine
    .takeTapped()
    .filter(({ words }) => ((words[0] as number) & 0x3_fcff) === ((0x11 << 10) | 6))
    .map(({ channel, words }) => [channel, words[1] as number, words[2] as number])
const subscribed = (machine: Machine, slot = 0): number[] =>
  machine.relay.mediator.routing.subscriptions.of(slot).map(({ id }) => id)
const delivered = (guest: MemoryGuest): number[][] => guest.delivered.splice(0).map(wordsOf)

describe('a guest that outlived its daemon', () => {
  test('is subscribed to what it was, the platform is told before it is served, and notifications come', () => {
    formerRun([2], [2])
    const machine = machineOf()
    const guest = guestOf(machine, [2], { returning: true })
    machine.takeTapped()
    machine.relay.resumed(guest)
    expect(told(machine)).toEqual([[1, 2, 1]])
    expect(guest.status(POWER_STATE_SET, 0, 2, 0)).toBe(SUCCESS)
    expect(delivered(guest)).toHaveLength(1)
    expect(log).toEqual(['info guest0: goes on as a former run left it (subscriptions: 1)'])
    // Stopped and going on later, it is told nothing again; and it can give up what it took over.
    machine.relay.resumed(guest)
    expect(told(machine)).toEqual([])
    expect(guest.status(POWER_STATE_NOTIFY, 2, 0)).toBe(SUCCESS)
    expect(guest.status(POWER_STATE_SET, 0, 2, OFF)).toBe(SUCCESS)
    expect(delivered(guest)).toEqual([])
  })

  test('has the Base version and the errors it had negotiated, over changes of its grants', () => {
    const former = machineOf()
    const before = guestOf(former, [2])
    former.relay.restarted(before)
    expect(before.status(NEGOTIATE, baseVersion2)).toBe(SUCCESS)
    expect(before.status(BASE_NOTIFY_ERRORS, 1)).toBe(SUCCESS)
    expect(before.status(NEGOTIATE, baseVersion1)).toBe(SUCCESS)
    former.regrant(0, 2, 5)
    const machine = machineOf()
    const guest = guestOf(machine, [2], { returning: true })
    machine.relay.resumed(guest)
    machine.regrant(0, 2)
    const { identity } = machine.relay.mediator.guests[0] as {
      identity: { version: number; notifyErrors: boolean }
    }
    expect(identity).toMatchObject({ version: baseVersion1, notifyErrors: true })
    // BASE_DISCOVER_AGENT of version 1: the name only.
    expect(guest.words(0x1007, 1)).toHaveLength(5)
    // And a third daemon finds what the second one was told.
    expect(guest.status(NEGOTIATE, baseVersion2)).toBe(SUCCESS)
    const third = machineOf()
    third.relay.resumed(guestOf(third, [2], { returning: true }))
    expect(third.relay.mediator.guests[0]?.identity.version).toBe(baseVersion2)
  })

  test('keeps only what it still owns', () => {
    formerRun([2, 5], [2, 4])
    const machine = machineOf()
    machine.takeTapped()
    machine.relay.resumed(guestOf(machine, [2], { returning: true }))
    expect(told(machine)).toEqual([[1, 2, 1]])
    expect(subscribed(machine)).toEqual([2])
    // What was let go stays so, also when it owns it again at the next start.
    const third = machineOf()
    third.relay.resumed(guestOf(third, [2, 5], { returning: true }))
    expect(subscribed(third)).toEqual([2])
  })

  test('has nothing without a way back', () => {
    formerRun([2], [2])
    const machine = machineOf()
    const guest = guestOf(machine, [2], { returning: true })
    guest.hasP2A = false
    machine.takeTapped()
    machine.relay.resumed(guest)
    expect(told(machine)).toEqual([])
    expect(subscribed(machine)).toEqual([])
  })

  test('is taken up under the name it was given meanwhile', () => {
    const former = formerRun([2], [2])
    former.execute({ type: 'rename', slot: 0, name: 'renamed' })
    expect(existsSync(sessionFile('guest0'))).toBe(false)
    const machine = machineOf()
    machine.relay.resumed(guestOf(machine, [2], { name: 'renamed', returning: true }))
    expect(subscribed(machine)).toEqual([2])
  })

  test('behind a channel with another guest: the platform is told once', () => {
    const former = machineOf()
    const guests = [2, 3].map(device => guestOf(former, [device], { channel: 1 }))
    for (const guest of guests) {
      former.relay.restarted(guest)
      guest.status(POWER_STATE_NOTIFY, 2, 1)
    }
    const machine = machineOf()
    const again = [2, 3].map(device => guestOf(machine, [device], { channel: 1, returning: true }))
    machine.takeTapped()
    for (const guest of again) machine.relay.resumed(guest)
    expect(told(machine)).toEqual([[1, 2, 1]])
    expect(again[0]?.status(POWER_STATE_SET, 0, 2, 0)).toBe(SUCCESS)
    expect(again.map(guest => delivered(guest).length)).toEqual([1, 1])
  })

  test('that is shown older versions, too', () => {
    const shown = (machine: Machine) => new Map(machine.versions).set(0x11, 0x2_0000)
    const former = machineOf()
    const before = guestOf(former, [2], { versions: shown(former) })
    const linkOf = (machine: Machine) => machine.relay.mediator.guests[0]?.link as never
    former.relay.restarted(linkOf(former))
    expect(before.status(POWER_STATE_NOTIFY, 2, 1)).toBe(SUCCESS)
    const machine = machineOf()
    const guest = guestOf(machine, [2], { versions: shown(machine), returning: true })
    machine.relay.resumed(linkOf(machine))
    expect(guest.status(POWER_STATE_SET, 0, 2, 0)).toBe(SUCCESS)
    expect(delivered(guest)).toHaveLength(1)
  })
})

describe('a session that is another one’s, or over, is not believed', () => {
  /** What the guest is subscribed to after it went on. */
  function takenUp(
    options: Parameters<Machine['guest']>[1] = { returning: true },
    named = run,
    on: MachineOptions = {},
  ) {
    const machine = machineOf(on)
    machine.relay.resumed(guestOf(machine, [2], options, named))
    return subscribed(machine)
  }

  test('the control: the same run', () => {
    formerRun([2], [2])
    expect(takenUp()).toEqual([2])
  })

  test.each(Array.from(run, (_, i) => i))('a run whose name differs in word %i', i => {
    formerRun([2], [2])
    expect(takenUp(undefined, run.with(i, 0x8000_0000))).toEqual([])
    expect(takenUp()).toEqual([]) // and it is gone
  })

  test('a run without a name, before or after', () => {
    formerRun([2], [2])
    const machine = machineOf()
    machine.relay.resumed(guestOf(machine, [2], { returning: true }, null))
    expect(subscribed(machine)).toEqual([])
    expect(takenUp()).toEqual([])
  })

  test('a domain that was added anew', () => {
    formerRun([2], [2])
    expect(takenUp({ returning: false })).toEqual([])
  })

  test('a guest that began anew', () => {
    const former = formerRun([2], [2])
    former.relay.restarted(former.guests[0] as MemoryGuest)
    expect(takenUp()).toEqual([])
  })

  test('a guest whose rings begin anew at the successor', () => {
    formerRun([2], [2])
    const machine = machineOf()
    machine.relay.restarted(guestOf(machine, [2], { returning: true }))
    expect(subscribed(machine)).toEqual([])
    expect(takenUp()).toEqual([])
  })

  test('a guest that subscribed, lost the device and has it again', () => {
    const former = formerRun([2], [2])
    former.regrant(0, 0)
    former.regrant(0, 2)
    expect(takenUp()).toEqual([])
  })

  test('a subscription that was given up, or refused by the platform', () => {
    const former = formerRun([2], [2])
    ;(former.guests[0] as MemoryGuest).status(POWER_STATE_NOTIFY, 2, 0)
    expect(takenUp()).toEqual([])
    const edit = (text: string) =>
      text.replace('{ id: 2, name: sdhi }', '{ id: 2, name: sdhi, notify: false }')
    const refusing = machineOf({ edit })
    const guest = guestOf(refusing, [2])
    refusing.relay.restarted(guest)
    expect(guest.status(POWER_STATE_NOTIFY, 2, 1)).toBe(NOT_SUPPORTED)
    expect(takenUp()).toEqual([])
  })

  test('another platform, which has more of something', () => {
    formerRun([2], [2])
    const edit = (text: string) =>
      text.replace('\n\n# Requests', '\n    - { id: 8, name: new }\n\n# Requests')
    expect(takenUp(undefined, run, { edit })).toEqual([])
  })

  test('a domain that is removed: the file goes', () => {
    const former = formerRun([2], [2])
    expect(existsSync(sessionFile('guest0'))).toBe(true)
    former.close(0)
    expect(existsSync(sessionFile('guest0'))).toBe(false)
  })

  test('what cannot be a file is told, and the guest is served all the same', () => {
    symlinkSync('/etc/passwd', sessionFile('guest0'))
    const machine = machineOf()
    const guest = guestOf(machine, [2])
    machine.relay.resumed(guest)
    expect(guest.status(POWER_STATE_NOTIFY, 2, 1)).toBe(SUCCESS)
    machine.relay.resumed(guest)
    expect(subscribed(machine)).toEqual([2])
    expect(log).toEqual([
      expect.stringMatching(/^warn guest0: its session cannot be kept over a restart: .*ELOOP/),
    ])
  })

  test('whatever bytes stand in the file, nobody is subscribed to what is not its own', () => {
    formerRun([2, 5], [2, 4])
    const good = readFileSync(sessionFile('guest0'))
    const table = 17 * 4 // where the kinds begin
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: good.length * 2 }),
          fc
            .tuple(fc.nat(good.length - 1), fc.uint8Array({ minLength: 1, maxLength: 64 }))
            .map(([at, bytes]) => {
              const copy = Uint8Array.from(good)
              copy.set(bytes.subarray(0, good.length - at), at)
              return copy
            }),
          // Believed, with every bit and any version.
          fc.uint8Array({ minLength: 8, maxLength: 8 }).map(bytes => {
            const copy = Uint8Array.from(good)
            copy.set(bytes, 8)
            const kinds = new DataView(copy.buffer).getUint32(4, true)
            return copy.fill(0xff, table + kinds * 8)
          }),
        ),
        bytes => {
          writeFileSync(sessionFile('guest0'), bytes)
          const machine = new Machine({ sessionFile })
          const guest = guestOf(machine, [2], { returning: true })
          machine.takeTapped()
          machine.relay.resumed(guest)
          const kept = machine.relay.mediator.routing.subscriptions.of(0)
          const own = new Set(machine.resources([2]).map(({ protocol, id }) => `${protocol}/${id}`))
          for (const { protocol, whole, id } of kept)
            expect(whole ? machine.grants(2).protocols[protocol] === 1 : own.has(`${protocol}/${id}`)).toBe(
              true,
            )
          expect([baseVersion1, baseVersion2, 0x2_0001]).toContain(
            machine.relay.mediator.guests[0]?.identity.version,
          )
          machine.stop()
        },
      ),
      { seed: 4, numRuns: 100 },
    )
  })
})

describe('a platform that does not answer', () => {
  let link: RestartableLink
  const restartable: MachineOptions = {
    firmware: platform => {
      link = new RestartableLink(platform)
      return link
    },
  }

  test('that refuses: the subscription ends', () => {
    formerRun([2], [2])
    const machine = machineOf(restartable)
    link.fault = ({ words }) => (words[2] === 1 ? NOT_SUPPORTED : undefined)
    machine.relay.resumed(guestOf(machine, [2], { returning: true }))
    expect(subscribed(machine)).toEqual([])
    expect(log.at(-1)).toBe('warn guest0: POWER_STATE_NOTIFY 2 ended with a restart: status -1')
    const third = machineOf()
    third.relay.resumed(guestOf(third, [2], { returning: true }))
    expect(subscribed(third)).toEqual([])
  })

  test('that is silent: it stands, and is told again later', () => {
    formerRun([2], [2])
    const machine = machineOf(restartable)
    let asked = 0
    link.fault = ({ words: [header = 0] }) => {
      if (((header >>> 10) & 0xff) !== 0x11 || (header & 0xff) !== 6) return undefined
      asked++
      return -7
    }
    machine.relay.resumed(guestOf(machine, [2], { returning: true }))
    expect([asked, subscribed(machine)]).toEqual([1, [2]])
    machine.relay.mediator.takingUp.pump()
    expect(asked).toBe(1) // not at once
    while (asked === 1) machine.relay.step(20)
    expect(subscribed(machine)).toEqual([2])
  })

  test('that is being told everything again: it is told with the rest', () => {
    formerRun([2], [2])
    const machine = machineOf(restartable)
    const guest = guestOf(machine, [2], { returning: true })
    machine.relay.reconnected(1)
    machine.takeTapped()
    machine.relay.resumed(guest)
    expect(told(machine)).toEqual([])
    expect(machine.execute({ type: 'restore', channel: 1, refused: [] })).toMatchObject({ subscriptions: 1 })
    expect(told(machine)).toEqual([[1, 2, 1]])
  })
})

describe('the file', () => {
  const kinds = [
    { command: 0x1106, count: 33 },
    { command: 0x1206, count: 1 },
  ]
  const path = join(folder, 'bytes.session')

  test('holds what docs/vhost-user.md says, byte by byte', () => {
    const session = KeptSession.open(path, kinds)
    session.begin(run, baseVersion2)
    session.set(0x1106, 32, true)
    session.set(0x1106, 0, true)
    session.set(0x1106, 0, false)
    session.set(0x1206, 0, true)
    session.set(0x7777, 0, true) // no kind
    session.negotiated(baseVersion1, true)
    const words = wordsOf(readFileSync(path))
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8')
      .replaceAll('-', '')
      .match(/[0-9a-f]{8}/g)
    expect(words).toEqual([
      0x31534353,
      2,
      baseVersion1,
      1,
      ...(boot ?? []).map(each => Number.parseInt(each, 16)),
      ...run,
      ...[0x1106, 33, 0x1206, 1],
      ...[0, 1, 1],
    ])
    expect(session.subscriptions()).toEqual([
      { command: 0x1106, id: 32 },
      { command: 0x1206, id: 0 },
    ])
    session.remove()
    session.remove()
    expect(existsSync(path)).toBe(false)
  })

  test('of another boot of the machine is not believed', () => {
    const session = KeptSession.open(path, kinds)
    session.begin(run, baseVersion2)
    expect(session.claim(run)).toBe(true)
    const bytes = readFileSync(path)
    bytes[16] = (bytes[16] as number) ^ 1
    writeFileSync(path, bytes)
    expect(session.claim(run)).toBe(false)
    session.close()
  })
})
