// Real links served in this thread while tests play their guests: by a handler of the test's, or by the virtual SCP.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FrameHandler, GuestLink } from '../../src/guest-link/guest-link.ts'
import { MessageSocketLink } from '../../src/guest-link/message-socket/message-socket.ts'
import { TrapSocketLink } from '../../src/guest-link/trap-socket/trap-socket.ts'
import { Reactor } from '../../src/native/reactor.ts'
import { loadPlatform } from '../../src/platform/load.ts'
import { Platform } from '../../src/platform/platform.ts'
import type { Transfer } from '../../src/transfer.ts'

export type Kind = 'trap-socket' | 'message-socket'
export const kinds: readonly Kind[] = ['trap-socket', 'message-socket']
export const smcId = 0x82000002
/** Channel of the trusted agent of the example, which may use everything. */
const trusted = 0

/** The example machine's firmware, asked directly: no mediator in between. */
export class PlatformHandler implements FrameHandler {
  readonly platform: Platform
  readonly #channel: number

  constructor(channel = trusted, config = loadPlatform('fixtures/example/platform.yaml')) {
    this.platform = new Platform(config)
    this.#channel = channel
  }

  handle(transfer: Transfer, link: GuestLink): void {
    const length = this.platform.handle(this.#channel, transfer, transfer.length)
    transfer.words[0] = transfer.header
    transfer.length = length
    link.complete(transfer)
  }
}

/** One link and the loop that serves it, until `close`. */
export class Served {
  readonly path: string
  readonly link: TrapSocketLink | MessageSocketLink
  readonly faults: unknown[] = []
  readonly log: string[] = []
  readonly #folder = mkdtempSync(join(tmpdir(), 'scmi-guest-'))
  readonly #reactor = new Reactor((_source, error) => this.faults.push(error))
  #open = true

  constructor(kind: Kind, handler: FrameHandler, maxMessageBytes = 128) {
    this.path = join(this.#folder, 'guest.sock')
    const parts = {
      reactor: this.#reactor,
      handler,
      log: (level: string, text: string) => this.log.push(`${level} ${text}`),
    }
    const options = { path: this.path, guest: 0, maxMessageBytes }
    this.link =
      kind === 'trap-socket'
        ? new TrapSocketLink({ ...options, smcId }, parts)
        : new MessageSocketLink(options, parts)
    const serve = (): void => {
      if (!this.#open) return
      this.#reactor.step(1)
      setImmediate(serve)
    }
    serve()
  }

  close(): void {
    if (!this.#open) return
    this.#open = false
    this.link.close()
    this.#reactor.close()
    rmSync(this.#folder, { recursive: true })
  }
}
