// What the store's tests run on: the daemons' packages unpacked, the shim compiled. Made once, kept in the cache.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { once } from '../lib/cache.ts'
import { unpacked } from '../lib/debian.ts'
import { run, works } from '../lib/process.ts'
import { Skip } from '../lib/report.ts'
import type { Bench, DaemonKind } from './daemon.ts'

/** A C program of this folder, compiled. Throws Skip where there is no compiler. */
export async function compiled(source: string, output: string, ...options: string[]): Promise<string> {
  const path = new URL(source, import.meta.url).pathname
  if (!(await works('gcc', ['--version']))) throw new Skip('gcc is missing')
  const directory = await once(`xenstore-${output}`, [readFileSync(path, 'utf8'), options], async made => {
    await run('gcc', [
      '-O2',
      '-Wall',
      '-Wextra',
      '-Werror',
      ...options,
      '-o',
      join(made, output),
      path,
      '-ldl',
    ])
  })
  return join(directory, output)
}

/** The packages of a kind's release with the C library that they are of, and the shim. */
export async function benchFor({ release, xen }: DaemonKind): Promise<Bench> {
  const tree = await unpacked({
    name: `xenstore-${xen}`,
    release,
    packages: [`libxenmisc${xen}`, 'libxenstore4', 'xenstore-utils'],
    alone: [`xen-utils-${xen}`, 'xen-utils-common'],
  })
  return { tree, shim: await compiled('shim.c', 'shim.so', '-shared', '-fPIC') }
}
