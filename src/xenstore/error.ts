// What the store refuses, as an error that carries the daemon's own word for it.
import { MediatorError } from '../errors.ts'

/** A refusal by xenstored, or by this client before it asks. */
export class XenstoreError extends MediatorError {
  /** `ENOENT`, `EACCES`, ... as the daemon says it. oxenstored has one of its own, `EQUOTA`: not a closed list. */
  readonly errno: string

  constructor(errno: string, path: string, text: string) {
    super('XENSTORE_REFUSED', `xenstore ${path}: ${text}`, { path })
    this.errno = errno
  }
}

/** Whether `error` is the store's refusal by that word. */
export const isRefusal = (error: unknown, ...errnos: readonly string[]): boolean =>
  error instanceof XenstoreError && errnos.includes(error.errno)

/** Too much of something: C xenstored says ENOSPC or E2BIG, oxenstored EQUOTA. */
export const isQuota = (error: unknown): boolean => isRefusal(error, 'ENOSPC', 'E2BIG', 'EQUOTA')

/** No daemon, or none that answers. */
export const unreachable = (path: string, text: string, cause?: unknown): MediatorError =>
  new MediatorError('XENSTORE_UNREACHABLE', `xenstore at ${path}: ${text}`, { path, cause })
