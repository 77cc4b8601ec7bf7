// Domains that are shown older versions: told at once where that cannot be, kept over a restart of the daemon.
import { expect, test } from 'vitest'
import { dry, now, Site } from './site.ts'

const SUCCESS = 0
const [VERSION, CLOCK_SET, CLOCK_GET] = [0x1400, 0x1407, 0x140b]
const NOT_FOUND = -4

test('the domain sees its versions, also after a restart of the daemon', async () => {
  const site = await Site.recovered()
  await site.add('guest-c', { versions: { clock: '2.0', power: '2.0' } })
  for (const at of [site, await site.next()]) {
    if (at !== site) await at.lifecycle.recover()
    const guest = at.guest('guest-c')
    expect(guest.words(VERSION)).toEqual([SUCCESS, 0x2_0000])
    expect(guest.words(0x1100)).toEqual([SUCCESS, 0x2_0000])
    expect(guest.words(0x1600)).toEqual([SUCCESS, 0x3_0001])
    expect(guest.status(CLOCK_SET, 9, 1)).toBe(SUCCESS)
    expect(guest.status(CLOCK_GET, 9, 0)).toBe(NOT_FOUND)
  }
})

test('a release that cannot be shown of what the domain holds is refused, and nothing is left', async () => {
  const site = await Site.recovered()
  const asked = site.spec('guest-a', { release: '2.0' }) // it holds performance and sensor
  for (const options of [dry, now])
    await expect(site.lifecycle.addDomain(asked, options)).rejects.toMatchObject({
      code: 'NOT_SUPPORTED',
      message: expect.stringMatching(
        /^performance 2.0 cannot be shown .*: PROTOCOL_ATTRIBUTES cannot be translated/,
      ),
    })
  expect([site.lifecycle.domains, site.faults()]).toEqual([[], []])
  await site.add('guest-c', { release: '2.0' })
  expect(site.guest('guest-c').words(0x1000)).toEqual([SUCCESS, 0x2_0000])
})

test('nor is a device given that would bring such a protocol', async () => {
  const site = await Site.recovered()
  await site.add('guest-c', { release: '2.0' })
  await expect(site.lifecycle.attachDevice('guest-c', '5', now)).rejects.toThrow(
    /cannot be translated exactly/,
  )
  await site.lifecycle.attachDevice('guest-c', '8', now)
  expect(site.faults()).toEqual([])
})

test('a protocol or version that there is not is refused by name', async () => {
  const site = await Site.recovered()
  await expect(site.add('guest-c', { versions: { clock: '9.9' } })).rejects.toThrow(
    /^clock 9.9: expected 1.0, 2.0, 3.0$/,
  )
  await expect(site.add('guest-c', { versions: { gpio: '1.0' } })).rejects.toThrow(/no protocol gpio/)
})
