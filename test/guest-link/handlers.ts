// Handlers for the tests of links: one that echoes at once, one that keeps commands until told to answer.
import type { FrameHandler, GuestLink } from '../../src/guest-link/guest-link.ts'
import type { Transfer } from '../../src/transfer.ts'

/** Answers each command with status SUCCESS and its own payload behind it, as far as that fits. */
export class EchoHandler implements FrameHandler {
  restarts = 0
  resumptions = 0
  handle(transfer: Transfer, link: GuestLink): void {
    const length = Math.min(transfer.length, link.maxMessageBytes - 4)
    transfer.bytes.copyWithin(8, 4, length)
    transfer.words[1] = 0
    transfer.length = length + 4
    link.complete(transfer)
  }
  restarted(): void {
    this.restarts++
  }
  resumed(): void {
    this.resumptions++
  }
}

/** Keeps what it is given. */
export class KeepingHandler implements FrameHandler {
  readonly kept: { transfer: Transfer; link: GuestLink }[] = []
  readonly frames: string[] = []
  /** How its guest began, each time. */
  readonly beginnings: ('restarted' | 'resumed')[] = []
  restarted(): void {
    this.beginnings.push('restarted')
  }
  resumed(): void {
    this.beginnings.push('resumed')
  }
  handle(transfer: Transfer, link: GuestLink): void {
    this.kept.push({ transfer, link })
    this.frames.push(Buffer.from(transfer.bytes.subarray(0, transfer.length)).toString('hex'))
  }
  /** Answers the oldest with a status alone. */
  answer(status = 0): void {
    const oldest = this.kept.shift()
    if (oldest === undefined) throw new Error('nothing was kept')
    oldest.transfer.answer(status)
    oldest.link.complete(oldest.transfer)
  }
}
