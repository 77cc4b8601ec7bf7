// Dom0's disk, first filesystem, kernel and hypervisor, made of unpacked Debian packages and kept in the cache.
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { basename, join } from 'node:path'
import { once } from '../lib/cache.ts'
import { unpacked } from '../lib/debian.ts'
import { makeDisk } from '../lib/disk.ts'
import { type Entry, initramfs } from '../lib/initramfs.ts'
import { run } from '../lib/process.ts'
import { kernelModules, type Module } from './kernel-modules.ts'

/** What Dom0's disk can do without. */
const LEFT_OUT = [
  'boot',
  'usr/include',
  'usr/lib/klibc',
  'usr/lib/linux-image-*',
  'usr/lib/modules',
  'usr/lib/udev',
  'usr/lib/python3*',
  'usr/share/perl5',
  'usr/share/zoneinfo',
]
const MODULES_FOR_DISK = ['crc32c_generic', 'virtio_mmio', 'virtio_blk', 'ext4']
const MODULES_LATER = [
  'xen-privcmd',
  'xen-evtchn',
  'xen-gntdev',
  'xen-gntalloc',
  'xenfs',
  '9pnet_virtio',
  '9p',
]
const FOLDERS = ['dev', 'proc', 'sys', 'run', 'tmp', 'share', 'opt', 'modules', 'root', 'etc/xen']
const STATE_FOLDERS = ['var/lib/xen', 'var/lib/xenstored', 'var/log/xen/console']

export interface Dom0Image {
  /** The hypervisor, as QEMU starts it. */
  readonly xen: string
  /** Linux: of Dom0, and of guests. */
  readonly kernel: string
  readonly initramfs: string
  /** Root filesystem; no run writes to it. */
  readonly disk: string
  /** The unpacked packages. */
  readonly tree: string
}

/** The folder with the scripts that run inside Dom0. */
const scripts = join(import.meta.dirname, 'dom0')

/** Fetches the packages and makes the image, where the cache does not hold it. */
export async function dom0Image(): Promise<Dom0Image> {
  const tree = await dom0Tree()
  const boot = join(tree, 'boot')
  const named = (pattern: RegExp): string => {
    const name = readdirSync(boot).find(name => pattern.test(name))
    if (name === undefined) throw new Error(`${boot}: nothing matches ${pattern}`)
    return join(boot, name)
  }
  const kernel = named(/^vmlinuz-/)
  const modules = modulesOf(tree, kernel)
  const first = readFileSync(join(scripts, 'first.sh'), 'utf8')
  const init = readFileSync(join(scripts, 'init.sh'), 'utf8')
  const recipe = [basename(tree), first, init, LEFT_OUT, MODULES_FOR_DISK, MODULES_LATER, FOLDERS]
  const made = await once('dom0-image', recipe, async directory => {
    writeFileSync(
      join(directory, 'initramfs'),
      firstFilesystem(tree, first, await kernelModules(modules, MODULES_FOR_DISK)),
    )
    const root = join(directory, 'root')
    await rootFilesystem(root, tree, init, await kernelModules(modules, MODULES_LATER))
    copyFileSync(kernel, join(root, 'root/vmlinuz'))
    const disk = join(directory, 'disk')
    await makeDisk(root, disk, '600M')
    rmSync(root, { recursive: true })
  })
  return {
    xen: named(/^xen-[\d.]+-arm64$/),
    kernel,
    initramfs: join(made, 'initramfs'),
    disk: join(made, 'disk'),
    tree,
  }
}

/** Where the modules of the tree's kernel lie. */
export function modulesOf(tree: string, kernel: string): string {
  return join(tree, 'usr/lib/modules', basename(kernel).slice('vmlinuz-'.length), 'kernel')
}

function dom0Tree(): Promise<string> {
  return unpacked({
    name: 'dom0',
    architecture: 'arm64',
    packages: [
      ...['xen-hypervisor-4.20-arm64', 'xen-utils-4.20', 'xen-utils-common', 'xenstore-utils'],
      ...['linux-image-arm64', 'nodejs', 'busybox-static', 'bash', 'coreutils', 'grep', 'sed', 'gawk'],
      ...['kmod', 'mount', 'util-linux', 'procps', 'iproute2', 'curl'],
    ],
  })
}

function firstFilesystem(tree: string, init: string, modules: readonly Module[]): Uint8Array {
  const entries = new Map<string, Entry>()
  for (const name of ['dev', 'proc', 'sys', 'root']) entries.set(name, 'folder')
  entries.set('init', { file: init, executable: true })
  entries.set('bin/busybox', { file: readFileSync(join(tree, 'usr/bin/busybox')), executable: true })
  for (const { name, bytes } of modules) entries.set(`modules/${name}`, { file: bytes })
  entries.set('modules/order', { file: orderOf(modules) })
  return initramfs(entries)
}

async function rootFilesystem(
  root: string,
  tree: string,
  init: string,
  modules: readonly Module[],
): Promise<void> {
  mkdirSync(root)
  const excludes = LEFT_OUT.map(pattern => `--exclude=./${pattern}`)
  await run('sh', ['-c', 'tar -C "$0" -c "$@" . | tar -C "$ROOT" -x', tree, ...excludes], {
    env: { ROOT: root },
  })
  for (const folder of [...FOLDERS, ...STATE_FOLDERS]) mkdirSync(join(root, folder), { recursive: true })
  rmSync(join(root, 'var/run'), { recursive: true, force: true })
  symlinkSync('/run', join(root, 'var/run'))
  writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\n')
  writeFileSync(join(root, 'etc/group'), 'root:x:0:\n')
  writeFileSync(join(root, 'init'), init)
  chmodSync(join(root, 'init'), 0o755)
  for (const name of ['sh', 'vi', 'less', 'find', 'hostname']) {
    const link = join(root, 'usr/bin', name)
    if (!existsSync(link)) symlinkSync('busybox', link)
  }
  for (const { name, bytes } of modules) writeFileSync(join(root, 'modules', name), bytes)
  writeFileSync(join(root, 'modules/order'), orderOf(modules))
}

/** One module a line, as the scripts load them. */
export function orderOf(modules: readonly Module[]): string {
  return modules.map(({ name }) => `${name}\n`).join('')
}
