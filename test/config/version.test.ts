import { expect, test } from 'vitest'
import { version } from '../../src/config/version.ts'

test('the version is a version, and that of the package npm runs', () => {
  expect(version).toMatch(/^\d+\.\d+\.\d+/)
  const fromNpm = process.env['npm_package_version']
  if (fromNpm !== undefined) expect(version).toBe(fromNpm)
})
