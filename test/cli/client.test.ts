import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ControlClient } from '../../src/cli/client.ts'
import { MediatorError } from '../../src/errors.ts'

let folder = ''
let socket = ''
let listener: Server | undefined
const open = new Set<Socket>()

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'scmictl-client-'))
  socket = join(folder, 's')
})
afterEach(async () => {
  for (const each of open) each.destroy()
  await new Promise<void>(resolve => (listener === undefined ? resolve() : listener.close(() => resolve())))
  listener = undefined
  rmSync(folder, { recursive: true })
})

/** Somebody who answers every connection in a fixed way. */
const listen = (answer: (connection: Socket) => void): Promise<void> =>
  new Promise(resolve => {
    listener = createServer(connection => {
      open.add(connection)
      connection.on('error', () => {})
      connection.once('data', () => answer(connection))
    }).listen(socket, resolve)
  })

const refusal = async (run: Promise<unknown>): Promise<MediatorError> => {
  const error = await run.then(
    () => undefined,
    thrown => thrown,
  )
  if (error instanceof MediatorError) return error
  throw error ?? new Error('was accepted')
}

const http = (status: string, body: string): string =>
  `HTTP/1.1 ${status}\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`

test('no socket: says so and what to do', async () => {
  const error = await refusal(new ControlClient(socket).status())
  expect(error.code).toBe('DAEMON_UNREACHABLE')
  expect(error.message).toBe(
    `${socket}: no daemon: there is no such socket; start scmid, or name its socket with --socket`,
  )
})

test.each<[string, (connection: Socket) => void, string, RegExp]>([
  [
    'hangs up',
    connection => connection.destroy(),
    'DAEMON_UNREACHABLE',
    /: the daemon hung up; see its log$/,
  ],
  [
    'says nothing',
    () => {},
    'DAEMON_UNREACHABLE',
    /: no answer to GET \/v1\/status within 80 ms; see the daemon's log$/,
  ],
  [
    'stops in the middle',
    connection => connection.write('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"state":'),
    'DAEMON_UNREACHABLE',
    /: no answer to GET \/v1\/status within 80 ms/,
  ],
  [
    'is cut off in the middle',
    connection => connection.end('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"state":'),
    'DAEMON_UNREACHABLE',
    /: the daemon hung up/,
  ],
  [
    'speaks no HTTP',
    connection => connection.end('220 mail ready\r\n'),
    'DAEMON_UNREACHABLE',
    /: cannot talk to/,
  ],
  [
    'speaks no JSON',
    connection => connection.end(http('200 OK', '<html>')),
    'SYSTEM',
    /was answered 200 and no JSON: what listens there is no scmid of this version$/,
  ],
  [
    'refuses in other words',
    connection => connection.end(http('404 Not Found', '{"error":"no"}')),
    'SYSTEM',
    /GET \/v1\/status was answered 404: what listens there is no scmid/,
  ],
  [
    'refuses with a code from the future',
    connection => connection.end(http('400 Bad', '{"code":"TOO_LATE","text":"x"}')),
    'SYSTEM',
    /was answered 400/,
  ],
  [
    'refuses as scmid does',
    connection =>
      connection.end(http('404 Not Found', '{"code":"DOMAIN_UNKNOWN","text":"x is no domain","path":"x"}')),
    'DOMAIN_UNKNOWN',
    /^x is no domain$/,
  ],
])('one who %s', async (_, answer, code, text) => {
  await listen(answer)
  const error = await refusal(new ControlClient(socket, { timeoutMs: 80 }).status())
  expect(error.message).toMatch(text)
  expect(error.code).toBe(code)
})
