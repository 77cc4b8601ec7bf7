// A real xenstored or oxenstored of a Debian release, run without Xen in a directory of its own: started, stopped, killed.
import { type ChildProcess, spawn } from 'node:child_process'
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { run } from '../lib/process.ts'

/** One of the daemons there are. */
export interface DaemonKind {
  /** As the report names it. */
  readonly name: string
  /** Debian release and Xen version that it is of. */
  readonly release: string
  readonly xen: string
  readonly program: 'xenstored' | 'oxenstored'
}

export const daemonKinds: readonly DaemonKind[] = [
  { name: 'C xenstored 4.17', release: 'bookworm', xen: '4.17', program: 'xenstored' },
  { name: 'C xenstored 4.20', release: 'trixie', xen: '4.20', program: 'xenstored' },
  { name: 'oxenstored 4.17', release: 'bookworm', xen: '4.17', program: 'oxenstored' },
  { name: 'oxenstored 4.20', release: 'trixie', xen: '4.20', program: 'oxenstored' },
]

/** What all daemons of a run share. */
export interface Bench {
  /** The tree that the kind's packages were unpacked to. */
  readonly tree: string
  /** The compiled shim. */
  readonly shim: string
}

const startMs = 10_000

export class StoreDaemon {
  readonly kind: DaemonKind
  readonly directory: string
  readonly #bench: Bench
  #child: ChildProcess | undefined

  /** In `directory`, which is made, and is everything it keeps. */
  constructor(kind: DaemonKind, bench: Bench, directory: string) {
    this.kind = kind
    this.directory = directory
    this.#bench = bench
  }

  get socket(): string {
    return join(this.directory, 'run/socket')
  }

  /** Makes the world that the shim shows, with Dom0 in it. */
  async prepare(): Promise<void> {
    for (const name of ['domains', 'pages', 'run', 'log'])
      mkdirSync(join(this.directory, name), { recursive: true })
    writeFileSync(join(this.directory, 'domains/0'), '')
    writeFileSync(join(this.directory, 'port'), '1')
    closeSync(openSync(join(this.directory, 'pages/0'), 'w'))
    truncateSync(join(this.directory, 'pages/0'), 4096)
    await run('mkfifo', [join(this.directory, 'bell')])
    if (this.kind.program === 'oxenstored') this.#configure()
  }

  /** Resolves when its socket takes connections. */
  async start(): Promise<void> {
    const { tree } = this.#bench
    rmSync(this.socket, { force: true })
    const child = spawn(this.#loader(), this.#arguments(), {
      env: {
        SHIM_DIR: this.directory,
        SHIM_ROOT: tree,
        XENSTORED_RUNDIR: join(this.directory, 'run'),
        PATH: '/usr/bin:/bin',
      },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let said = ''
    child.stderr?.on('data', chunk => {
      said = (said + String(chunk)).slice(-2000)
    })
    this.#child = child
    for (const end = Date.now() + startMs; Date.now() < end; await sleep(5)) {
      if (child.exitCode !== null || child.signalCode !== null)
        throw new Error(`${this.kind.name} ended by itself (${child.exitCode ?? child.signalCode}): ${said}`)
      if (await this.#answers()) return
    }
    throw new Error(`${this.kind.name} has no socket after ${startMs} ms: ${said}`)
  }

  /** Ends it as a crash would, or lets it end by itself. */
  async stop(signal: 'SIGTERM' | 'SIGKILL' = 'SIGKILL'): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const ended = new Promise(resolve => child.once('exit', resolve))
    child.kill(signal)
    await ended
  }

  /** Bytes of memory that it has, for the report. */
  get residentKib(): number {
    const status = readFileSync(`/proc/${this.#child?.pid}/status`, 'utf8')
    return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0)
  }

  /** The socket is there a moment before anybody listens. */
  #answers(): Promise<boolean> {
    return new Promise(resolve => {
      const socket = connect(this.socket)
      socket.once('connect', () => resolve(true))
      socket.once('error', () => resolve(false))
      socket.once('connect', () => socket.destroy())
    })
  }

  /** The release's own dynamic loader: the machine's C library may be older or newer. */
  #loader(): string {
    return join(
      libraries(this.#bench.tree),
      readdirSync(libraries(this.#bench.tree)).find(name => name.startsWith('ld-linux')) ?? '',
    )
  }

  #arguments(): string[] {
    const { kind, directory } = this
    const { tree, shim } = this.#bench
    const xen = join(tree, `usr/lib/xen-${kind.xen}`)
    const loading = [
      '--preload',
      shim,
      '--library-path',
      `${libraries(this.#bench.tree)}:${join(xen, 'lib')}`,
      join(xen, 'bin', kind.program),
    ]
    return kind.program === 'xenstored'
      ? [...loading, '-N']
      : [...loading, '--no-fork', '--no-access-log', '--config-file', join(directory, 'oxenstored.conf')]
  }

  /** The package's own configuration, its files in the own directory. */
  #configure(): void {
    const own = {
      'pid-file': join(this.directory, 'run/pid'),
      'xenstored-kva': join(this.directory, 'pages/0'),
      'xenstored-port': join(this.directory, 'port'),
      'xenstored-log-file': join(this.directory, 'log/xenstored'),
    }
    const lines = readFileSync(join(this.#bench.tree, 'etc/xen/oxenstored.conf'), 'utf8')
      .split('\n')
      .filter(line => !Object.keys(own).some(key => line.startsWith(key)))
    writeFileSync(
      join(this.directory, 'oxenstored.conf'),
      [...lines, ...Object.entries(own).map(([key, value]) => `${key} = ${value}`), ''].join('\n'),
    )
  }
}

/** Where a tree keeps its libraries, whatever the architecture. */
export function libraries(tree: string): string {
  const lib = join(tree, 'usr/lib')
  return join(lib, readdirSync(lib).find(name => name.endsWith('-linux-gnu')) ?? '')
}
