// Modules of a Debian kernel with all that they depend on, ready to load one after the other.
import { execFile } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'

export interface Module {
  /** Its file's name. */
  readonly name: string
  readonly bytes: Uint8Array
}

const run = promisify(execFile)

/** `directory` is the kernel's own below lib/modules/VERSION. Gives the modules unpacked, what others need first. */
export async function kernelModules(directory: string, wanted: readonly string[]): Promise<Module[]> {
  const files = readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter(name =>
    name.endsWith('.ko.xz'),
  )
  const byName = new Map(files.map(file => [plain(basename(file, '.ko.xz')), file]))
  const loaded = new Map<string, Module>()
  const load = async (module: string): Promise<void> => {
    if (loaded.has(module)) return
    const file = byName.get(module)
    if (file === undefined) throw new Error(`${directory} holds no module ${module}`)
    const { stdout: bytes } = await run('xz', ['-dc', join(directory, file)], {
      encoding: 'buffer',
      maxBuffer: 1 << 26,
    })
    for (const needed of dependencies(bytes)) await load(needed)
    loaded.set(module, { name: `${module}.ko`, bytes })
  }
  for (const module of wanted) await load(plain(module))
  return [...loaded.values()]
}

/** Modules are asked for with dashes or underscores alike. */
const plain = (name: string): string => name.replaceAll('-', '_')

/** What a module's own section .modinfo says that it depends on. */
function dependencies(module: Buffer): string[] {
  const from = module.indexOf('\0depends=')
  if (from < 0) return []
  const list = module.subarray(from + '\0depends='.length, module.indexOf(0, from + 1)).toString()
  return list
    .split(',')
    .filter(name => name !== '')
    .map(plain)
}
