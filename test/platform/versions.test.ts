// src/platform/versions.ts and NEGOTIATE_PROTOCOL_VERSION: versions per agent and protocol.
import { describe, expect, test } from 'vitest'
import { NOT_FOUND, NOT_SUPPORTED, PROTOCOL_ERROR, SUCCESS } from '../../src/scmi/status.ts'
import { example, platformOf } from './ask.ts'

const mediator = 0
const NEGOTIATE = 0x10
const asTwo = () =>
  example(text => text.replace('name: guest0, permissions: deny', 'name: guest0, permissions: allow'))

test.each([
  ['1.0', [0x1_0000, 0x1_0000, 0x1_0000, 0x1_0000, 0x1_0000, 0x1_0000]],
  ['2.0', [0x2_0000, 0x2_0000, 0x1_0000, 0x2_0000, 0x1_0000, 0x1_0000]],
  ['3.0', [0x2_0000, 0x2_0000, 0x1_0000, 0x2_0000, 0x1_0000, 0x2_0000]],
  ['3.1', [0x2_0000, 0x3_0000, 0x2_0000, 0x3_0000, 0x2_0000, 0x3_0000]],
  ['3.2', [0x2_0001, 0x3_0001, 0x2_0001, 0x4_0000, 0x3_0000, 0x3_0001]],
])('release %s presents the versions that the standard gives it', (release, versions) => {
  const asked = platformOf(`
vendor: v
release: '${release}'
agents: [{ id: 1, name: one, permissions: allow }]
power: { domains: [{ id: 0, name: a }] }
system: {}
performance: { domains: [{ id: 0, name: a, levels: [{ level: 1 }] }] }
clock: { clocks: [{ id: 0, name: a, rates: [1] }] }
sensor: { sensors: [{ id: 0, name: a, type: 2 }] }
`)
  expect([0x10, 0x11, 0x12, 0x13, 0x14, 0x15].map(p => asked.words(0, p, 0)[0])).toEqual(versions)
})

describe('negotiation', () => {
  test.each([
    [0x1_0000, SUCCESS],
    [0x2_0000, SUCCESS],
    [0x3_0000, SUCCESS],
    [0x3_0001, NOT_SUPPORTED],
    [0x2_0001, NOT_SUPPORTED],
    [0x4_0000, NOT_SUPPORTED],
    [0, NOT_SUPPORTED],
    [0xffff_ffff, NOT_SUPPORTED],
  ])('clock 0x%s gives %i', (version, status) => {
    expect(example().status(mediator, 0x14, NEGOTIATE, version)).toBe(status)
  })

  test('messages and layouts follow; the newest version is still the one presented', () => {
    const asked = example()
    asked.ask(mediator, 0x14, NEGOTIATE, 0x2_0000)
    expect(asked.words(mediator, 0x14, 0)).toEqual([0x3_0000])
    expect(asked.platform.versionInForce(1, 0x14)).toBe(0x2_0000)
    expect(asked.status(mediator, 0x14, 0xb, 0, 0), 'CONFIG_GET came later').toBe(NOT_FOUND)
    expect(asked.status(mediator, 0x14, 2, 0xb)).toBe(NOT_FOUND)
    expect(asked.status(mediator, 0x14, 7, 0, 1, 0)).toBe(PROTOCOL_ERROR)
    expect(asked.status(mediator, 0x14, 7, 0, 1)).toBe(SUCCESS)
    asked.ask(mediator, 0x14, NEGOTIATE, 0x1_0000)
    expect(asked.ask(mediator, 0x14, 3, 0).length / 2, 'no enable delay').toBe(4 + 4 + 16)
    expect(asked.status(mediator, 0x14, NEGOTIATE, 0x3_0000), 'and back').toBe(SUCCESS)
    expect(asked.status(mediator, 0x14, 0xb, 0, 0)).toBe(SUCCESS)
  })

  test('is each agent’s own, and each protocol’s', () => {
    const asked = asTwo()
    asked.ask(1, 0x14, NEGOTIATE, 0x1_0000)
    expect(asked.platform.versionInForce(1, 0x14)).toBe(0x3_0000)
    expect(asked.platform.versionInForce(2, 0x11)).toBe(0x3_0001)
    expect(asked.status(mediator, 0x14, 0xb, 0, 0)).toBe(SUCCESS)
    expect(asked.status(1, 0x14, 0xb, 0, 0)).toBe(NOT_FOUND)
  })

  test('a refused one changes nothing', () => {
    const asked = example()
    asked.ask(mediator, 0x14, NEGOTIATE, 0x2_0000)
    asked.ask(mediator, 0x14, NEGOTIATE, 0x5_0000)
    expect(asked.platform.versionInForce(1, 0x14)).toBe(0x2_0000)
  })

  test('exists where the presented version has it', () => {
    const asked = example(text =>
      text.replace("release: '3.2'", "release: '3.2'\nversions: { clock: 0x20000 }"),
    )
    expect(asked.status(mediator, 0x14, NEGOTIATE, 0x1_0000)).toBe(NOT_FOUND)
    expect(asked.status(mediator, 0x14, 2, NEGOTIATE)).toBe(NOT_FOUND)
    expect(asked.status(mediator, 0x15, 2, NEGOTIATE)).toBe(SUCCESS)
  })
})
