// Domains with ids of their own, over the whole lifecycle: generated trees, devices that come and go, restarts of the
// daemon over firmware that numbers anew.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { loadDeviceTree } from '../../src/dt/load.ts'
import { writeFdt } from '../../src/dt/write-fdt.ts'
import { generate } from '../../src/permissions/generate.ts'
import type { ResourceNames } from '../../src/permissions/numbering.ts'
import { dry, fixture, now, Site } from './site.ts'

const NOT_FOUND = -4
const DENIED = -3
const CLOCK = 0x14

/** The tree of a guest, as `scmictl generate --discovery dense` writes it. */
function denseTreeOf(name: string, names?: ResourceNames): Uint8Array {
  const { root, problems } = generate({
    name,
    host: loadDeviceTree(fixture('host.dtb')),
    partial: loadDeviceTree(fixture(`${name}.dtb`)),
    devices: [],
    conduit: { kind: 'smc', smcId: 0x8200_0002, shmemAddress: 0x2200_1000n, shmemBytes: 0x1000 },
    discovery: 'dense',
    ...(names === undefined ? {} : { names }),
  })
  expect(problems.filter(({ severity }) => severity === 'error')).toEqual([])
  return writeFdt(root)
}

/** guest-a holds avb, sdhi0, gpu: clocks avb, sd0, sd0h, gpu. */
async function site(options: Parameters<typeof Site.recovered>[0] = {}) {
  const made = await Site.recovered(options)
  await made.add('guest-a', { dtb: denseTreeOf('guest-a', made.firmware.resourceNames) })
  return made
}
/** The clocks that a guest sees, by name. */
const clocks = (made: Site, name = 'guest-a'): string[] => {
  const guest = made.guest(name)
  const count = (guest.words(0x1401)[1] as number) & 0xffff
  return Array.from({ length: count }, (_, id) => {
    const bytes = Buffer.from(Uint32Array.from(guest.words(0x1403, id).slice(2, 6)).buffer)
    return bytes.toString('latin1').replace(/\0+$/, '')
  })
}
const guestIds = (made: Site, protocol = CLOCK) =>
  made.views
    .domain('guest-a')
    .devices.flatMap(({ resources }) => resources)
    .filter(resource => resource.protocol === protocol)
    .map(({ id, guestId }) => [id, guestId])

test('a generated tree makes it dense; the guest sees its own, and the views tell both ids', async () => {
  const made = await site()
  expect(made.faults()).toEqual([])
  expect(made.views.domain('guest-a').discovery).toBe('dense')
  expect(clocks(made)).toEqual(['avb', 'sd0', 'sd0h', 'gpu'])
  expect(guestIds(made)).toEqual([
    [0, 0],
    [3, 1],
    [4, 2],
    [8, 3],
  ])
  expect(made.guest('guest-a').status(0x1407, 3, 1, 0)).toBe(0)
  expect(made.guest('guest-a').status(0x1407, 4, 1, 0)).toBe(NOT_FOUND)
  made.audit.tryDrain()
  expect(made.records().findLast(({ kind }) => kind === 'message')).toMatchObject({
    message: 'CLOCK_CONFIG_SET',
    resource: 8,
    resourceName: 'gpu',
    rule: 'granted by /soc/gpu@fd000000',
  })
})

test('by choice: identity for a generated tree contradicts it, dense for a user’s too', async () => {
  const made = await Site.recovered()
  const dtb = denseTreeOf('guest-a')
  const planned = await made.lifecycle.addDomain(made.spec('guest-a', { dtb, discovery: 'identity' }), dry)
  expect(planned.granted.filter(({ protocol }) => protocol === CLOCK).map(({ id }) => id)).toEqual([
    0, 1, 2, 3,
  ])
  await expect(made.add('guest-a', { discovery: 'dense' })).rejects.toThrow(
    /clocks\[0\] names clock 8 of the guest's own, and there are 4/,
  )
  await made.add('guest-c', { discovery: 'auto' })
  expect(made.views.domain('guest-c').discovery).toBe('identity')
})

