// Records fixtures/xenstore/exchanges.json: what Debian's libxenstore and each daemon say to each other, byte by byte. Our
// codec has no part in it. Run it by `tsx test/system/xenstore/record.ts` when a daemon is added.
import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { benchFor, compiled } from './bench.ts'
import { type DaemonKind, daemonKinds, libraries, StoreDaemon } from './daemon.ts'
import { FakeDomains } from './domains.ts'

interface Exchange {
  /** The request's name in xs_wire.h and its arguments, as the recording program knows them. */
  readonly request: string
  readonly arguments: readonly string[]
  sent: string
  received: string
}

async function record(kind: DaemonKind): Promise<Exchange[]> {
  const bench = await benchFor(kind)
  const program = await compiled('record.c', 'record')
  const directory = mkdtempSync(join(tmpdir(), 'xenstore-record-'))
  const daemon = new StoreDaemon(kind, bench, directory)
  await daemon.prepare()
  await daemon.start()
  const domains = new FakeDomains(directory)
  for (const domid of [7, 9]) domains.create(domid)
  const exchanges: Exchange[] = []
  let said: readonly string[] = ['']

  const proxy = createServer(client => {
    const server = connect(daemon.socket)
    client.on('data', chunk => {
      const [request = '', ...args] = said
      const last = exchanges.at(-1)
      if (last === undefined || last.received !== '')
        exchanges.push({ request, arguments: args, sent: '', received: '' })
      const now = exchanges.at(-1)
      if (now !== undefined) now.sent += chunk.toString('hex')
      server.write(chunk)
    })
    server.on('data', chunk => {
      const now = exchanges.at(-1)
      if (now !== undefined) now.received += chunk.toString('hex')
      client.write(chunk)
    })
    for (const socket of [client, server]) socket.on('error', () => {}) // the program ends without a word
    client.on('close', () => server.destroy())
    server.on('close', () => client.destroy())
  })
  const path = join(directory, 'proxy')
  await new Promise<void>(resolve => proxy.listen(path, resolve))
  const library = libraries(bench.tree)
  const loader = readdirSync(library).find(name => name.startsWith('ld-linux')) ?? ''
  const child = spawn(
    join(library, loader),
    ['--library-path', library, program, join(library, 'libxenstore.so.4')],
    { env: { XENSTORED_PATH: path }, stdio: ['ignore', 'pipe', 'inherit'] },
  )
  child.stdout.on('data', chunk => {
    said = String(chunk).replace(/\n$/, '').split('\t')
  })
  const status = await new Promise(resolve => child.once('exit', resolve))
  if (status !== 0) throw new Error(`the recording program ended with ${status}`)
  proxy.close()
  domains.close()
  await daemon.stop()
  rmSync(directory, { recursive: true, force: true })
  return exchanges.filter(({ request }) => request !== '')
}

async function main(): Promise<void> {
  const recordings = []
  for (const kind of daemonKinds)
    recordings.push({
      daemon: kind.name,
      source: `libxenstore and ${kind.program} of Debian ${kind.release}, recorded between them`,
      exchanges: await record(kind),
    })
  const path = new URL('../../../fixtures/xenstore/exchanges.json', import.meta.url).pathname
  writeFileSync(path, `${JSON.stringify(recordings, null, 1)}\n`)
  console.log(`${path}: ${recordings.map(({ exchanges }) => exchanges.length)} exchanges`)
}

await main()
