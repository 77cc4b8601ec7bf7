// The stock Linux guest: Debian's kernel and modules with a shell on its console. Nothing of it knows of the mediator.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Entry, initramfs } from '../lib/initramfs.ts'
import { type Dom0Image, modulesOf, orderOf } from './dom0-image.ts'
import { kernelModules } from './kernel-modules.ts'

/** Debian's drivers of the devices in guests/linux/*.dts. */
const modules = ['fixed', 'leds-regulator']

/** Its first filesystem, with Debian's drivers. */
export async function linuxInitramfs(image: Dom0Image): Promise<Uint8Array> {
  const loaded = await kernelModules(modulesOf(image.tree, image.kernel), modules)
  const entries = new Map<string, Entry>()
  for (const name of ['dev', 'proc', 'sys']) entries.set(name, 'folder')
  entries.set('init', {
    file: readFileSync(join(import.meta.dirname, 'guests/linux/init.sh')),
    executable: true,
  })
  entries.set('bin/busybox', { file: readFileSync(join(image.tree, 'usr/bin/busybox')), executable: true })
  for (const { name, bytes } of loaded) entries.set(`modules/${name}`, { file: bytes })
  entries.set('modules/order', { file: orderOf(loaded) })
  return initramfs(entries)
}
