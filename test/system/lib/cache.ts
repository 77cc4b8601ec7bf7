// What system tests download or build, kept outside the repository and made once. May be deleted at any time between runs.
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

/** $SCMI_MEDIATOR_CACHE, else scmi-mediator in $XDG_CACHE_HOME or ~/.cache. */
export function cacheDirectory(): string {
  const { SCMI_MEDIATOR_CACHE: own, XDG_CACHE_HOME: home } = process.env
  // A variable that is empty counts as not set.
  const directory = own || join(home || join(homedir(), '.cache'), 'scmi-mediator')
  mkdirSync(directory, { recursive: true })
  return directory
}

/**
 * The directory `name` of the cache, made by `make` unless one made from the same `from` is there. It comes into being
 * whole or not at all, also when several runs make it at once.
 */
export async function once(
  name: string,
  from: unknown,
  make: (directory: string) => Promise<void>,
): Promise<string> {
  const hash = createHash('sha256').update(JSON.stringify(from)).digest('hex').slice(0, 12)
  const place = join(cacheDirectory(), `${name}-${hash}`)
  if (existsSync(place)) return place
  const next = `${place}.next-${process.pid}`
  rmSync(next, { recursive: true, force: true })
  mkdirSync(next)
  try {
    await make(next)
    renameSync(next, place)
  } catch (error) {
    rmSync(next, { recursive: true, force: true })
    if (!existsSync(place)) throw error // else another run was first
  }
  return place
}
