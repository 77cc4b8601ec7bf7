// One package of the lock file into a folder, for whatever machine it is meant: fetched by npm, proven by the lock's hash.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const [lockFile, name, folder] = process.argv.slice(2)
if (lockFile === undefined || name === undefined || folder === undefined)
  throw new Error('usage: locked.mjs PACKAGE-LOCK NAME FOLDER')
const locked = JSON.parse(readFileSync(lockFile, 'utf8')).packages[`node_modules/${name}`]
if (locked?.integrity === undefined) throw new Error(`${lockFile}: no ${name} in it`)

const place = mkdtempSync(join(tmpdir(), 'locked-'))
try {
  const packed = execFileSync(
    'npm',
    ['pack', '--silent', '--prefer-offline', '--pack-destination', place, `${name}@${locked.version}`],
    { encoding: 'utf8', cwd: place },
  ).trim()
  const file = join(place, packed)
  const [algorithm, expected] = locked.integrity.split('-')
  const found = createHash(algorithm).update(readFileSync(file)).digest('base64')
  if (found !== expected)
    throw new Error(`${name}@${locked.version}: its hash is ${found}, the lock file says ${expected}`)
  mkdirSync(folder, { recursive: true })
  execFileSync('tar', ['-xzf', file, '-C', folder, '--strip-components=1'])
} finally {
  rmSync(place, { recursive: true, force: true })
}
