// The unpacked trees that system tests share.
import { join } from 'node:path'
import { machine, unpacked } from './debian.ts'

/** QEMU for arm64 and the device tree compiler, for this machine. */
export const qemuTree = (): Promise<string> =>
  unpacked({ name: 'qemu', packages: ['qemu-system-arm', 'device-tree-compiler'] })

/** A cross compiler for arm64, and what Linux wants besides to be built; run scripts in it by `inTree`. */
export const buildTree = (): Promise<string> =>
  unpacked({
    name: 'build',
    packages: [
      ...[
        'gcc-aarch64-linux-gnu',
        'libc6-dev-arm64-cross',
        'gcc',
        'libc6-dev',
        'make',
        'bc',
        'flex',
        'bison',
      ],
      ...[
        'dash',
        'bash',
        'coreutils',
        'findutils',
        'diffutils',
        'grep',
        'sed',
        'gawk',
        'tar',
        'gzip',
        'xz-utils',
      ],
      ...['perl', 'kmod', 'cpio'],
    ],
    links: { 'usr/bin/awk': 'gawk' },
  })

/** A program of a tree, as a command and leading arguments that run it with the tree's own C library. */
export function programOf(tree: string, program: string): [string, ...string[]] {
  const triplet = machine === 'amd64' ? 'x86_64-linux-gnu' : 'aarch64-linux-gnu'
  const loader = machine === 'amd64' ? 'lib64/ld-linux-x86-64.so.2' : 'lib/ld-linux-aarch64.so.1'
  const libraries = [join(tree, 'usr/lib', triplet), join(tree, 'usr/lib')].join(':')
  return [join(tree, loader), '--library-path', libraries, join(tree, program)]
}
