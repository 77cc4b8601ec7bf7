// What libxl keeps of a domain's configuration: the libxl-json userdata, the only place that names the partial device tree.
// Source: Xen, tools/libs/light/libxl_dom.c (libxl__userdata_path) and libxl_types.idl.
import { type FSWatcher, watch } from 'node:fs'
import { join } from 'node:path'
import { errorText, MediatorError } from '../../errors.ts'
import { readTrusted } from './trusted-file.ts'

const maxBytes = 4 << 20

export interface DomainConfiguration {
  readonly name: string | undefined
  readonly uuid: string | undefined
  /** `device_tree=` as it was typed. */
  readonly deviceTree: string | undefined
  /** `dtdev=`: paths of the host tree. */
  readonly dtdevs: readonly string[]
  /** `iomem=`: registers that are mapped for the guest, at the guest-physical addresses it finds them at. */
  readonly registers: readonly { readonly start: number; readonly size: number }[]
  /** `arm_sci=` other than none: Xen's own forwarding of SCMI. */
  readonly armSci: string | undefined
}

export const userdataPath = (directory: string, domid: number, uuid: string): string =>
  join(directory, `userdata-d.${domid}.${uuid}.libxl-json`)

/** The configuration in libxl's JSON, as `xl -N create` prints it too. REQUEST_INVALID naming `path`. */
export function parseConfiguration(text: string, path: string): DomainConfiguration {
  let value: unknown
  try {
    value = JSON.parse(text.replace(/\0+\s*$/, '')) // libxl writes its ending NUL into the file
  } catch (cause) {
    throw new MediatorError('REQUEST_INVALID', `${path}: ${errorText(cause)}`, { cause, path })
  }
  const info = member(value, 'c_info')
  const build = member(value, 'b_info')
  const sci = string(member(member(member(build, 'arch_arm'), 'arm_sci'), 'type'))
  const dtdevs = member(value, 'dtdevs')
  return {
    name: string(member(info, 'name')),
    uuid: string(member(info, 'uuid')),
    deviceTree: string(member(build, 'device_tree')),
    dtdevs: Array.isArray(dtdevs) ? dtdevs.flatMap(each => string(member(each, 'path')) ?? []) : [],
    registers: registersOf(member(build, 'iomem')),
    armSci: sci === 'none' ? undefined : sci,
  }
}

const pageBytes = 4096

/** libxl's iomem ranges are frames; `gfn` is where the guest has them, `start` unless it says otherwise. */
function registersOf(iomem: unknown): DomainConfiguration['registers'] {
  if (!Array.isArray(iomem)) return []
  return iomem.flatMap(each => {
    const [start, count, gfn] = [member(each, 'start'), member(each, 'number'), member(each, 'gfn')]
    if (!Number.isSafeInteger(start) || !Number.isSafeInteger(count)) return []
    const frame = Number.isSafeInteger(gfn) ? gfn : start
    return [{ start: (frame as number) * pageBytes, size: (count as number) * pageBytes }]
  })
}

/** The configuration of a domain; undefined while there is no such file. DTB_REFUSED where somebody else could have written it. */
export function readConfiguration(
  directory: string,
  domid: number,
  uuid: string,
): DomainConfiguration | undefined {
  const path = userdataPath(directory, domid, uuid)
  let bytes: Uint8Array
  try {
    bytes = readTrusted(path, maxBytes)
  } catch (error) {
    if (isAbsent(error)) return undefined
    throw error
  }
  return parseConfiguration(new TextDecoder().decode(bytes), path)
}

/** How often a file is looked for where the directory cannot be watched, in milliseconds. */
const lookMs = 250

/**
 * Waits for the file: libxl moves it into place whole, some time after the domain was introduced. Undefined after
 * `timeoutMs`, or when `signal` says that the domain is gone.
 */
export async function awaitConfiguration(
  directory: string,
  domid: number,
  uuid: string,
  { timeoutMs, signal }: { readonly timeoutMs: number; readonly signal: AbortSignal },
): Promise<DomainConfiguration | undefined> {
  let stir: () => void = () => {}
  const watcher = watching(directory, () => stir())
  const end = Date.now() + timeoutMs
  const onAbort = (): void => stir()
  signal.addEventListener('abort', onAbort)
  try {
    while (!signal.aborted) {
      const found = readConfiguration(directory, domid, uuid)
      const leftMs = end - Date.now()
      if (found !== undefined || leftMs <= 0) return found
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, Math.min(leftMs, lookMs))
        stir = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    return undefined
  } finally {
    signal.removeEventListener('abort', onAbort)
    watcher?.close()
  }
}

function watching(directory: string, onChange: () => void): FSWatcher | undefined {
  try {
    const watcher = watch(directory, { persistent: false }, onChange)
    watcher.on('error', () => {}) // it is looked for all the same
    return watcher
  } catch {
    return undefined
  }
}

const isAbsent = (error: unknown): boolean =>
  error instanceof MediatorError &&
  error.code === 'SYSTEM' &&
  (error.cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT'

const member = (value: unknown, key: string): unknown =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[key] : undefined
const string = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' ? value : undefined
