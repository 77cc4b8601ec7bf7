// Notifications through the whole daemon, over its guests' sockets: each to its owner, exactly once.
import { readFileSync } from 'node:fs'
import { afterEach, beforeAll, expect, test } from 'vitest'
import { MessageConnection } from '../../src/guest/message-connection.ts'
import { encodeCommand } from '../../src/scmi/codec.ts'
import { DaemonProcess, ensureBuilt, example } from './daemon-process.ts'

const POWER = 0x11
const power = 0x3_0001
const OFF = 0x4000_0000

let daemon: DaemonProcess
const connections: MessageConnection[] = []

beforeAll(ensureBuilt)
afterEach(async () => {
  for (const connection of connections.splice(0)) connection.close()
  await daemon.destroy()
})

async function guest(name: string): Promise<{ connection: MessageConnection; arrived: Uint32Array[] }> {
  const path = daemon.path(`${name}.sock`)
  const link = { kind: 'message-socket', path } as const
  await daemon.client.addDomain({ name, dtb: readFileSync(example(`${name}.dtb`)), link }, { dryRun: false })
  const connection = await MessageConnection.open(path)
  connections.push(connection)
  const arrived: Uint32Array[] = []
  connection.onFrame = frame => arrived.push(new Uint32Array(frame.slice().buffer))
  return { connection, arrived }
}

async function status(
  connection: MessageConnection,
  message: string,
  value: Record<string, number>,
  token = 0,
): Promise<number> {
  const answer = await connection.request(encodeCommand(POWER, message, power, value, token))
  return new DataView(answer.buffer, answer.byteOffset).getInt32(4, true)
}

test('ten thousand changes of what one of two guests subscribed to', async () => {
  daemon = await DaemonProcess.start({ config: { 'audit.recordsPerGuest': 65536 } })
  const a = await guest('guest-a')
  const b = await guest('guest-b')
  expect(await status(a.connection, 'POWER_STATE_NOTIFY', { domain_id: 4, notify_enable: 1 })).toBe(0)
  expect(await status(b.connection, 'POWER_STATE_NOTIFY', { domain_id: 5, notify_enable: 1 })).toBe(0)
  const events = 5000
  for (const [{ connection }, domain_id] of [
    [a, 4],
    [b, 5],
  ] as const) {
    for (let i = 0; i < events; ) {
      const batch = Array.from({ length: Math.min(30, events - i) }, (_, j) =>
        status(
          connection,
          'POWER_STATE_SET',
          { flags: 0, domain_id, power_state: (i + j) % 2 === 0 ? 0 : OFF },
          (i + j) % 1024,
        ),
      )
      expect(await Promise.all(batch)).toEqual(batch.map(() => 0))
      i += batch.length
    }
  }
  await status(a.connection, 'POWER_STATE_GET', { domain_id: 4 }) // whatever was on its way before has come
  await status(b.connection, 'POWER_STATE_GET', { domain_id: 5 })
  const state = (i: number): number => (i % 2 === 0 ? 0 : OFF)
  for (const [{ arrived }, domain] of [
    [a, 4],
    [b, 5],
  ] as const) {
    expect(arrived).toHaveLength(events)
    expect(arrived.every(words => words[0] === 0x4700 && words[1] === 1 && words[2] === domain)).toBe(true)
    expect(arrived.every((words, i) => words[3] === state(i))).toBe(true)
  }
}, 60_000)