describe('devices that come and go', () => {
  test('what comes is behind, what goes leaves a hole, what comes back is where it was', async () => {
    const made = await site()
    await made.lifecycle.detachDevice('guest-a', '2', now)
    expect(clocks(made)).toEqual(['avb', '', '', 'gpu'])
    expect(made.guest('guest-a').status(0x1407, 1, 1, 0)).toBe(DENIED)
    await made.lifecycle.attachDevice('guest-a', '4', now)
    expect(clocks(made)).toEqual(['avb', '', '', 'gpu', 'i2c2', 'codec'])
    expect(made.faults()).toEqual([])
    await made.lifecycle.attachDevice('guest-a', '2', now)
    expect(clocks(made)).toEqual(['avb', 'sd0', 'sd0h', 'gpu', 'i2c2', 'codec'])
    expect(guestIds(made).at(-1)).toEqual([12, 5])
    await made.lifecycle.detachDevice('guest-a', '4', now)
    expect(made.guest('guest-a').words(0x1401)[1]).toBe(6)
    expect(made.faults()).toEqual([])
  })

  test('the last device of a protocol denies it', async () => {
    const made = await site()
    const guest = made.guest('guest-a')
    expect(guest.status(0x1700)).toBe(0)
    const protocols = (guest.words(0x1001)[1] as number) & 0xff
    await made.lifecycle.detachDevice('guest-a', '2', now) // the only one with supplies
    expect(guest.status(0x1700)).toBe(DENIED)
    expect((guest.words(0x1001)[1] as number) & 0xff).toBe(protocols - 1)
    await made.lifecycle.attachDevice('guest-a', '2', now)
    expect(guest.words(0x1708, 0)).toEqual([0, 3_300_000])
  })
})

describe('a restart of the daemon', () => {
  /** The same platform with its first two clocks the other way round: the host's tree follows, the guest's does not. */
  const swapped = (text: string): string =>
    text
      .replace('{ id: 0, name: avb, rates', '{ id: 0, name: TEMPORARY, rates')
      .replace('{ id: 3, name: sd0, rates', '{ id: 3, name: avb, rates')
      .replace('TEMPORARY', 'sd0')

  test('numbers are what they were, also of what was attached', async () => {
    const made = await site()
    await made.lifecycle.attachDevice('guest-a', '4', now)
    await made.lifecycle.detachDevice('guest-a', '0', now)
    const before = clocks(made)
    const next = await made.next()
    await next.lifecycle.recover()
    expect(before).toEqual(['', 'sd0', 'sd0h', 'gpu', 'i2c2', 'codec'])
    expect(clocks(next)).toEqual(before)
    expect(guestIds(next)).toEqual(guestIds(made))
    expect(next.faults()).toEqual([])
  })

  test('firmware that numbers anew: each is found by its name', async () => {
    const made = await site()
    const next = await made.next({ platform: undefined as never, edit: swapped })
    await next.lifecycle.recover()
    // Clock 3 is avb now, and clock 0 sd0; both are the guest's, and it goes by their names.
    expect(clocks(next)).toEqual(['avb', 'sd0', 'sd0h', 'gpu'])
    expect(guestIds(next)).toEqual([
      [0, 1],
      [3, 0],
      [4, 2],
      [8, 3],
    ])
    expect(next.faults()).toEqual([])
  })

  test('a tree that was made without asking the firmware goes by numbers at first, by names from then on', async () => {
    const made = await Site.recovered()
    await made.add('guest-a', { dtb: denseTreeOf('guest-a') })
    expect(clocks(made)).toEqual(['avb', 'sd0', 'sd0h', 'gpu'])
    const state = JSON.parse(readFileSync(join(made.directory, 'domains.json'), 'utf8'))
    expect(state.domains[0].labels[CLOCK]).toEqual(['avb', 'sd0', 'sd0h', 'gpu'])
    const next = await made.next({ platform: undefined as never, edit: swapped })
    await next.lifecycle.recover()
    expect(clocks(next)).toEqual(['avb', 'sd0', 'sd0h', 'gpu'])
  })

  test.each([['{ "x": ["a"] }'], ['{ "20": "a" }'], ['{ "20": [1] }']])(
    'labels %s are no labels',
    async labels => {
      const made = await site()
      const path = join(made.directory, 'domains.json')
      const state = JSON.parse(readFileSync(path, 'utf8'))
      state.domains[0].labels = JSON.parse(labels)
      writeFileSync(path, JSON.stringify(state))
      const next = await made.next()
      await expect(next.lifecycle.recover()).rejects.toMatchObject({ code: 'STATE_CORRUPT' })
    },
  )
})
