// QEMU's own control channel (QMP): one command at a time over its Unix socket.
import { createConnection, type Socket } from 'node:net'
import { createInterface, type Interface } from 'node:readline'

/** A connection to a QEMU that was started with `-qmp unix:PATH,server=on,wait=off`. */
export class Qmp {
  readonly #socket: Socket
  readonly #lines: AsyncIterator<string>

  private constructor(socket: Socket, lines: Interface) {
    this.#socket = socket
    this.#lines = lines[Symbol.asyncIterator]()
  }

  static async connect(path: string): Promise<Qmp> {
    const socket = createConnection(path)
    socket.on('error', () => {}) // the next command says so
    const qmp = new Qmp(socket, createInterface({ input: socket }))
    await qmp.#next() // the greeting
    await qmp.command('qmp_capabilities')
    return qmp
  }

  /** Executes a command without arguments; throws what QEMU answers when it fails. Events on the way are passed over. */
  async command(name: string): Promise<void> {
    this.#socket.write(`${JSON.stringify({ execute: name })}\n`)
    for (;;) {
      const message = await this.#next()
      if (message['error'] !== undefined) throw new Error(`QMP ${name}: ${JSON.stringify(message['error'])}`)
      if (message['return'] !== undefined) return
    }
  }

  close(): void {
    this.#socket.destroy()
  }

  async #next(): Promise<Record<string, unknown>> {
    const { value, done } = await this.#lines.next()
    if (done === true) throw new Error('QMP: QEMU hung up')
    return JSON.parse(value)
  }
}
