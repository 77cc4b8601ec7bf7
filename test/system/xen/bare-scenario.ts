// Guests without an operating system: how long a call takes, many of them, a daemon that is killed, one that misbehaves.
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from './expect.ts'
import type { Guest } from './guest.ts'
import { nobodyLeft } from './linux-scenario.ts'
import { auditRecords, bareGuestWith, grants, type Scenario } from './scenario.ts'

/** One line of figures that guests/bare/main.c prints. */
interface Figures {
  readonly calls: number
  readonly bad: number
  readonly averageUs: number
  readonly leastUs: number
  readonly mostUs: number
}

function figures(text: string, what: string): Figures[] {
  const line = new RegExp(
    `^${what} calls=(\\d+) bad=(\\d+) average_us=(\\d+) least_us=(\\d+) most_us=(\\d+)$`,
    'gm',
  )
  return [...text.matchAll(line)].map(found => {
    const [calls = 0, bad = 0, averageUs = 0, leastUs = 0, mostUs = 0] = found.slice(1).map(Number)
    return { calls, bad, averageUs, leastUs, mostUs }
  })
}

/** 2,000 calls from two vCPUs, which end in the guest's own SYSTEM_OFF. */
export async function manyCalls(scenario: Scenario): Promise<void> {
  const { steps } = scenario
  const guest = await bareGuestWith(scenario, 'measure', 'adc', { mode: 'measure', count: 1000 })
  await steps.check('2,000 calls from two vCPUs, every answer right', async () => {
    await guest.create()
    await guest.wait(/^done$/m, { timeoutMs: 600_000 })
    for (const vcpu of ['vcpu0', 'vcpu1']) {
      const [found] = figures(guest.console, vcpu)
      expect([found?.calls, found?.bad], [1000, 0])
      if (found === undefined) continue
      const { averageUs, leastUs, mostUs } = found
      steps.figure(
        `round trip seen by ${vcpu}`,
        `${averageUs} µs on average, ${leastUs} at least, ${mostUs} at most`,
      )
    }
    await nobodyLeft(scenario)
  })
}

/** A guest whose domain id another one had before has its own rights only. */
export async function sameId(scenario: Scenario): Promise<void> {
  const { steps } = scenario
  const attributes = (clock: number): number[] => [0x5003, clock]
  const orders = { mode: 'frames', frames: [attributes(0), attributes(1), attributes(2)] } as const
  const first = await bareGuestWith(scenario, 'first', 'canfd', orders)
  const second = await bareGuestWith(scenario, 'second', 'adc', orders)
  await steps.check('a domain id that is used again brings nothing of its former domain', async () => {
    const SUCCESS = '00000000'
    const NOT_FOUND = 'fffffffc'
    for (const [guest, wanted] of [
      [first, [SUCCESS, SUCCESS, NOT_FOUND]],
      [second, [SUCCESS, NOT_FOUND, NOT_FOUND]],
    ] as const) {
      await guest.createAs(100)
      await guest.wait(/^done$/m)
      const answers = [...guest.console.matchAll(/^answer \w+ (\w+)/gm)].map(found => found[1])
      expect(answers, wanted)
      await nobodyLeft(scenario)
    }
  })
}

/** A guest that knows the firmware's ids asks for what others have. */
export async function foreignControls(scenario: Scenario): Promise<void> {
  const { steps } = scenario
  const frames = [
    [0x4404, 0, 0, 0], // POWER_STATE_SET: domain 0 on
    [0x5005, 0, 0, 1_000_000, 0], // CLOCK_RATE_SET: clock 0
    [0x5804, 0, 1, 0], // RESET: domain 0
  ]
  const guest = await bareGuestWith(scenario, 'asking', 'adc', { mode: 'frames', frames }, 'identity')
  await steps.check('what a guest asks of devices that it does not have is denied, and told', async () => {
    await guest.create()
    await guest.wait(/^done$/m)
    const DENIED = 'fffffffd'
    expect(
      [...guest.console.matchAll(/^answer \w+ (\w+)/gm)].map(found => found[1]),
      [DENIED, DENIED, DENIED],
    )
    const records = (await auditRecords(scenario)).filter(({ domain }) => domain === 'asking')
    expect(records.filter(({ decision }) => decision === 'denied').length, 3)
    await nobodyLeft(scenario)
  })
}

/** The daemon is killed while a guest calls all the time, and started again. */
export async function killedDaemon(scenario: Scenario): Promise<void> {
  const { steps, daemon } = scenario
  const guest = await bareGuestWith(scenario, 'steady', 'adc', { mode: 'steady', count: 100 })
  await steps.check(
    'kill -9 of the daemon under load: one slow call, no error, the same grants',
    async () => {
      await guest.create()
      await lines(guest, 2)
      const before = await grants(scenario)
      const told = figures(guest.console, 'steady').length
      await daemon.kill()
      await sleep(1000)
      await daemon.start()
      await lines(guest, told + 3)
      expect(await grants(scenario), before)
      const all = figures(guest.console, 'steady')
      expect(all.filter(({ bad }) => bad > 0).length, 0)
      const slow = all.filter(({ mostUs }) => mostUs > 1_000_000)
      expect(slow.length, 1)
      steps.figure('the slow call', `${((slow[0]?.mostUs ?? 0) / 1e6).toFixed(1)} s`)
      await guest.destroy()
      await nobodyLeft(scenario)
    },
  )
}

/** A guest that does all it can to disturb; another one's calls beside it. */
export async function hostileGuest(scenario: Scenario): Promise<void> {
  const { steps } = scenario
  const victim = await bareGuestWith(scenario, 'victim', 'adc', { mode: 'steady', count: 100 })
  const hostile = await bareGuestWith(scenario, 'hostile', 'canfd', { mode: 'hostile', count: 10_000 })
  await steps.check(
    `a hostile guest beside it makes another's calls at most ${factor} times slower`,
    async () => {
      await victim.create()
      await lines(victim, 3)
      const calm = figures(victim.console, 'steady').slice(1)
      const from = victim.console.length
      await hostile.create()
      await hostile.wait(/^flood /m, { timeoutMs: 600_000 })
      const beside = figures(victim.console.slice(from), 'steady')
      for (const part of ['rewrote', 'rang', 'called'])
        await hostile.wait(new RegExp(`^hostile ${part}`, 'm'))
      expect([...calm, ...beside].filter(({ bad }) => bad > 0).length, 0)
      const [alone, attacked] = [median(calm), median(beside)]
      steps.figure("the other's calls", `${alone} µs alone, ${attacked} µs beside it (medians of averages)`)
      if (!(attacked <= alone * factor)) throw new Error(`${attacked / alone} times slower`)
      const denied = (await auditRecords(scenario)).filter(({ domain }) => domain === 'victim')
      expect(denied.filter(({ decision }) => decision === 'denied').length, 0)
      for (const guest of [victim, hostile]) await guest.destroy().catch(() => {})
      await nobodyLeft(scenario)
    },
  )
}

/** How much slower calls may be while another guest floods: both share the processors, and the daemon's one thread. */
const factor = 10

const median = (all: readonly Figures[]): number =>
  all.map(({ averageUs }) => averageUs).sort((a, b) => a - b)[Math.floor(all.length / 2)] ?? Number.NaN

async function lines(guest: Guest, count: number): Promise<void> {
  await guest.wait(new RegExp(`(?:^steady .*\\n[^]*?){${count}}`, 'm'), { timeoutMs: 600_000 })
}
