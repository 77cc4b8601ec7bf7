// The product as it is installed in Dom0: the Debian package that packaging/deb makes, unpacked onto a disk.
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { once } from '../lib/cache.ts'
import { makeDisk } from '../lib/disk.ts'
import { run } from '../lib/process.ts'

const repository = join(import.meta.dirname, '../../..')

/** Builds the package of this tree, where the cache does not hold it, and a disk with its files. Gives the disk's path. */
export async function productDisk(): Promise<string> {
  const packaging = readdirSync(join(repository, 'packaging'), { recursive: true, encoding: 'utf8' })
  const sources = ['dist/.scmi-mediator-built', 'package.json', 'CHANGELOG.md']
  for (const name of packaging.sort())
    if (/[^/]*\.[^/]+$|deb\//.test(name)) sources.push(join('packaging', name))
  const from = sources.map(name => [name, readFileSync(join(repository, name), 'utf8')])
  const made = await once('xen-product', from, async directory => {
    const root = join(directory, 'root')
    mkdirSync(root)
    await run(join(repository, 'packaging/deb/build'), [directory])
    const built = readdirSync(directory).find(name => name.endsWith('.deb'))
    if (built === undefined) throw new Error('packaging/deb/build made nothing')
    await run('dpkg-deb', ['-x', join(directory, built), root])
    const disk = join(directory, 'disk')
    await makeDisk(root, disk, '96M')
    rmSync(root, { recursive: true })
  })
  return join(made, 'disk')
}
