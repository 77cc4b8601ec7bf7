// Every request of the protocol by its own name and with its own shapes, inside a transaction or outside. How a request
// travels is whoever's `Send` this is given.
import { isRefusal, XenstoreError } from './error.ts'
import { checkPath, checkRemovable } from './path.ts'
import { formatPermission, type Permission, parsePermission } from './permission.ts'
import { decodeText, decodeTexts, type RequestName } from './wire.ts'

export type Send = (name: RequestName, texts: readonly string[], value?: Uint8Array) => Promise<Uint8Array>

/** How often a directory that changes while it is read in parts is begun anew. */
const listAttempts = 20

/** What can be done with nodes. Refusals are XenstoreErrors with the daemon's word in `errno`. */
export class NodeRequests {
  readonly #send: Send

  constructor(send: Send) {
    this.#send = send
  }

  /** The value; what was stored, to the byte. ENOENT where there is no node. */
  async read(path: string): Promise<Uint8Array> {
    return this.#send('READ', [checkPath(path)])
  }

  async readText(path: string): Promise<string> {
    return decodeText(await this.read(path))
  }

  /** Undefined where there is no such node. */
  async readTextIfThere(path: string): Promise<string | undefined> {
    return orAbsent(this.readText(path))
  }

  /** Makes the node and those above it where they are missing. They take their permissions from the one above. */
  async write(path: string, value: string | Uint8Array): Promise<void> {
    await this.#send('WRITE', [checkPath(path)], typeof value === 'string' ? utf8.encode(value) : value)
  }

  /** Makes the node with an empty value; leaves one that is there as it is. */
  async mkdir(path: string): Promise<void> {
    await this.#send('MKDIR', [checkPath(path)])
  }

  /** Removes the node and all below it; what is not there is no error, unless its parent is missing too (ENOENT). Never the root. */
  async remove(path: string): Promise<void> {
    await this.#send('RM', [checkRemovable(path)])
  }

  /** As `remove`, where nothing may be missing. */
  async removeIfThere(path: string): Promise<void> {
    await orAbsent(this.remove(path))
  }

  /** The names of the children, in the daemon's order. */
  async directory(path: string): Promise<string[]> {
    try {
      return decodeTexts(await this.#send('DIRECTORY', [checkPath(path)]))
    } catch (error) {
      // C xenstored: more than a payload; oxenstored has no such limit, and no DIRECTORY_PART.
      if (!isRefusal(error, 'E2BIG')) throw error
      return this.#inParts(path)
    }
  }

  async directoryIfThere(path: string): Promise<string[] | undefined> {
    return orAbsent(this.directory(path))
  }

  async getPermissions(path: string): Promise<Permission[]> {
    const texts = decodeTexts(await this.#send('GET_PERMS', [checkPath(path)]))
    return texts.map(text => {
      const permission = parsePermission(text)
      if (permission === undefined)
        throw new XenstoreError('EPROTO', path, `"${text}" was given as a permission`)
      return permission
    })
  }

  /** The first entry names the owner and what everybody may; on C xenstored, entries of domains that are not there yet have no effect. */
  async setPermissions(path: string, permissions: readonly [Permission, ...Permission[]]): Promise<void> {
    await this.#send('SET_PERMS', [checkPath(path), ...permissions.map(formatPermission)])
  }

  /** A generation goes with each part: when it changes, the parts do not belong together. */
  async #inParts(path: string): Promise<string[]> {
    for (let attempt = 0; attempt < listAttempts; attempt++) {
      const names = await this.#partsOfOneGeneration(path)
      if (names !== undefined) return names
    }
    throw new XenstoreError('EAGAIN', path, `changed ${listAttempts} times while it was listed`)
  }

  async #partsOfOneGeneration(path: string): Promise<string[] | undefined> {
    const names: string[] = []
    let generation: string | undefined
    for (let offset = 0; ; ) {
      const part = await this.#send('DIRECTORY_PART', [path, String(offset)])
      const end = part.indexOf(0)
      const own = decodeText(part.subarray(0, end))
      generation ??= own
      if (end < 0 || own !== generation) return undefined
      const children = part.subarray(end + 1)
      // The list ends with an empty name.
      const isLast = children.at(-1) === 0 && (children.length === 1 || children.at(-2) === 0)
      const texts = decodeTexts(isLast ? children.subarray(0, -1) : children)
      names.push(...texts)
      if (isLast) return names
      if (children.length === 0) return undefined
      offset += children.length
    }
  }
}

/** What the toolstack does with domains, and the daemon's own commands. Dom0 alone may. */
export class DomainRequests {
  readonly #send: Send

  constructor(send: Send) {
    this.#send = send
  }

  /** Connects a domain's ring: `page` is its frame number, `port` its event channel. */
  async introduce(domid: number, page: number, port: number): Promise<void> {
    await this.#send('INTRODUCE', [String(domid), String(page), String(port)])
  }
  async release(domid: number): Promise<void> {
    await this.#send('RELEASE', [String(domid)])
  }
  async resume(domid: number): Promise<void> {
    await this.#send('RESUME', [String(domid)])
  }
  /** Lets `domid` act for `target`, as a device model does. */
  async setTarget(domid: number, target: number): Promise<void> {
    await this.#send('SET_TARGET', [String(domid), String(target)])
  }
  async isIntroduced(domid: number): Promise<boolean> {
    return decodeTexts(await this.#send('IS_DOMAIN_INTRODUCED', [String(domid)]))[0] === 'T'
  }
  /** `/local/domain/N`, whether the domain is there or not. */
  async domainPath(domid: number): Promise<string> {
    return decodeTexts(await this.#send('GET_DOMAIN_PATH', [String(domid)]))[0] ?? ''
  }
  /** The daemon's own commands (`help`, `check`, `log on`, ...), which differ between daemons. */
  async control(command: string, ...args: readonly string[]): Promise<string> {
    return decodeTexts(await this.#send('CONTROL', [command, ...args])).join('\n')
  }
}

const utf8 = new TextEncoder()

async function orAbsent<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer
  } catch (error) {
    if (isRefusal(error, 'ENOENT')) return undefined
    throw error
  }
}
