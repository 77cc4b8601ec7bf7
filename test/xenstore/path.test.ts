// Which paths and permissions go out; the daemons' limits are their own, seen in test/system/xenstore.
import { expect, test } from 'vitest'
import {
  checkPath,
  checkRemovable,
  checkWatchable,
  isComponent,
  maxPathBytes,
} from '../../src/xenstore/path.ts'
import { formatPermission, parsePermission } from '../../src/xenstore/permission.ts'

test.each(['/', '/local/domain/7', 'data/x', '/a@b/c_d-e', `/${'x'.repeat(maxPathBytes - 1)}`])(
  '%s may be',
  path => expect(checkPath(path)).toBe(path),
)

test.each([
  ['', 'nothing'],
  ['/a/', 'a slash at the end'],
  ['/a//b', 'an empty component'],
  ['/a b', 'a space'],
  ['/soc/mmc@ee140000:reg', 'a colon'],
  ['/vendor,part', 'a comma'],
  ['/a.b', 'a dot'],
  ['/a\0b', 'a NUL'],
  ['/ä', 'no ASCII'],
  [`/${'x'.repeat(maxPathBytes)}`, 'too long for oxenstored'],
])('%j may not: %s', path => expect(() => checkPath(path)).toThrow(/xenstore/))

test('the root is read, never removed: oxenstored would erase everything', () => {
  expect(checkPath('/')).toBe('/')
  expect(() => checkRemovable('/')).toThrow('is the whole store; it is not removed')
  expect(checkRemovable('/a')).toBe('/a')
})

test('special watches are no paths', () => {
  expect(checkWatchable('@introduceDomain')).toBe('@introduceDomain')
  expect(() => checkWatchable('@a/b c')).toThrow()
})

test.each(['vif', 'mmc@ee140000', 'guest_a-1'])('%s can be a component', name =>
  expect(isComponent(name)).toBe(true),
)
test.each(['a/b', '', 'a.b', 'arm,scmi'])('%j cannot', name => expect(isComponent(name)).toBe(false))

test.each([
  ['n0', { domid: 0, access: 'none' }],
  ['r7', { domid: 7, access: 'read' }],
  ['w12', { domid: 12, access: 'write' }],
  ['b32751', { domid: 32751, access: 'both' }],
] as const)('%s', (text, permission) => {
  expect(parsePermission(text)).toEqual(permission)
  expect(formatPermission(permission)).toBe(text)
})

test.each(['', 'n', '7', 'x7', 'r-1', 'r7x', 'R7'])('%j is no permission', text =>
  expect(parsePermission(text)).toBeUndefined(),
)
