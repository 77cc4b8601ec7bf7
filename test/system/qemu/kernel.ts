// Debian's own arm64 kernel for the guests, with the SCMI drivers that Debian leaves off built as modules from Debian's
// own source of that kernel.
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { once } from '../lib/cache.ts'
import { inTree } from '../lib/chroot.ts'
import { apt, unpacked } from '../lib/debian.ts'
import { run } from '../lib/process.ts'
import { buildTree } from '../lib/trees.ts'

/** The test's own modules, and how all modules are built. */
const own = fileURLToPath(new URL('guest/', import.meta.url))
const ownSources = ['Kbuild', 'consumer.c', 'events.c']

/** What is taken from the kernel source: the transport with the headers it includes, and two drivers. */
const taken = ['firmware/arm_scmi', 'hwmon/scmi-hwmon.c', 'regulator/scmi-regulator.c']

/** Modules in the order to load them. */
const modules = ['scmi-hwmon', 'scmi-regulator', 'consumer', 'events', 'scmi_transport_virtio']

/** A kernel ready to boot. */
export interface Kernel {
  /** As `uname -r` says. */
  readonly release: string
  /** Path of the kernel image. */
  readonly image: string
  /** Paths of modules, in the order to load them. */
  readonly modules: readonly string[]
}

/** Debian's kernel packages of one version, unpacked. */
export interface KernelPackages {
  /** Version as the packages' names have it: `6.12.107+deb13`. */
  readonly release: string
  /** The tree: image, headers, source, and a static busybox. */
  readonly tree: string
}

/** The newest packages there were when this was first asked for. */
export async function kernelPackages(): Promise<KernelPackages> {
  const place = await once('linux-packages', taken, async directory => {
    const told = await (await apt()).query('show', '--no-all-versions', 'linux-image-arm64:arm64')
    const version = /^Version: (\S+)$/m.exec(told)?.[1]
    const release = /^Depends: linux-image-(\S+)-arm64 /m.exec(told)?.[1]
    if (version === undefined || release === undefined) throw new Error('linux-image-arm64 names no kernel')
    const tree = await unpacked({
      name: 'linux',
      alone: [
        ...[`linux-image-${release}-arm64:arm64`, `linux-headers-${release}-arm64:arm64`],
        ...[`linux-headers-${release}-common`, `linux-kbuild-${release}`],
        ...[`linux-source-${series(release)}=${version}`, 'busybox-static:arm64'],
      ],
    })
    writeFileSync(join(directory, 'packages.json'), JSON.stringify({ release, tree }))
  })
  return JSON.parse(readFileSync(join(place, 'packages.json'), 'utf8'))
}

/** `6.12` of `6.12.107+deb13`. */
const series = (release: string): string => release.split('.').slice(0, 2).join('.')

/** Path of the source archive, and the folder that it unpacks to. */
export function kernelSource({ release, tree }: KernelPackages): { archive: string; folder: string } {
  const folder = `linux-source-${series(release)}`
  return { archive: join(tree, `usr/src/${folder}.tar.xz`), folder }
}

/** Debian's kernel and the modules, built where they are not in the cache. */
export async function debianKernel(): Promise<Kernel> {
  const packages = await kernelPackages()
  const { release, tree } = packages
  const sources = ownSources.map(name => readFileSync(join(own, name), 'utf8'))
  const built = await once('linux-modules', [release, taken, sources], async directory => {
    const { archive, folder } = kernelSource(packages)
    const members = taken.map(path => `${folder}/drivers/${path}`)
    await run('tar', ['-xJf', archive, '-C', directory, '--strip-components=1', ...members])
    for (const name of ownSources) copyFileSync(join(own, name), join(directory, name))
    const headers = `/usr/src/linux-headers-${release}-arm64`
    const make = `make -s -j2 -C ${headers} M=/work CONFIG_DEBUG_INFO_BTF_MODULES= modules` // nobody needs type tables
    await inTree(await buildTree(), directory, make, {
      '/usr/src': join(tree, 'usr/src'),
      [`/usr/lib/linux-kbuild-${release}`]: join(tree, `usr/lib/linux-kbuild-${release}`),
    })
  })
  return {
    release: `${release}-arm64`,
    image: join(tree, `boot/vmlinuz-${release}-arm64`),
    modules: modules.map(name => join(built, `${name}.ko`)),
  }
}
