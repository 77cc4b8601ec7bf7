// src/lifecycle: whatever is asked in whatever order, with whatever failing, what must hold holds. Fixed seeds.
import { fc, test } from '@fast-check/vitest'
import { expect } from 'vitest'
import { MediatorError } from '../../src/errors.ts'
import type { Fault } from './faulty-link.ts'
import { devicesOf, now, RESET_AGENT, SET_DEVICE, Site } from './site.ts'

const guests = Object.keys(devicesOf)
const guest = fc.constantFrom(...guests)
const device = fc.constantFrom('0', '1', '2', '3', '4', '5', '6', '7', '8', 'codec@10', '/soc/adc@e6f30000')

const step = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('add' as const), name: guest }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('remove' as const), name: guest }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('attach' as const), name: guest, device }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('detach' as const), name: guest, device }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const) }) },
)

/** Which permission command of the step fails, and how; and what of the machine fails with it. */
const mishap = fc.record({
  command: fc.nat(12),
  times: fc.constantFrom(0, 0, 0, 1, 1, 2, 100),
  fault: fc.constantFrom<Fault>(-1, -3, -4, -6, -8, 'lost', 'unanswered', 'long'),
  machine: fc.constantFrom('none', 'none', 'none', 'none', 'open', 'journal', 'audit'),
})

async function carryOut(
  site: Site,
  action: Exclude<typeof step extends fc.Arbitrary<infer T> ? T : never, { kind: 'restart' }>,
) {
  switch (action.kind) {
    case 'add':
      return site.add(action.name)
    case 'remove':
      return site.lifecycle.removeDomain(action.name, now)
    case 'attach':
      return site.lifecycle.attachDevice(action.name, action.device, now)
    case 'detach':
      return site.lifecycle.detachDevice(action.name, action.device, now)
  }
}

const shape = (site: Site) =>
  site.views.domains().map(({ name, agentId, addedAt, dtbHash, devices, link }) => ({
    name,
    agentId,
    addedAt,
    dtbHash,
    devices,
    link,
  }))

for (const seed of [1, 2, 3])
  test.prop([fc.array(fc.tuple(step, mishap), { minLength: 6, maxLength: 16 })], { seed, numRuns: 25 })(
    `rights, firmware, log and journal agree, seed ${seed}`,
    async steps => {
      let site = await Site.recovered()
      for (const [action, { command, times, fault, machine }] of steps) {
        if (action.kind === 'restart') {
          await site.lifecycle.settle()
          const before = shape(site)
          const next = await site.next()
          await next.lifecycle.recover()
          expect(shape(next)).toEqual(before)
          site = next
          expect(site.faults()).toEqual([])
          continue
        }
        let at = 0
        site.link.fault = ({ message }) => {
          if (message !== SET_DEVICE && message !== RESET_AGENT) return undefined
          const hit = at >= command && at < command + times
          at++
          return hit ? fault : undefined
        }
        site.broken.open = machine === 'open'
        site.broken.audit = machine === 'audit'
        site.breakJournal(machine === 'journal')
        try {
          await carryOut(site, action)
        } catch (error) {
          expect(error).toBeInstanceOf(MediatorError)
        }
        site.link.fault = () => undefined
        site.broken.open = false
        site.broken.audit = false
        site.breakJournal(false)
        site.audit.drain()
        expect(site.faults()).toEqual([])
      }
    },
    120_000,
  )
