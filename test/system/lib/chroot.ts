// Runs a shell script inside an unpacked tree, as its root: what compiles a kernel there is the tree's own compiler.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { run, works } from './process.ts'
import { Skip } from './report.ts'

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`

/**
 * Runs `script` with the tree as its root directory, in mount and user namespaces of its own. `work` is a directory of
 * the machine that it sees, and starts in, as /work; `also` has further ones, by the path it sees them at. Gives its
 * output; throws Skip where the machine forbids it.
 */
export async function inTree(
  tree: string,
  work: string,
  script: string,
  also: Readonly<Record<string, string>> = {},
): Promise<string> {
  const apart = process.getuid?.() === 0 ? ['--mount'] : ['--user', '--map-root-user', '--mount']
  if (!(await works('unshare', [...apart, 'true'])))
    throw new Skip('namespaces are not allowed here (unshare), and building needs them')
  const seen = Object.entries({ ...also, '/work': work })
  for (const name of ['dev', 'proc', 'tmp', ...seen.map(([at]) => at)])
    mkdirSync(join(tree, name), { recursive: true })
  const outside = [
    ...seen.map(([at, source]) => `mount --bind ${quoted(source)} ${quoted(join(tree, at))}`),
    `mount --rbind /dev ${quoted(join(tree, 'dev'))}`,
    `mount --rbind /proc ${quoted(join(tree, 'proc'))}`,
    `exec chroot ${quoted(tree)} /bin/sh -ec ${quoted(`cd /work; ${script}`)}`,
  ]
  return run('unshare', [...apart, 'sh', '-ec', outside.join('\n')], {
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/tmp' },
    timeoutMs: 3_600_000,
  })
}
