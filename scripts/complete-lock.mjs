// Adds to package-lock.json the optional platform packages that npm leaves out on one platform:
// `npm ci` of npm 11 refuses a lock file without them. Run after every `npm install`. With --check, only says.
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'

const path = new URL('../package-lock.json', import.meta.url)
const lock = JSON.parse(readFileSync(path, 'utf8'))
const packages = lock.packages

/** The lock entry that node's resolution finds for `name` required from `from`, or undefined. */
function resolve(from, name) {
  for (let base = from; ; base = base.slice(0, Math.max(0, base.lastIndexOf('node_modules/') - 1))) {
    const candidate = `${base === '' ? '' : `${base}/`}node_modules/${name}`
    if (packages[candidate] !== undefined) return candidate
    if (base === '') return undefined
  }
}

const missing = []
for (const [from, entry] of Object.entries(packages)) {
  for (const [name, version] of Object.entries({ ...entry.optionalDependencies, ...entry.dependencies })) {
    if (resolve(from, name) === undefined) missing.push({ from, name, version, dev: entry.dev === true })
  }
}
if (process.argv.includes('--check')) {
  for (const { from, name } of missing)
    console.error(`package-lock.json: ${name}, needed by ${from}, is missing`)
  process.exit(missing.length === 0 ? 0 : 1)
}

/** What the registry says of a package, or undefined where it does not carry it. */
function view(name, version) {
  const { status, stdout } = spawnSync('npm', ['view', `${name}@${version}`, '--json'], { encoding: 'utf8' })
  if (status !== 0) return undefined
  const found = JSON.parse(stdout)
  return Array.isArray(found) ? found.at(-1) : found
}

/** Platform limits read from a name such as `@biomejs/cli-linux-x64-musl`. */
function limits(name) {
  const words = name.split(/[/-]/)
  const one = (known, as = {}) => {
    const word = known.find(k => words.includes(k))
    return word === undefined ? undefined : [as[word] ?? word]
  }
  return {
    os: one(['android', 'darwin', 'freebsd', 'linux', 'openharmony', 'win32']),
    cpu: one(['arm64', 'arm', 'x64', 'ia32', 'ppc64', 'riscv64', 's390x']),
    libc: one(['musl', 'gnu', 'gnueabihf', 'musleabihf'], {
      gnu: 'glibc',
      gnueabihf: 'glibc',
      musleabihf: 'musl',
    }),
  }
}

for (const { name, version, dev } of missing) {
  const p = view(name, version)
  const { os, cpu, libc } = p ?? limits(name)
  packages[`node_modules/${name}`] = {
    version: p?.version ?? version,
    ...(p && { integrity: p.dist.integrity }),
    ...(cpu && { cpu }),
    ...(dev && { dev: true }),
    ...(libc && { libc }),
    ...(p && { license: p.license }),
    optional: true,
    ...(os && { os }),
  }
}
lock.packages = Object.fromEntries(
  Object.entries(packages).sort(([a], [b]) => (a === '' ? -1 : b === '' ? 1 : a < b ? -1 : 1)),
)
writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`)
console.log(`package-lock.json: ${missing.length} packages added`)
