// Claims the control socket's path: one daemon at a time, a dead one's socket replaced, never world-accessible.
import { randomBytes } from 'node:crypto'
import { type BigIntStats, closeSync, linkSync, lstatSync, openSync, rmSync } from 'node:fs'
import { connect, type Server } from 'node:net'
import { basename, dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { checkSocketPath } from '../config/paths.ts'
import { errorText, MediatorError } from '../errors.ts'

/** A socket that is listened on and known by its path. */
export interface ClaimedSocket {
  readonly path: string
  /** Takes the path away, if it is still this socket. */
  readonly release: () => void
}

/** Longer than a daemon needs to accept, in milliseconds; one that hangs counts as running. */
const probeMs = 2000
/** Another daemon that starts needs less than this to remove a stale socket, in milliseconds. */
const claimMs = 10
const attempts = 200

/**
 * Makes `server` listen at `path`, mode 0600 from its first moment. It is bound under a name of its own first and
 * then linked into place, which fails when the name is taken: two daemons that start at once cannot both have it.
 * Throws DAEMON_RUNNING when somebody answers there, SOCKET_PATH when what is there is no socket or not ours.
 */
export async function claimSocket(server: Server, path: string): Promise<ClaimedSocket> {
  checkSocketPath(path)
  const bound = asideOf(path)
  await listen(server, bound, path)
  try {
    for (let attempt = 1; !tryLink(bound, path); attempt++) {
      if (attempt > attempts) throw new Error('others keep taking it; is something starting scmid in a loop?')
      await removeStale(path)
    }
    const own = look(path)
    return {
      path,
      release: () => {
        const found = look(path)
        // while we listen, nobody else's inode can have our number
        if (found !== undefined && found.ino === own?.ino && found.dev === own.dev)
          rmSync(path, { force: true })
      },
    }
  } catch (cause) {
    server.close()
    if (cause instanceof MediatorError) throw cause
    throw new MediatorError('SOCKET_PATH', `${path}: ${errorText(cause)}`, { cause, path })
  } finally {
    rmSync(bound, { force: true })
  }
}

/** A name beside `path` that nobody else uses, no longer than the usual one. */
const asideOf = (path: string): string => join(dirname(path), `.${randomBytes(4).toString('hex')}`)

function listen(server: Server, bound: string, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (cause: Error) =>
      reject(new MediatorError('SOCKET_PATH', `${path}: cannot listen: ${errorText(cause)}`, { cause, path }))
    server.once('error', fail)
    const before = process.umask(0o177)
    try {
      server.listen(checkSocketPath(bound), () => {
        server.off('error', fail)
        resolve()
      })
    } catch (cause) {
      reject(cause instanceof Error ? cause : new Error(String(cause)))
    } finally {
      process.umask(before) // the bind is done when listen returns
    }
  })
}

function tryLink(bound: string, path: string): boolean {
  try {
    linkSync(bound, path)
    return true
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false
    throw error
  }
}

/**
 * Takes away a socket that nobody listens on. Whoever found it dead may have been overtaken since, so the right to
 * remove just this one is claimed by a file named after it: the one removed is the one found dead.
 */
async function removeStale(path: string): Promise<void> {
  const found = look(path)
  if (found === undefined) return
  if (!found.isSocket())
    throw new MediatorError('SOCKET_PATH', `${path}: is there already and is no socket; remove it`, { path })
  if (await answers(path)) throw running(path)
  const claim = join(dirname(path), `.${basename(path)}.${found.ino}-${found.ctimeNs}`)
  try {
    closeSync(openSync(claim, 'wx', 0o600))
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error
    await sleep(claimMs) // another daemon is at it
    return
  }
  try {
    const now = look(path)
    if (now !== undefined && isSame(now, found)) rmSync(path)
  } finally {
    rmSync(claim)
  }
}

const look = (path: string): BigIntStats | undefined =>
  lstatSync(path, { bigint: true, throwIfNoEntry: false })

/** The change time too, because a file system gives an inode's number to the next file at once. */
const isSame = (a: BigIntStats, b: BigIntStats): boolean =>
  a.ino === b.ino && a.dev === b.dev && a.ctimeNs === b.ctimeNs

const hasCode = (error: unknown, code: string): boolean => (error as NodeJS.ErrnoException).code === code

const running = (path: string): MediatorError =>
  new MediatorError(
    'DAEMON_RUNNING',
    `${path}: a daemon is running already and answers on ${basename(path)}`,
    { path },
  )

/** Whether anybody listens there. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect(path)
    const done = (alive: boolean) => {
      socket.destroy()
      resolve(alive)
    }
    socket.setTimeout(probeMs, () => done(true))
    socket.once('connect', () => done(true))
    socket.once('error', (cause: NodeJS.ErrnoException) => {
      if (cause.code === 'ECONNREFUSED' || cause.code === 'ENOENT') return done(false)
      if (cause.code === 'EAGAIN') return done(true) // its queue is full
      const text = `${path}: cannot tell whether a daemon is running: ${errorText(cause)}`
      reject(new MediatorError('SOCKET_PATH', text, { cause, path }))
    })
  })
}
