// A platform of a test's own making: a listening socket, bytes in and bytes out. Its own framing, not the product's.
import { existsSync, rmSync } from 'node:fs'
import * as libc from '../../src/native/libc.ts'
import { MSG_DONTWAIT, MSG_NOSIGNAL, SOCK_CLOEXEC, SOCK_NONBLOCK } from '../../src/native/linux.ts'
import { NativeMemory } from '../../src/native/native-memory.ts'
import { listenUnix } from '../../src/native/unix-socket.ts'

const scratch = NativeMemory.allocate(1 << 20)

/** `u32 length` before a frame in hex. */
export const framed = (frame: string): string => {
  const length = Buffer.alloc(4)
  length.writeUInt32LE(frame.length / 2)
  return length.toString('hex') + frame
}

/** Listens until `close`; at most one connection is looked at, the newest. */
export class WirePlatform {
  readonly path: string
  readonly #listening: number
  #fd = -1
  #received = ''

  constructor(path: string) {
    this.path = path
    this.#listening = listenUnix(path, 'stream')
  }

  /** Takes the next connection that waits: whether there was one. */
  accept(): boolean {
    const fd = libc.accept4(this.#listening, SOCK_NONBLOCK | SOCK_CLOEXEC)
    if (fd < 0) return false
    this.hangUp()
    this.#fd = fd
    this.#received = ''
    return true
  }

  /** The frames that came, in hex; what is not whole stays. */
  frames(): string[] {
    for (;;) {
      const length = libc.recv(this.#fd, scratch.address, scratch.size, MSG_DONTWAIT)
      if (length <= 0) break
      this.#received += Buffer.from(scratch.bytes.subarray(0, length)).toString('hex')
    }
    const frames: string[] = []
    while (this.#received.length >= 8) {
      const end = 8 + 2 * Buffer.from(this.#received.slice(0, 8), 'hex').readUInt32LE(0)
      if (this.#received.length < end) break
      frames.push(this.#received.slice(8, end))
      this.#received = this.#received.slice(end)
    }
    return frames
  }

  /** Sends bytes as they are: how many were taken. */
  bytes(hex: string): number {
    const bytes = Buffer.from(hex, 'hex')
    scratch.bytes.set(bytes)
    return libc.send(this.#fd, scratch.address, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL)
  }

  /** Sends frames. */
  send(...frames: string[]): void {
    const hex = frames.map(framed).join('')
    if (this.bytes(hex) !== hex.length / 2) throw new Error('the socket did not take it all')
  }

  hangUp(): void {
    if (this.#fd >= 0) libc.close(this.#fd)
    this.#fd = -1
  }

  close(): void {
    this.hangUp()
    libc.close(this.#listening)
    if (existsSync(this.path)) rmSync(this.path)
  }
}
