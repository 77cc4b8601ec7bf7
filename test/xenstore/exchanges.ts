// The recorded exchanges between libxenstore and real daemons, and a socket that plays a daemon's part. No test.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'

export interface Exchange {
  readonly request: string
  readonly arguments: readonly string[]
  /** Hexadecimal. */
  readonly sent: string
  readonly received: string
}

export interface Recording {
  readonly daemon: string
  readonly source: string
  readonly exchanges: readonly Exchange[]
}

export const recordings = JSON.parse(
  readFileSync(new URL('../../fixtures/xenstore/exchanges.json', import.meta.url), 'utf8'),
) as readonly Recording[]

/** A request as it came, cut by this file's own reading of xs_wire.h. */
export interface Request {
  readonly type: number
  readonly id: number
  readonly transaction: number
  /** Arguments joined by `|`. */
  readonly text: string
  readonly bytes: Buffer
}

/** One message of the daemon, laid out by hand. */
export function message(type: number, id: number, payload: string | Buffer, transaction = 0): Buffer {
  const body = typeof payload === 'string' ? Buffer.from(payload, 'latin1') : payload
  const head = Buffer.alloc(16)
  for (const [i, word] of [type, id, transaction, body.length].entries()) head.writeUInt32LE(word, i * 4)
  return Buffer.concat([head, body])
}

export interface Peer {
  readonly path: string
  /** Everything asked, on all connections, in order. */
  readonly requests: Request[]
  /** Those that are open. */
  readonly connections: Set<Socket>
  /** Takes no more connections; cuts those there are. */
  away(): Promise<void>
  back(): Promise<void>
}

/**
 * A socket at a path of its own. `answer` gives what goes back for a request: nothing, or bytes. It ends with the test,
 * or when what `finished` is told is called.
 */
export async function playDaemon(
  answer: (request: Request, socket: Socket) => Buffer | undefined,
  finished: (end: () => Promise<void>) => void = onTestFinished,
): Promise<Peer> {
  const directory = mkdtempSync(join(tmpdir(), 'xenstore-peer-'))
  const path = join(directory, 'socket')
  const requests: Request[] = []
  const connections = new Set<Socket>()
  const server = createServer(socket => {
    connections.add(socket)
    let input = Buffer.alloc(0)
    socket.on('error', () => {})
    socket.on('close', () => connections.delete(socket))
    socket.on('data', chunk => {
      input = Buffer.concat([input, chunk])
      while (input.length >= 16 && input.length >= 16 + input.readUInt32LE(12)) {
        const bytes = input.subarray(0, 16 + input.readUInt32LE(12))
        input = input.subarray(bytes.length)
        const [type, id, transaction] = [0, 4, 8].map(at => bytes.readUInt32LE(at)) as [
          number,
          number,
          number,
        ]
        const text = bytes.subarray(16).toString('latin1').replace(/\0$/, '').replaceAll('\0', '|')
        const request = { type, id, transaction, text, bytes: Buffer.from(bytes) }
        requests.push(request)
        const reply = answer(request, socket)
        if (reply !== undefined) socket.write(reply)
      }
    })
  })
  const listen = (): Promise<void> => new Promise(resolve => server.listen(path, resolve))
  const close = async (): Promise<void> => {
    const closed = new Promise(resolve => server.close(resolve))
    for (const socket of connections) socket.destroy()
    connections.clear() // their own word comes after the server's
    await closed
  }
  await listen()
  finished(async () => {
    if (server.listening) await close()
    rmSync(directory, { recursive: true, force: true })
  })
  return { path, requests, connections, away: close, back: listen }
}
