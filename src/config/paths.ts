// The one rule for where the daemon's directories and its control socket are; scmid and scmictl both ask here.
import { lstatSync, mkdirSync, mkdtempSync, type Stats, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { errorText, MediatorError } from '../errors.ts'
import { type Environment, readEnvironment } from './environment.ts'

/** Absolute paths. `run` holds sockets and the lock, `state` what outlives the daemon, `log` the audit log. */
export interface Directories {
  readonly run: string
  readonly state: string
  readonly log: string
  /** Whether nobody but the owner may look inside, as in a directory shared with other users. */
  readonly private: boolean
}

/** What the configuration may set of them. */
export type DirectoryOverrides = { readonly [K in 'run' | 'state' | 'log']?: string | undefined }

/** Largest Unix socket path, in bytes: `sun_path` holds 108 with its NUL, and Node cuts a longer one silently. */
export const maxSocketPathBytes = 107

/** The control socket's name inside the run directory. */
const socketName = 'scmid.sock'

/** The audit log's name inside the log directory. */
const auditName = 'audit.jsonl'

/**
 * Where the directories are: for root /run/scmid, /var/lib/scmid and /var/log/scmid; for anybody else
 * $XDG_RUNTIME_DIR/scmid or /tmp/scmid-UID with state and log inside it. Touches nothing.
 */
export function directories(
  overrides: DirectoryOverrides = {},
  environment: Environment = readEnvironment(),
): Directories {
  const { uid, runtimeDir } = environment
  if (uid === 0) {
    return {
      run: resolve(overrides.run ?? '/run/scmid'),
      state: resolve(overrides.state ?? '/var/lib/scmid'),
      log: resolve(overrides.log ?? '/var/log/scmid'),
      private: false,
    }
  }
  const run = resolve(
    overrides.run ?? (runtimeDir === undefined ? `/tmp/scmid-${uid}` : join(runtimeDir, 'scmid')),
  )
  return {
    run,
    state: resolve(overrides.state ?? join(run, 'state')),
    log: resolve(overrides.log ?? join(run, 'log')),
    private: true,
  }
}

/** A directory of its own for one run, made anew with mode 0700; whoever asks removes it, or leaves it to be read. */
export function privateDirectories(environment: Environment = readEnvironment()): Directories {
  const run = system('mkdtemp', environment.temporaryDir, () =>
    mkdtempSync(join(environment.temporaryDir, 'scmid-once-')),
  )
  return { run, state: join(run, 'state'), log: join(run, 'log'), private: true }
}

/**
 * Makes the directories that are missing (mode 0700) and checks all of them. A run directory that is not private may be
 * passed through (mode 0711), so that VMMs of other users reach the sockets that are theirs. Throws SOCKET_PATH or SYSTEM
 * as `checkDirectory` does.
 */
export function prepareDirectories(wanted: Directories, environment: Environment = readEnvironment()): void {
  for (const path of [wanted.run, wanted.state, wanted.log]) {
    const mode = path === wanted.run && !wanted.private ? 0o711 : 0o700
    system('mkdir', path, () => makeDirectory(path, mode))
    checkDirectory(path, wanted.private, environment)
  }
}

/**
 * Makes a directory and the missing ones above it, all of one mode, as far as the umask lets it. Not by mkdir's own
 * `recursive`: where a file system says ENOENT below a directory that is there, as /proc does, Node 20 tries for ever.
 */
export function makeDirectory(path: string, mode = 0o700): void {
  try {
    mkdirSync(path, { mode })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST' && statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) return
    if (code !== 'ENOENT' || lstatSync(dirname(path), { throwIfNoEntry: false }) !== undefined) throw error
    makeDirectory(dirname(path), mode)
    mkdirSync(path, { mode })
  }
}

/**
 * Refuses a directory that somebody else could put things into: a symbolic link, another owner, write permission for
 * others, and where it is `isPrivate` any permission for others. Throws SOCKET_PATH naming it, SYSTEM when it is not
 * there.
 */
export function checkDirectory(
  path: string,
  isPrivate: boolean,
  environment: Environment = readEnvironment(),
): void {
  const found = system('lstat', path, () => lstatSync(path))
  const refuse = (text: string): never => {
    throw new MediatorError('SOCKET_PATH', `${path}: ${text}`, { path })
  }
  if (found.isSymbolicLink()) refuse('is a symbolic link; somebody may have put it there; remove it')
  if (!found.isDirectory()) refuse('is not a directory')
  if (found.uid !== environment.uid) refuse(`belongs to user ${found.uid}, not to user ${environment.uid}`)
  const open = found.mode & (isPrivate ? 0o077 : 0o022)
  if (open !== 0)
    refuse(
      `mode is ${octal(found.mode)}, open to others; look what is inside, then chmod ${isPrivate ? '700' : 'go-w'}`,
    )
  checkParent(path, refuse, environment)
}

/** In a parent that others may write, only its sticky bit keeps them from exchanging the directory. */
function checkParent(path: string, refuse: (text: string) => never, environment: Environment): void {
  const parent: Stats = system('lstat', dirname(path), () => lstatSync(dirname(path)))
  if (parent.isSymbolicLink()) return // whoever may change the link could change the directory as well
  if (parent.uid !== 0 && parent.uid !== environment.uid)
    refuse(`its parent belongs to user ${parent.uid}, not to user ${environment.uid}`)
  if ((parent.mode & 0o002) !== 0 && (parent.mode & 0o1000) === 0)
    refuse(`its parent's mode is ${octal(parent.mode)}: anybody could exchange it`)
}

/** The control socket inside the run directory. Throws SOCKET_PATH when it is too long. */
export const controlSocket = (where: Pick<Directories, 'run'>): string =>
  checkSocketPath(join(where.run, socketName))

/** A domain's vhost-user socket, where its operator names none. Throws SOCKET_PATH when it is too long. */
export const guestSocket = (where: Pick<Directories, 'run'>, domain: string): string =>
  checkSocketPath(join(where.run, `${domain}.sock`))

/** What is under way of a domain's vhost-user device is written there. */
export const inflightFile = (where: Pick<Directories, 'run'>, domain: string): string =>
  join(where.run, `${domain}.inflight`)

/** What a domain that can outlive the daemon negotiated and subscribed to stands there. */
export const sessionFile = (where: Pick<Directories, 'run'>, domain: string): string =>
  join(where.run, `${domain}.session`)

/** What all domains ask for of what they share stands there. */
export const votesFile = (where: Pick<Directories, 'run'>): string => join(where.run, 'votes')

/** The audit log. */
export const auditLog = (where: Pick<Directories, 'log'>): string => join(where.log, auditName)

/** Where the audit log of the daemon at `socket` is, as far as the rule tells: a run directory of its own holds it. */
export function auditBeside(socket: string, environment: Environment = readEnvironment()): string {
  const usual = directories({}, environment)
  const run = dirname(socket)
  return auditLog(run === usual.run ? usual : { log: join(run, 'log') })
}

/**
 * The socket a client connects to: `override` as given, else the rule's. A run directory that is there but is not
 * ours is refused, so that nobody can play the daemon; one that is missing is left for the connection to tell.
 */
export function findControlSocket(
  override: string | undefined,
  environment: Environment = readEnvironment(),
): string {
  if (override !== undefined) return checkSocketPath(resolve(override))
  const where = directories({}, environment)
  if (lstatSync(where.run, { throwIfNoEntry: false }) !== undefined)
    checkDirectory(where.run, where.private, environment)
  return controlSocket(where)
}

/** Gives the path back; SOCKET_PATH when no Unix socket can have it. */
export function checkSocketPath(path: string): string {
  const bytes = Buffer.byteLength(path)
  if (bytes > maxSocketPathBytes)
    throw new MediatorError(
      'SOCKET_PATH',
      `${path}: a Unix socket's path may have ${maxSocketPathBytes} bytes, this has ${bytes}`,
      { path },
    )
  if (bytes === 0 || path.includes('\0'))
    throw new MediatorError('SOCKET_PATH', `${JSON.stringify(path)}: is no path of a Unix socket`, { path })
  return path
}

const octal = (mode: number): string => (mode & 0o7777).toString(8).padStart(4, '0')

function system<T>(call: string, path: string, run: () => T): T {
  try {
    return run()
  } catch (cause) {
    if (cause instanceof MediatorError) throw cause
    throw new MediatorError('SYSTEM', `${path}: ${call} failed: ${errorText(cause)}`, { cause, path })
  }
}
