// Makes the tree ready to run: installs from the lock file when node_modules is missing or stale, compiles src/
// to dist/ when it is missing or older than its sources, and says so in one line each. With --build, always compiles.
// Written for a bare machine: imports nothing but node, and does not rely on npm pre-scripts. Several at once in one tree
// wait for each other, and the later ones find the work done.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  accessSync,
  constants,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const at = (...names) => join(root, ...names)
const say = text => console.error(`scmi-mediator: ${text}`)
/** Seconds to wait for another one in this tree: more than any installation takes. */
const patience = 600

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

function fail(text) {
  say(text)
  process.exit(1)
}

function run(command, args, what, onFailure = () => {}) {
  say(what)
  const { status, error, stdout, stderr } = spawnSync(command, args, { cwd: root, encoding: 'utf8' })
  if (status === 0) return
  onFailure()
  process.stderr.write(`${stdout ?? ''}${stderr ?? ''}`)
  fail(`${command} ${args.join(' ')} failed${error ? `: ${error.message}` : ` (exit ${status})`}`)
}

/** A stamp beside what was made tells what it was made from. */
const stale = (stamp, want) => !existsSync(at(stamp)) || readFileSync(at(stamp), 'utf8') !== want

const installed = {
  stamp: 'node_modules/.scmi-mediator-lock',
  want: () => digest(['package.json', 'package-lock.json']),
}
const built = {
  stamp: 'dist/.scmi-mediator-built',
  want: () => {
    const sources = readdirSync(at('src'), { recursive: true })
      .filter(name => name.endsWith('.ts'))
      .sort()
      .map(name => join('src', name))
    return digest([...sources, 'tsconfig.json', 'package-lock.json'])
  },
}
const wants = ({ stamp, want }) => stale(stamp, want())

function install() {
  if (!existsSync(at('package-lock.json')) || !wants(installed)) return
  // The compiler is a development dependency: wanted whatever NODE_ENV says.
  const args = ['ci', '--include=dev', '--no-audit', '--no-fund']
  run('npm', args, 'installing dependencies from package-lock.json (once, about 20 s)')
  writeFileSync(at(installed.stamp), installed.want())
}

function compile(always) {
  const want = built.want()
  if (!always && !stale(built.stamp, want)) return
  for (const name of readdirSync(root))
    if (name.startsWith('dist.next-')) rmSync(at(name), { recursive: true, force: true }) // left by one that was killed
  // Beside, then exchanged: a compilation that fails leaves the former one, and whoever runs it finds it whole.
  const next = `dist.next-${process.pid}`
  run(
    process.execPath,
    [at('node_modules/typescript/bin/tsc'), '-p', 'tsconfig.json', '--outDir', at(next)],
    'compiling src/ to dist/',
    () => rmSync(at(next), { recursive: true, force: true }),
  )
  writeFileSync(at(next, '.scmi-mediator-built'), want)
  const former = `${next}-former`
  if (existsSync(at('dist'))) renameSync(at('dist'), at(former))
  renameSync(at(next), at('dist'))
  rmSync(at(former), { recursive: true, force: true })
}

/** Runs `work` while nobody else does in this tree. An abstract socket is the lock: the kernel takes it from the dead. */
async function alone(work) {
  const tree = createHash('sha256').update(root).digest('hex')
  const name = `\0scmi-mediator-${process.getuid?.() ?? 0}-${tree}`.padEnd(107, '.')
  for (let tries = 0; ; tries++) {
    const server = createServer()
    const fault = await new Promise(resolve => {
      server.once('error', resolve)
      server.listen(name, () => resolve(undefined))
    })
    if (fault?.code === 'EADDRINUSE') {
      if (tries === 0) say('another one is making this tree ready; waiting for it')
      if (tries > patience * 10) fail(`another one has been making this tree ready for ${patience} s`)
      await sleep(100)
      continue
    }
    work() // other faults: this system has no such sockets, and its user is careful
    server.close()
    return
  }
}

const always = process.argv.includes('--build')
if (always || wants(installed) || wants(built)) {
  try {
    accessSync(root, constants.W_OK)
  } catch (error) {
    fail(
      `dependencies or dist/ are missing or stale, and ${root} cannot be written (${error.code}): run it once where it can`,
    )
  }
  await alone(() => {
    install()
    compile(always)
  })
}
