// The product as it is installed in Dom0: the packed package with the modules it needs at run time, for arm64, on a disk.
import { copyFileSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { once } from '../lib/cache.ts'
import { run } from '../lib/process.ts'

const repository = join(import.meta.dirname, '../../..')

/** Packs this tree and makes a disk of it in `directory`: scmi-mediator/ with its node_modules. Gives the disk's path. */
export async function productDisk(directory: string): Promise<string> {
  const root = join(directory, 'product')
  const home = join(root, 'scmi-mediator')
  mkdirSync(home, { recursive: true })
  await run('npm', ['pack', '--silent', '--pack-destination', directory], { cwd: repository })
  const packed = readdirSync(directory).find(name => name.endsWith('.tgz'))
  if (packed === undefined) throw new Error('npm pack made nothing')
  await run('tar', ['-x', '-f', join(directory, packed), '-C', home, '--strip-components=1'])
  await run('cp', ['-r', join(await productionModules(), 'node_modules'), home])
  const disk = join(directory, 'product.ext4')
  await run('mke2fs', [
    '-q',
    '-t',
    'ext4',
    '-O',
    '^has_journal',
    '-E',
    'root_owner=0:0',
    '-d',
    root,
    disk,
    '96M',
  ])
  return disk
}

/** The modules of the lock file that a Dom0 needs, installed for it: arm64, GNU's C library. */
function productionModules(): Promise<string> {
  const files = ['package.json', 'package-lock.json', '.npmrc']
  const from = files.map(name => readFileSync(join(repository, name), 'utf8'))
  return once('modules-arm64', from, async directory => {
    for (const name of files) copyFileSync(join(repository, name), join(directory, name))
    const target = ['--os=linux', '--cpu=arm64', '--libc=glibc']
    await run('npm', ['ci', '--silent', '--omit=dev', '--ignore-scripts', ...target], { cwd: directory })
  })
}
