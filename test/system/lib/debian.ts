// Debian packages of any release and architecture, unpacked into trees of their own: nothing is installed, and the
// machine's packages do not matter. They come from the mirror that the machine's own apt sources name.
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { once } from './cache.ts'
import { run, works } from './process.ts'
import { Skip } from './report.ts'

/** What goes into a tree. */
export interface Tree {
  /** The folder's name in the cache. */
  readonly name: string
  /** The Debian release it is of; `release` if not said. */
  readonly release?: string
  /** Architecture of what `packages` need; the machine's own if not said. `NAME:arm64` asks for another one. */
  readonly architecture?: string
  /** Packages that come with all they depend on, the C library included. */
  readonly packages?: readonly string[]
  /** Packages that come alone. `NAME=VERSION` asks for a version. */
  readonly alone?: readonly string[]
  /** Links that an installation would make: path to target. */
  readonly links?: Readonly<Record<string, string>>
}

/** The release that all is taken from where no other is named: it has QEMU 10, Xen 4.20 and Linux 6.12. */
const release = 'trixie'

/** The machine's architecture in Debian's words. */
export const machine = process.arch === 'x64' ? 'amd64' : process.arch

const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg'

/** Address of the Debian mirror that this machine uses. Throws Skip where there is none. */
async function mirror(): Promise<string> {
  if (!(await works('apt-get', ['--version'])) || !(await works('dpkg-deb', ['--version'])))
    throw new Skip('this is no Debian: apt-get or dpkg-deb is missing')
  const told = await run('apt-get', ['indextargets', '--format', '$(REPO_URI)', 'Created-By: Packages'])
  const found = told.split('\n').find(uri => /\/debian\/?$/.test(uri))
  if (found === undefined) throw new Skip('the apt sources of this machine name no Debian mirror')
  return found
}

const prepared = new Map<string, Promise<Apt>>()

/** An apt of its own: no package counts as installed, both architectures are known. */
class Apt {
  readonly #environment: { readonly APT_CONFIG: string }

  private constructor(config: string) {
    this.#environment = { APT_CONFIG: config }
  }

  /** Reads the release's package lists. */
  static async prepare(directory: string, of: string): Promise<Apt> {
    const at = (name: string): string => join(directory, name)
    for (const name of ['lists/partial', 'cache/archives/partial', 'state'])
      mkdirSync(at(name), { recursive: true })
    writeFileSync(at('status'), '')
    const architectures = [...new Set([machine, 'arm64'])]
    writeFileSync(
      at('sources.list'),
      `deb [arch=${architectures} signed-by=${keyring}] ${await mirror()} ${of} main\n`,
    )
    const settings = {
      'Dir::Etc::sourcelist': at('sources.list'),
      'Dir::Etc::sourceparts': '-',
      'Dir::State': at('state'),
      'Dir::State::lists': at('lists'),
      'Dir::State::status': at('status'),
      'Dir::Cache': at('cache'),
      'APT::Architecture': machine,
      'APT::Install-Recommends': 'false',
      'APT::Sandbox::User': '',
      'Acquire::Languages': 'none',
      'Acquire::Retries': '3',
      'Acquire::http::Timeout': '30',
      'APT::Update::Error-Mode': 'any', // else a mirror that cannot be reached is no more than a warning
    }
    const lines = Object.entries(settings).map(([name, value]) => `${name} "${value}";`)
    lines.push(`APT::Architectures { ${architectures.map(name => `"${name}";`).join(' ')} };`)
    writeFileSync(at('apt.conf'), lines.join('\n'))
    const apt = new Apt(at('apt.conf'))
    await apt.get('update', '-qq').catch(error => {
      throw new Skip(`the package lists of Debian's mirror cannot be had: ${lastLine(error)}`)
    })
    return apt
  }

  get(...args: string[]): Promise<string> {
    return run('apt-get', args, { env: this.#environment })
  }
  query(...args: string[]): Promise<string> {
    return run('apt-cache', args, { env: this.#environment })
  }

  /** Downloads packages into `directory`, with what they depend on or alone. */
  async fetch(directory: string, { architecture = machine, packages = [], alone = [] }: Tree): Promise<void> {
    mkdirSync(join(directory, 'partial'), { recursive: true })
    if (packages.length > 0) {
      const asked = packages.map(name => (name.includes(':') ? name : `${name}:${architecture}`))
      const own = [`-oAPT::Architecture=${architecture}`, `-oDir::Cache::archives=${directory}`]
      await this.get('install', '-y', '-qq', '--download-only', ...own, ...asked)
    }
    if (alone.length > 0)
      await run('apt-get', ['download', '-qq', ...alone], { env: this.#environment, cwd: directory })
  }
}

const lastLine = (error: unknown): string => String(error).trim().split('\n').at(-1) ?? ''

/** The private apt of this run for a release. */
export function apt(of = release): Promise<Apt> {
  const ready = prepared.get(of)
  if (ready !== undefined) return ready
  const directory = mkdtempSync(join(tmpdir(), 'scmi-mediator-apt-'))
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }))
  const made = Apt.prepare(directory, of)
  prepared.set(of, made)
  return made
}

/** What is left out of a tree: nobody reads it there. */
const left = ['doc', 'locale', 'man', 'info', 'lintian', 'bug'].map(name => `--exclude=./usr/share/${name}`)

/** The tree, downloaded and unpacked where it is not there yet. Its path. */
export function unpacked(tree: Tree): Promise<string> {
  return once(tree.name, [tree.release ?? release, tree], async directory => {
    const packages = `${directory}-packages`
    try {
      await (await apt(tree.release)).fetch(packages, tree)
      layOut(directory)
      for (const name of readdirSync(packages).filter(name => name.endsWith('.deb')))
        await run('sh', [
          '-c',
          'dpkg-deb --fsys-tarfile "$0" | tar -x --keep-directory-symlink --no-same-owner -C "$@"',
          join(packages, name),
          directory,
          ...left,
        ])
      for (const [path, target] of Object.entries(tree.links ?? {}))
        symlinkSync(target, join(directory, path))
    } finally {
      rmSync(packages, { recursive: true, force: true })
    }
  })
}

/** /bin, /lib and the like as links into /usr, before a package makes folders of them. */
function layOut(directory: string): void {
  for (const name of ['bin', 'sbin', 'lib', 'lib64']) {
    mkdirSync(join(directory, 'usr', name), { recursive: true })
    symlinkSync(`usr/${name}`, join(directory, name))
  }
}
