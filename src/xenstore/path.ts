// Which paths of the store this client lets through: what every daemon takes, and never the root for a removal.
import { XenstoreError } from './error.ts'

/** oxenstored's default quota (quota-path-max); C xenstored allows more. */
export const maxPathBytes = 1024

/** Characters of xenstore.txt; no `//` and no `/` at the end, but for the root itself. */
const pathForm = /^(\/|\/?[A-Za-z0-9@_-]+(\/[A-Za-z0-9@_-]+)*)$/
const special = /^@[A-Za-z]+$/

/** Gives `path` back, absolute or relative to the own domain's. Throws EINVAL, naming it, where a daemon would refuse. */
export function checkPath(path: string): string {
  if (!pathForm.test(path))
    throw new XenstoreError(
      'EINVAL',
      path,
      'is no xenstore path: letters, digits, -, @ and _ between slashes',
    )
  if (path.length > maxPathBytes)
    throw new XenstoreError('EINVAL', path, `is longer than ${maxPathBytes} bytes`)
  return path
}

/** A path that may be removed. oxenstored takes RM / and erases everything: never asked. */
export function checkRemovable(path: string): string {
  if (path === '/') throw new XenstoreError('EINVAL', path, 'is the whole store; it is not removed')
  return checkPath(path)
}

/** A path, or `@introduceDomain`, `@releaseDomain`. */
export const checkWatchable = (path: string): string => (special.test(path) ? path : checkPath(path))

/** Whether `name` can be one component of a path: a domain's or a device's name often cannot. */
export const isComponent = (name: string): boolean => /^[A-Za-z0-9@_-]+$/.test(name)
