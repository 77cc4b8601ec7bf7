// The protocol page says something of every message, and what it says agrees with the schema.
import { describe, expect, test } from 'vitest'
import { protocolsPage, protocolTable } from '../../src/cli/docs-protocols.ts'
import { protocols } from '../../src/scmi/protocols.ts'
import type { AnyMessage, Field, Protocol } from '../../src/scmi/schema.ts'

const page = protocolsPage()
const all = protocols as readonly Protocol[]

/** The lines of a protocol's section. */
const sectionOf = (p: Protocol): string[] =>
  (page.split('\n## ').find(section => section.startsWith(`${p.name}, 0x${p.id.toString(16)}`)) ?? '').split(
    '\n',
  )

const cellsOf = (line: string): string[] =>
  line
    .split(/(?<!\\)\|/)
    .slice(1, -1)
    .map(cell => cell.trim())

describe('the page', () => {
  test.each(all.map(p => [p.key, p] as const))(
    'has one row for each message and notification of %s',
    (_, p) => {
      const rows = sectionOf(p).filter(line => line.startsWith('| 0x'))
      const declared = [...Object.values(p.messages), ...Object.values(p.notifications)]
      expect(rows).toHaveLength(declared.length)
      for (const [name, { id }] of [...Object.entries(p.messages), ...Object.entries(p.notifications)]) {
        const [row] = rows.filter(line => cellsOf(line)[1]?.startsWith(`**${name}** `))
        expect(cellsOf(row ?? '')[0]?.toLowerCase()).toBe(`0x${id.toString(16)}`)
      }
    },
  )

  test('has tables whose rows are as wide as their heads', () => {
    let width = 0
    for (const line of page.split('\n')) {
      if (!line.startsWith('|')) width = 0
      else if (width === 0) width = cellsOf(line).length
      else expect(cellsOf(line)).toHaveLength(width)
    }
  })

  test('leaves nothing undefined', () => {
    expect(page).not.toMatch(/undefined|NaN|\[object/)
    expect(page.endsWith('\n')).toBe(true)
    expect(page.endsWith('\n\n')).toBe(false)
  })
})

describe('the fate of a message', () => {
  const rowOf = (name: string): string[] =>
    cellsOf(page.split('\n').find(line => line.includes(`**${name}**`)) ?? '').slice(2)

  test.each([
    ['BASE_DISCOVER_AGENT', ['1.0', 'query, optional', '', 'local', '']],
    ['BASE_SET_DEVICE_PERMISSIONS', ['2.0', 'control, optional', '', 'denied', '']],
    [
      'POWER_STATE_SET',
      ['1.0', 'control', '`domain_id`', 'votes', 'denied; a release is SUCCESS without effect'],
    ],
    [
      'PERFORMANCE_DESCRIBE_FASTCHANNEL',
      ['2.0', 'query, optional', '`domain_id`', 'NOT_SUPPORTED, answered here', 'placeholder: NOT_SUPPORTED'],
    ],
    [
      'CLOCK_RATE_SET',
      [
        '1.0',
        'control, delayed response',
        '`clock_id`',
        'exclusive; asynchronous needs a way back (P2A)',
        'denied',
      ],
    ],
    [
      'CLOCK_DESCRIBE_RATES',
      ['1.0', 'query', '`clock_id`', 'forwarded', 'placeholder: `num_rates_flags` returned 1; `rate` 0'],
    ],
    ['VOLTAGE_CONFIG_SET', ['1.0', 'control', '`domain_id`', 'votes', 'denied']],
    [
      'SENSOR_DESCRIPTION_GET',
      [
        '1.0',
        'query',
        '',
        'forwarded; descriptors of others are blanked; *dense*: local, what the guest can name of it',
        '',
      ],
    ],
  ])('%s is %j', (name, cells) => {
    expect(rowOf(name)).toEqual(cells)
  })

  test('no control that is not the guest’s own is forwarded', () => {
    for (const p of all) {
      for (const [name, m] of Object.entries(p.messages)) {
        if (m.effect !== 'control' || m.resource === undefined) continue
        const row = sectionOf(p).find(line => line.includes(`**${name}**`)) ?? ''
        expect(cellsOf(row)[6]).toMatch(/^(denied|placeholder: NOT_SUPPORTED)/)
      }
    }
  })

  test('addresses are blanked', () => {
    for (const p of all) {
      const attributes = sectionOf(p).find(line => line.includes('**PROTOCOL_ATTRIBUTES**')) ?? ''
      const { response } = p.messages['PROTOCOL_ATTRIBUTES'] as AnyMessage
      const fields: readonly Field<unknown>[] = Object.values(response.fields)
      const has = fields.some(field => field.role === 'hidden')
      expect(attributes.includes('blanked: `')).toBe(has)
    }
  })
})

describe('the short table', () => {
  test('has one row for each protocol, as wide as its head', () => {
    const [head, rule, ...rows] = protocolTable().trimEnd().split('\n')
    expect(cellsOf(rule ?? '')).toHaveLength(cellsOf(head ?? '').length)
    expect(rows.map(row => cellsOf(row)[0])).toEqual(all.map(p => p.name))
    for (const row of rows) expect(cellsOf(row)).toHaveLength(cellsOf(head ?? '').length)
  })

  test('says which versions and releases', () => {
    expect(protocolTable()).toContain(
      '| Reset domain management | 0x16 | 1.0, 3.0, 3.1 | 2.0 to 3.2 | 8 | 1 |',
    )
  })
})
