// src/permissions/older.ts: which older versions a guest can be shown, and why not the others.
import { describe, expect, test } from 'vitest'
import { ShownRelease } from '../../src/config/scmid-schema.ts'
import { compileOlder, refuseInexact, shownVersions } from '../../src/permissions/older.ts'
import { newestVersion, protocols, releases } from '../../src/scmi/protocols.ts'

const newest = new Map(protocols.map(p => [p.id, newestVersion(p)] as const))
const all = () => true

test('the configuration knows the releases that there are', () => {
  expect(ShownRelease.enum).toEqual(releases)
})

describe('the versions shown', () => {
  test('of a release: its own, none newer than the firmware’s, none that it does not have', () => {
    expect(shownVersions(newest, { release: '3.2' })).toBeUndefined()
    const shown = shownVersions(new Map([...newest, [0x14, 0x1_0000]]), { release: '3.0' })
    expect(Array.from(shown ?? [], ([id, version]) => [id.toString(16), version.toString(16)])).toEqual([
      ['10', '20000'],
      ['11', '20000'],
      ['12', '10000'],
      ['13', '20000'],
      ['14', '10000'],
      ['15', '20000'],
      ['16', '10000'],
      ['17', '10000'],
    ])
  })

  test('of single protocols, beside a release too', () => {
    expect(shownVersions(newest, { versions: { clock: '3.0' } })).toBeUndefined()
    expect(shownVersions(newest, { versions: { clock: '2.0' } })?.get(0x14)).toBe(0x2_0000)
    expect(shownVersions(newest, { release: '3.0', versions: { reset: '3.0' } })?.get(0x16)).toBe(0x3_0000)
  })

  test.each([
    [{ clock: '2.7' }, /^clock 2.7: expected 1.0, 2.0, 3.0$/],
    [{ clocks: '2.0' }, /^the firmware has no protocol clocks/],
    [{ power: '3.0' }, /^power 3.0: the firmware has 2.0$/],
  ])('%o is refused', (versions, says) => {
    const platform = new Map([...newest, [0x11, 0x2_0000] as const])
    expect(() => shownVersions(platform, { versions })).toThrow(says)
  })
})

/** Every older version of every protocol over the newest: why it cannot be shown, or that it can. */
test.each(
  protocols.flatMap(({ key, id, versions }) =>
    id === 0x10 ? [] : versions.slice(0, -1).map(({ version }) => [key, version, id] as const),
  ),
)('%s %i', (key, version, id) => {
  const name = `${key} ${version >>> 16}.${version & 0xffff}`
  let reason = 'can be shown'
  try {
    refuseInexact(newest, new Map([...newest, [id, version]]), all)
  } catch (error) {
    reason = /: (\w+) cannot be translated exactly$/.exec((error as Error).message)?.[1] ?? `${error}`
  }
  const refused: Readonly<Record<string, string>> = {
    'performance 1.0': 'PROTOCOL_ATTRIBUTES',
    'performance 2.0': 'PROTOCOL_ATTRIBUTES',
    'performance 3.0': 'PERFORMANCE_DESCRIBE_LEVELS',
    'sensor 1.0': 'SENSOR_DESCRIPTION_GET',
    'sensor 2.0': 'SENSOR_DESCRIPTION_GET',
    'power-capping 1.0': 'POWERCAP_CAP_GET',
  }
  expect(reason).toBe(refused[name] ?? 'can be shown')
})

test('what the guest does not hold is no reason', () => {
  const shown = shownVersions(newest, { release: '2.0' })
  expect(() => refuseInexact(newest, shown ?? new Map(), id => id === 0x14 || id === 0x11)).not.toThrow()
  expect(() => refuseInexact(newest, shown ?? new Map(), id => id === 0x15)).toThrow(
    /^sensor 1.0 cannot be shown of a firmware that has 3.1: SENSOR_DESCRIPTION_GET cannot be translated exactly$/,
  )
})

test('what differs in frames: a command grows, answers are cut, bits that came later are hidden', () => {
  const older = compileOlder(
    newest,
    new Map([...newest, [0x14, 0x1_0000], [0x12, 0x1_0000], [0x11, 0x2_0000]]),
  )
  const at = (table: ArrayLike<number>) =>
    Array.from(table).flatMap((value, index) => (value === 0 ? [] : [[index.toString(16), value]]))
  expect(at(older.grow)).toEqual([['1407', 4]]) // CLOCK_CONFIG_SET
  expect(at(older.cut)).toEqual([['1403', 28]]) // CLOCK_ATTRIBUTES
  expect(at(older.cutNotification)).toEqual([['1200', 16]]) // SYSTEM_POWER_STATE_NOTIFIER
  expect(Array.from(older.hide[0x1103] ?? [])).toEqual([2, 0x1800_0000])
  expect(Array.from(older.hide[0x1403] ?? [], word => word >>> 0)).toEqual([2, 0xf800_0002])
})
