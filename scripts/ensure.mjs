// Makes the tree ready to run: installs from the lock file when node_modules is missing or stale, compiles src/
// to dist/ when it is missing or older than its sources, and says so in one line each. With --build, always compiles.
// Written for a bare machine: imports nothing but node, and does not rely on npm pre-scripts.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const at = (...names) => join(root, ...names)
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`scmi-mediator needs Node >= 20.19; this is ${process.versions.node}`)
  process.exit(1)
}

/** One hash over the contents of files, so that a checkout's time stamps do not matter. */
function digest(paths) {
  const hash = createHash('sha256')
  for (const path of paths)
    hash
      .update(path)
      .update('\0')
      .update(readFileSync(at(path)))
      .update('\0')
  return hash.digest('hex')
}

function run(command, args, what, onFailure = () => {}) {
  console.error(`scmi-mediator: ${what}`)
  const { status, error, stdout, stderr } = spawnSync(command, args, { cwd: root, encoding: 'utf8' })
  if (status === 0) return
  onFailure()
  process.stderr.write(`${stdout ?? ''}${stderr ?? ''}`)
  console.error(
    `scmi-mediator: ${command} ${args.join(' ')} failed${error ? `: ${error.message}` : ` (exit ${status})`}`,
  )
  process.exit(1)
}

const stale = (stamp, want) => !existsSync(at(stamp)) || readFileSync(at(stamp), 'utf8') !== want

const lock = digest(['package.json', 'package-lock.json'])
const installed = 'node_modules/.scmi-mediator-lock'
if (existsSync(at('package-lock.json')) && stale(installed, lock)) {
  run(
    'npm',
    ['ci', '--no-audit', '--no-fund'],
    'installing dependencies from package-lock.json (once, about 20 s)',
  )
  writeFileSync(at(installed), lock)
}

const sources = readdirSync(at('src'), { recursive: true })
  .filter(name => name.endsWith('.ts'))
  .sort()
  .map(name => join('src', name))
const built = digest([...sources, 'tsconfig.json', 'package-lock.json'])
const stamp = 'dist/.scmi-mediator-built'
if (process.argv.includes('--build') || stale(stamp, built)) {
  // Beside, then in one step: a failed compilation, or another process that runs dist/, finds it whole.
  const next = at(`dist.next-${process.pid}`)
  run(
    process.execPath,
    [at('node_modules/typescript/bin/tsc'), '-p', 'tsconfig.json', '--outDir', next],
    'compiling src/ to dist/',
    () => rmSync(next, { recursive: true, force: true }),
  )
  writeFileSync(join(next, '.scmi-mediator-built'), built)
  rmSync(at('dist'), { recursive: true, force: true })
  renameSync(next, at('dist'))
}
