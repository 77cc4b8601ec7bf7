// Domains of the world that the shim shows a daemon: made, introduced as libxl would, shut down, destroyed; and a guest that
// speaks to the daemon over its page. Source of the page's layout: Xen, xen/include/public/io/xs_wire.h.
import { closeSync, constants, openSync, readSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { XenstoreClient } from '../../../src/xenstore/client.ts'
import {
  decodeTexts,
  encodeArguments,
  encodeMessage,
  MessageReader,
  messageTypes,
  type RequestName,
} from '../../../src/xenstore/wire.ts'

const domExc = 1
const ringPort = 1000

export class FakeDomains {
  readonly #directory: string
  readonly #bell: number

  constructor(directory: string) {
    this.#directory = directory
    this.#bell = openSync(join(directory, 'bell'), constants.O_RDWR | constants.O_NONBLOCK)
  }

  close(): void {
    closeSync(this.#bell)
  }

  /** The hypervisor's part of xc_domain_create. */
  create(domid: number): void {
    writeFileSync(join(this.#directory, 'pages', String(domid)), Buffer.alloc(4096))
    writeFileSync(join(this.#directory, 'domains', String(domid)), '')
  }

  /** The nodes that libxl makes, then INTRODUCE: libxl__domain_make and libxl__domain_build. */
  async introduce(store: XenstoreClient, domid: number, name: string, uuid: string): Promise<void> {
    const home = `/local/domain/${domid}`
    await store.transaction(async nodes => {
      await nodes.removeIfThere(home)
      for (const path of [home, `${home}/data`, `/libxl/${domid}`]) await nodes.mkdir(path)
      await nodes.setPermissions(home, [
        { domid: 0, access: 'none' },
        { domid, access: 'read' },
      ])
      await nodes.setPermissions(`${home}/data`, [{ domid, access: 'none' }])
      await nodes.write(`${home}/name`, name)
      await nodes.write(`${home}/vm`, `/vm/${uuid}`)
      await nodes.write(`${home}/domid`, String(domid))
      await nodes.write(`/vm/${uuid}/uuid`, uuid)
      await nodes.write(`/vm/${uuid}/name`, name)
    })
    await store.domains.introduce(domid, 1, 2)
  }

  /** The guest powers off, or crashes: it is there, and does not run. */
  shutDown(domid: number, how: 's' | 'c' = 's'): void {
    writeFileSync(join(this.#directory, 'domains', String(domid)), how)
    this.ring(domExc)
  }

  /** Gone at the hypervisor; libxl removes its nodes before that, with `store`. */
  async destroy(domid: number, store?: XenstoreClient): Promise<void> {
    if (store !== undefined)
      for (const path of [`/local/domain/${domid}`, `/libxl/${domid}`]) await store.nodes.removeIfThere(path)
    rmSync(join(this.#directory, 'domains', String(domid)), { force: true })
    this.ring(domExc)
  }

  ring(port: number): void {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32LE(port)
    writeSync(this.#bell, bytes)
  }

  guest(domid: number): GuestRing {
    return new GuestRing(join(this.#directory, 'pages', String(domid)), () => this.ring(ringPort + domid))
  }
}

const ringBytes = 1024
/** Offsets in the page: two rings, then the indices. */
const requests = { data: 0, consumer: 2048, producer: 2052 }
const replies = { data: 1024, consumer: 2056, producer: 2060 }

/** The guest's end of the page. */
export class GuestRing {
  readonly #fd: number
  readonly #kick: () => void
  readonly #reader = new MessageReader()
  readonly #pending = new Map<number, (answer: string) => void>()
  readonly #pump: NodeJS.Timeout
  readonly events: string[] = []
  #out = Buffer.alloc(0)
  #lastId = 0

  constructor(page: string, kick: () => void) {
    this.#fd = openSync(page, 'r+')
    this.#kick = kick
    this.#pump = setInterval(() => this.#exchange(), 2)
  }

  close(): void {
    clearInterval(this.#pump)
    closeSync(this.#fd)
  }

  /** The reply's texts joined by `|`, or the daemon's word for its refusal. */
  ask(name: RequestName, texts: readonly string[], value?: string): Promise<string> {
    const requestId = ++this.#lastId
    const payload = encodeArguments(texts, value === undefined ? undefined : Buffer.from(value))
    const message = encodeMessage({ type: messageTypes[name], requestId, transactionId: 0, payload })
    this.#out = Buffer.concat([this.#out, message])
    return new Promise((resolve, reject) => {
      const deadline = setTimeout(() => reject(new Error(`${name} of the guest: no answer`)), 5000)
      this.#pending.set(requestId, answer => {
        clearTimeout(deadline)
        resolve(answer)
      })
      this.#exchange()
    })
  }

  #exchange(): void {
    let moved = false
    for (;;) {
      const consumer = this.#word(requests.consumer)
      const producer = this.#word(requests.producer)
      const at = producer % ringBytes
      const room = Math.min(this.#out.length, ringBytes - at, ringBytes - ((producer - consumer) >>> 0))
      if (room === 0) break
      writeSync(this.#fd, this.#out, 0, room, requests.data + at)
      this.#out = this.#out.subarray(room)
      this.#setWord(requests.producer, producer + room)
      moved = true
    }
    for (;;) {
      const consumer = this.#word(replies.consumer)
      const at = consumer % ringBytes
      const there = Math.min((this.#word(replies.producer) - consumer) >>> 0, ringBytes - at)
      if (there === 0) break
      const chunk = Buffer.alloc(there)
      readSync(this.#fd, chunk, 0, there, replies.data + at)
      this.#setWord(replies.consumer, consumer + there)
      moved = true
      for (const { type, requestId, payload } of this.#reader.push(chunk)) {
        const text = decodeTexts(payload).join('|')
        if (type === messageTypes.WATCH_EVENT) this.events.push(text)
        else this.#pending.get(requestId)?.(text)
      }
    }
    if (moved) this.#kick()
  }

  #word(offset: number): number {
    const bytes = Buffer.alloc(4)
    readSync(this.#fd, bytes, 0, 4, offset)
    return bytes.readUInt32LE()
  }
  #setWord(offset: number, value: number): void {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32LE(value >>> 0)
    writeSync(this.#fd, bytes, 0, 4, offset)
  }
}
