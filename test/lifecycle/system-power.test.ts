// src/lifecycle/rights.ts: which domain is shown the system power protocol.
import { expect, test } from 'vitest'
import { blob } from '../dt/build.ts'
import { Site } from './site.ts'

/** A partial tree with avb, SCMI device 0, whose SCMI node has this protocol beside the clocks. */
const treeWith = (protocol: number): Uint8Array =>
  blob({
    passthrough: {
      scmi: {
        compatible: 'arm,scmi',
        'protocol@14': { reg: 0x14, phandle: 1, '#clock-cells': 1 },
        extra: { reg: protocol },
      },
      avb: { 'xen,path': '/soc/ethernet@e6800000', scmi_devid: 0, clocks: [1, 0] },
    },
  })
const SET = 0x1203
const [DENIED, INVALID] = [-3, -2]
/** What tells them apart: a malformed request is looked at only by one that is shown the protocol. */
const malformed = (site: Site, name: string): number => site.guest(name).status(SET, 2, 0)

test('a domain whose tree names it', async () => {
  const site = await Site.recovered()
  await site.add('guest-a', { dtb: treeWith(0x12) })
  await site.add('guest-c')
  expect([malformed(site, 'guest-a'), malformed(site, 'guest-c')]).toEqual([INVALID, DENIED])
  expect(site.guest('guest-a').status(SET, 0, 0)).toBe(DENIED)
  expect(site.platform.system.requests).toBe(0)
})

test('not one whose tree names another protocol', async () => {
  const site = await Site.recovered()
  await site.add('guest-a', { dtb: treeWith(0x15) })
  expect(malformed(site, 'guest-a')).toBe(DENIED)
})

test('one that owns all there is, as long as it does', async () => {
  const site = await Site.recovered({
    edit: () => `
vendor: example
implementationVersion: 1
agents: [{ id: 1, name: mediator, trusted: true, permissions: allow }, { id: 2, name: guest0, permissions: deny }]
devices: [{ id: 0, name: avb, clock: [0] }]
system: { agents: [1] }
clock: { clocks: [{ id: 0, name: avb, rates: [1000] }] }
`,
  })
  await site.add('guest-a', { dtb: treeWith(0x15) })
  expect(malformed(site, 'guest-a')).toBe(INVALID)
  await site.lifecycle.detachDevice('guest-a', 'avb', { dryRun: false })
  expect(malformed(site, 'guest-a')).toBe(DENIED)
})
