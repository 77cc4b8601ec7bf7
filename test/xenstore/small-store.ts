// A small xenstored in this process, for tests of what is built on the client: nodes, permissions, watches, transactions
// that meet EAGAIN when anything else changed. The real ones are in test/system/xenstore. No test.
import type { Socket } from 'node:net'
import { messageTypes } from '../../src/xenstore/wire.ts'
import { message, type Peer, playDaemon, type Request } from './exchanges.ts'

interface Node {
  value: string
  permissions: string
}
type Tree = Map<string, Node>

export interface SmallStore extends Peer {
  /** What is stored, by path. */
  readonly nodes: Tree
  /** Writes as another client would. */
  write(path: string, value: string): void
  /** Removes a node and all below it. */
  remove(path: string): void
  /** Tells of a special watch: `@introduceDomain`. */
  announce(special: string): void
  /** As a daemon that was started anew: empty. */
  clear(): void
}

const parentOf = (path: string): string => path.slice(0, path.lastIndexOf('/')) || '/'
const isAtOrBelow = (path: string, above: string): boolean =>
  path === above || path.startsWith(above === '/' ? '/' : `${above}/`)

function writeTo(tree: Tree, path: string, value: string): void {
  const parent = parentOf(path)
  if (!tree.has(parent)) writeTo(tree, parent, '')
  tree.set(path, { value, permissions: tree.get(path)?.permissions ?? tree.get(parent)?.permissions ?? 'n0' })
}

/** Ends with the test, or when what `finished` is told is called. */
export async function smallStore(finished?: (end: () => Promise<void>) => void): Promise<SmallStore> {
  let nodes: Tree = new Map([['/', { value: '', permissions: 'n0' }]])
  let version = 0
  let lastTransaction = 0
  const watches: { socket: Socket; path: string; token: string }[] = []
  const transactions = new Map<number, { tree: Tree; begun: number; changed: string[] }>()

  const fire = (changed: string): void => {
    for (const { socket, path, token } of watches)
      if (isAtOrBelow(changed, path) || isAtOrBelow(path, changed))
        socket.write(
          message(messageTypes.WATCH_EVENT, 0, `${isAtOrBelow(changed, path) ? changed : path}\0${token}\0`),
        )
  }
  const announce = (special: string): void => {
    for (const { socket, path, token } of watches)
      if (path === special) socket.write(message(messageTypes.WATCH_EVENT, 0, `${special}\0${token}\0`))
  }

  const answer = ({ type, id, transaction, bytes }: Request, socket: Socket): Buffer | undefined => {
    const [path = '', ...rest] = bytes.subarray(16).toString('latin1').split('\0')
    const reply = (text: string): Buffer => message(type, id, text, transaction)
    const refuse = (errno: string): Buffer => message(messageTypes.ERROR, id, `${errno}\0`, transaction)
    const open = transactions.get(transaction)
    if (transaction !== 0 && open === undefined) return refuse('ENOENT')
    const tree = open?.tree ?? nodes
    const changed = (at: string): Buffer => {
      if (open === undefined) {
        version++
        setImmediate(() => fire(at))
      } else open.changed.push(at)
      return reply('OK\0')
    }
    const node = tree.get(path)
    switch (type) {
      case messageTypes.READ:
        return node === undefined ? refuse('ENOENT') : reply(node.value)
      case messageTypes.WRITE:
        writeTo(tree, path, rest.join('\0'))
        return changed(path)
      case messageTypes.MKDIR:
        if (node === undefined) writeTo(tree, path, '')
        return changed(path)
      case messageTypes.RM:
        if (node === undefined && !tree.has(parentOf(path))) return refuse('ENOENT')
        for (const key of [...tree.keys()]) if (isAtOrBelow(key, path)) tree.delete(key)
        return changed(path)
      case messageTypes.DIRECTORY: {
        if (node === undefined) return refuse('ENOENT')
        const children = [...tree.keys()].filter(key => key !== '/' && parentOf(key) === path)
        return reply(children.map(key => `${key.slice(key.lastIndexOf('/') + 1)}\0`).join(''))
      }
      case messageTypes.SET_PERMS:
        if (node === undefined) return refuse('ENOENT')
        node.permissions = rest.filter(text => text !== '').join(',')
        return changed(path)
      case messageTypes.WATCH: {
        watches.push({ socket, path, token: rest[0] ?? '' })
        return Buffer.concat([reply('OK\0'), message(messageTypes.WATCH_EVENT, 0, `${path}\0${rest[0]}\0`)])
      }
      case messageTypes.TRANSACTION_START: {
        const copy = new Map([...nodes].map(([key, value]) => [key, { ...value }]))
        transactions.set(++lastTransaction, { tree: copy, begun: version, changed: [] })
        return reply(`${lastTransaction}\0`)
      }
      case messageTypes.TRANSACTION_END: {
        transactions.delete(transaction)
        if (open === undefined || path !== 'T') return reply('OK\0')
        if (open.begun !== version) return refuse('EAGAIN')
        nodes = open.tree
        if (open.changed.length > 0) version++
        setImmediate(() => {
          for (const each of open.changed) fire(each)
        })
        return reply('OK\0')
      }
      default:
        return refuse('ENOSYS')
    }
  }
  const peer = await playDaemon(answer, finished)
  const touch = (path: string): void => {
    version++
    fire(path)
  }
  const store = {
    get nodes() {
      return nodes
    },
    write(path: string, value: string) {
      writeTo(nodes, path, value)
      touch(path)
    },
    remove(path: string) {
      for (const key of [...nodes.keys()]) if (isAtOrBelow(key, path)) nodes.delete(key)
      touch(path)
    },
    announce,
    clear() {
      nodes = new Map([['/', { value: '', permissions: 'n0' }]])
      watches.length = 0
      transactions.clear()
    },
  }
  return Object.defineProperties(peer, Object.getOwnPropertyDescriptors(store)) as SmallStore
}
