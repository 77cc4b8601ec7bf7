// src/dt/dense-tree.ts: the marker of generated guest trees.
import { expect, test } from 'vitest'
import { denseTree } from '../../src/dt/dense-tree.ts'
import { readDeviceTree } from '../../src/dt/fdt.ts'
import { loadDeviceTree } from '../../src/dt/load.ts'
import { blob, type Node, type Value } from './build.ts'

const protocol = (reg: number, more: Readonly<Record<string, Value>> = {}): Node => ({ reg, ...more })
const tree = (discovery: Value | undefined, protocols: Node = {}) =>
  readDeviceTree(
    blob({
      passthrough: {
        firmware: {
          scmi: {
            compatible: 'arm,scmi-smc',
            ...(discovery === undefined ? {} : { 'scmi-mediator,discovery': discovery }),
            ...protocols,
          },
        },
      },
    }),
    'guest.dtb',
  )

test('trees that users wrote have none', () => {
  expect(denseTree(loadDeviceTree('fixtures/example/guest-a.dtb'))).toBeUndefined()
  expect(
    denseTree(tree(undefined, { 'protocol@14': protocol(0x14, { 'scmi-mediator,names': ['a'] }) })),
  ).toBeUndefined()
  expect(denseTree(tree('identity'))).toBeUndefined()
})

test('names by protocol and namespace, in order, empty ones too', () => {
  const found = denseTree(
    tree('dense', {
      'protocol@14': protocol(0x14, { 'scmi-mediator,names': ['avb', '', '#7'] }),
      'protocol@11': protocol(0x11),
      'protocol@100': protocol(0x100, { 'scmi-mediator,names': ['no protocol'] }),
      'protocol@19': protocol(0x19, {
        'scmi-mediator,names': ['p0'],
        'scmi-mediator,group-names': ['g0', 'g1'],
        'scmi-mediator,function-names': ['f0'],
      }),
    }),
  )
  expect(found?.scmi.path).toBe('/passthrough/firmware/scmi')
  expect([...(found?.names ?? [])]).toEqual([
    [0x14, ['avb', '', '#7']],
    [0x019, ['p0']],
    [0x119, ['g0', 'g1']],
    [0x219, ['f0']],
  ])
})

test.each<[string, Value, Node, RegExp]>([
  [
    'another word',
    'sparse',
    {},
    /guest\.dtb: .*scmi-mediator,discovery.*"sparse": expected "dense" or "identity"/,
  ],
  ['two words', ['dense', 'dense'], {}, /2 strings, one is expected/],
  ['no string', Uint8Array.of(1), {}, /not terminated/],
  [
    'names that are no strings',
    'dense',
    { 'protocol@14': protocol(0x14, { 'scmi-mediator,names': Uint8Array.of(0xff, 0) }) },
    /protocol@14.*scmi-mediator,names.*not UTF-8/,
  ],
  [
    'names without end',
    'dense',
    { 'protocol@14': protocol(0x14, { 'scmi-mediator,names': Array.from({ length: 4097 }, () => 'a') }) },
    /4097 names, at most 4096/,
  ],
  [
    'two marked nodes',
    'dense',
    { scmi2: { compatible: 'arm,scmi', 'scmi-mediator,discovery': 'dense' } },
    /a guest has one SCMI node/,
  ],
])('refused: %s', (_, discovery, protocols, message) => {
  expect(() => denseTree(tree(discovery, protocols))).toThrow(message)
})
