// What a domain's partial tree must say for its calls to be trapped.
import { describe, expect, test } from 'vitest'
import { readDeviceTree } from '../../src/dt/fdt.ts'
import { trappedDomain } from '../../src/lifecycle/trapped-domain.ts'
import type { DomainSpec } from '../../src/lifecycle/views.ts'
import { blob, type Node } from '../dt/build.ts'

const area = (address: number, size = 4096): Node => ({
  compatible: 'arm,scmi-shmem',
  reg: [0, address, 0, size],
  phandle: 1,
})
const scmi = (more: Node = {}): Node => ({
  compatible: 'arm,scmi-smc',
  shmem: 1,
  'arm,smc-id': 0x82000007,
  ...more,
})
const asked = (passthrough: Node, spec: Partial<DomainSpec> = {}, returning = false) => {
  const content = { compatible: 'simple-bus', ranges: true, '#address-cells': 2, '#size-cells': 2 } as const
  const dtb = blob({ '#address-cells': 2, '#size-cells': 2, passthrough: { ...content, ...passthrough } })
  const whole: DomainSpec = { name: 'a', domid: 3, dtb, link: { kind: 'xen-smc' }, ...spec }
  return trappedDomain(whole, readDeviceTree(dtb, 'a.dtb'), 0x82000002, returning)
}

test('the area and the function id are those of the tree', () => {
  expect(asked({ 'scmi-shmem@22001000': area(0x22001000), firmware: scmi() })).toEqual({
    domid: 3,
    shmem: { start: 0x22001000, size: 4096 },
    smcId: 0x82000007,
    takesParameters: false,
    returning: false,
  })
})

test('another id may be asked for, and one that the tree has not is the usual', () => {
  const named = { 'scmi-shmem@22001000': area(0x22001000, 128) }
  const link = { kind: 'xen-smc', smcId: 0x82000009 } as const
  expect(asked({ ...named, firmware: scmi() }, { link }, true)).toMatchObject({
    smcId: 0x82000009,
    shmem: { size: 128 },
    returning: true,
  })
  const bare = { compatible: ['arm,scmi-smc-param'], shmem: 1 }
  expect(asked({ ...named, firmware: bare })).toMatchObject({ smcId: 0x82000002, takesParameters: true })
})

test('other links have nothing of it', () => {
  expect(asked({}, { link: { kind: 'message-socket', path: '/s' } })).toBeUndefined()
})

describe('refused', () => {
  test.each<[string, Node, Partial<DomainSpec>, RegExp]>([
    ['a domain without a domid', {}, { domid: undefined as never }, /domain a: .* has none/],
    ['a tree without SCMI', {}, {}, /^a\.dtb: has no node of compatible arm,scmi-smc/],
    ['one over virtio', { firmware: { compatible: 'arm,scmi-virtio' } }, {}, /has no node of compatible/],
    ['two', { a: scmi(), b: scmi(), 'scmi-shmem@1000': area(0x1000) }, {}, /both call by SMC/],
    ['no area', { firmware: { compatible: 'arm,scmi-smc' } }, {}, /firmware names no shared memory/],
  ])('%s', (_name, tree, spec, text) => {
    expect(() => asked(tree, spec)).toThrow(text)
  })
})
