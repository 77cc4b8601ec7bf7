// What is watched: a token for each, who hears of it, and how all of them are set anew on another connection.
import { errorText } from '../errors.ts'
import type { Connection } from './connection.ts'
import { isRefusal } from './error.ts'
import { checkWatchable } from './path.ts'

/**
 * Told of the path that changed: the watched one, or one below. Also once when the watch is set, each time it is set
 * anew, and for changes that leave the value the same.
 */
export type WatchHandler = (path: string) => void

interface Watched {
  readonly path: string
  readonly handler: WatchHandler
}

export class Watches {
  readonly #byToken = new Map<string, Watched>()
  #last = 0

  /** Hands an event to its watch. One of a watch that has just been taken away finds nobody. */
  dispatch(path: string, token: string): void {
    this.#byToken.get(token)?.handler(path)
  }

  /** Registers first: the daemon may tell before it answers. */
  async add(path: string, handler: WatchHandler, connection: Connection | undefined): Promise<string> {
    const token = `scmi-${++this.#last}`
    this.#byToken.set(token, { path: checkWatchable(path), handler })
    try {
      await connection?.request('WATCH', [path, token])
    } catch (error) {
      if (connection?.isOpen === true) {
        this.#byToken.delete(token)
        throw error
      } // else the next connection sets it
    }
    return token
  }

  async remove(token: string, connection: Connection | undefined): Promise<void> {
    const watched = this.#byToken.get(token)
    this.#byToken.delete(token)
    if (watched === undefined || connection?.isOpen !== true) return
    try {
      await connection.request('UNWATCH', [watched.path, token])
    } catch (error) {
      if (connection.isOpen && !isRefusal(error, 'ENOENT')) throw error
    }
  }

  /** Sets all of them on a new connection. What the daemon refuses is told; the others are set all the same. */
  async arm(connection: Connection, tell: (text: string) => void): Promise<void> {
    await Promise.all(
      Array.from(this.#byToken, async ([token, { path }]) => {
        try {
          await connection.request('WATCH', [path, token])
        } catch (error) {
          if (!connection.isOpen) throw error
          if (!isRefusal(error, 'EEXIST')) tell(`watch of ${path} was not set again: ${errorText(error)}`)
        }
      }),
    )
  }
}
