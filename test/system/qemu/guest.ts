// A guest of the test: Debian's kernel in QEMU with the SCMI device that a vhost-user back end serves.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Entry, initramfs } from '../lib/initramfs.ts'
import { Machine } from '../lib/machine.ts'
import { run } from '../lib/process.ts'
import { Qmp } from '../lib/qmp.ts'
import { programOf } from '../lib/trees.ts'
import { type TracedFrame, tracedFrames } from './trace.ts'

/** What a guest is started from. */
export interface GuestSpec {
  /** What it is called in messages. */
  readonly name: string
  /** QEMU's unpacked tree. */
  readonly qemu: string
  /** The kernel image. */
  readonly image: string
  /** Modules to load, in this order. */
  readonly modules: readonly string[]
  /** A static busybox for arm64. */
  readonly busybox: string
  /** Further files of the initramfs, executable, by their path there. */
  readonly programs?: Readonly<Record<string, string>>
  /** Source of the device tree, made from QEMU's own tree of this machine: the path of its blob. */
  readonly tree: (machine: string) => Promise<string>
  /** Socket of the vhost-user back end; `server`: QEMU listens there, and the back end connects. */
  readonly socket: { readonly path: string; readonly server: boolean }
  /** More for the kernel's command line. */
  readonly append?: string
}

/** Everything is mounted, then the modules are loaded; what is typed afterwards goes to a shell, line by line. */
const init = (modules: readonly string[]): string => `#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp /bin
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox --install -s /bin
export PATH=/bin
mount -t debugfs debug /sys/kernel/debug
mount -t tracefs trace /sys/kernel/tracing
echo 1 > /sys/kernel/tracing/events/scmi/scmi_msg_dump/enable
stty -echo < /dev/console
${modules.map(name => `insmod /modules/${name} || echo "cannot load ${name}"`).join('\n')}
echo GUEST-READY
# Not a terminal for the shell, which would edit lines; and not cat, whose sendfile keeps a line until the next comes.
while read -r line; do printf '%s\\n' "$line"; done < /dev/console | sh
`

/**
 * Shell command that reads a sensor, `temp1` or `in0`, over and over in the background, counting in /tmp/read, until there
 * is a /tmp/stop; what fails leaves /tmp/failed.
 */
export const readSensor = (sensor: string): string => `(n=0; while [ ! -e /tmp/stop ]; do
  if read -r value < /sys/class/hwmon/hwmon0/${sensor}_input; then n=$((n+1)); echo $n > /tmp/read; else echo "after $n" > /tmp/failed; fi
done) < /dev/null > /dev/null 2>&1 &`

/** One running guest. */
export class Guest {
  readonly name: string
  readonly machine: Machine
  readonly #directory: string

  private constructor(name: string, machine: Machine, directory: string) {
    this.name = name
    this.machine = machine
    this.#directory = directory
  }

  /** Starts QEMU. With a socket of the back end's, that must be listening. */
  static async start(spec: GuestSpec): Promise<Guest> {
    const directory = mkdtempSync(join(tmpdir(), 'scmi-guest-'))
    const at = (name: string): string => join(directory, name)
    writeFileSync(at('initramfs'), archive(spec))
    await deviceTree(spec, at)
    const chardev = `socket,id=scmi,path=${spec.socket.path}${spec.socket.server ? ',server=on' : ''}`
    const machine = new Machine(spec.qemu, [
      ...hardware(),
      ...['-kernel', spec.image, '-initrd', at('initramfs'), '-dtb', at('guest.dtb')],
      ...['-append', `console=ttyAMA0 loglevel=4 ${spec.append ?? ''}`],
      ...['-action', 'reboot=reset', '-qmp', `unix:${at('qmp')},server=on,wait=off`],
      ...['-object', `memory-backend-memfd,id=memory,size=${memory},share=on`],
      ...['-chardev', chardev, '-device', 'vhost-user-scmi-pci,chardev=scmi'],
    ])
    return new Guest(spec.name, machine, directory)
  }

  /** Waits until its shell is there. */
  async ready(from = 0, timeoutMs = 120_000): Promise<void> {
    await this.machine.console.wait(/^GUEST-READY$/m, { from, timeoutMs })
  }

  /** The guest restarts itself: the same QEMU, a new kernel. */
  async reboot(): Promise<void> {
    const from = this.machine.console.text.length
    this.machine.console.type('reboot -f\n')
    await this.ready(from)
  }

  /** Stops the virtual machine and lets it go on, as a VMM does around a snapshot. */
  async pause(milliseconds: number): Promise<void> {
    const qmp = await Qmp.connect(join(this.#directory, 'qmp'))
    await qmp.command('stop')
    await sleep(milliseconds)
    await qmp.command('cont')
    qmp.close()
  }

  /** Runs a command in the guest. */
  shell(command: string, timeoutMs?: number): Promise<{ code: number; output: string }> {
    return this.machine.console.shell(command, timeoutMs)
  }

  /** What a command wrote in the guest; throws when it fails. */
  async ask(command: string, timeoutMs?: number): Promise<string> {
    const { code, output } = await this.shell(command, timeoutMs)
    if (code !== 0) throw new Error(`${this.name}: ${command}: exit ${code}: ${output}`)
    return output
  }

  /** Runs a command over and over until what it wrote matches; gives that. */
  async until(command: string, pattern: RegExp, timeoutMs = 30_000): Promise<string> {
    const until = performance.now() + timeoutMs
    for (;;) {
      const { output } = await this.shell(command, timeoutMs)
      if (pattern.test(output)) return output
      if (performance.now() > until)
        throw new Error(`${this.name}: ${command}: no ${pattern} in …${output.slice(-1500)}`)
      await sleep(200)
    }
  }

  /** How often `readSensor` has read so far. */
  async readings(): Promise<number> {
    return Number(await this.until('cat /tmp/read', /^\d+$/)) // empty for the moment in which it is written
  }

  /** Names in a folder that match, in order. */
  async list(folder: string, names: RegExp): Promise<string[]> {
    return (await this.ask(`ls -1 ${folder}`))
      .split('\n')
      .filter(name => names.test(name))
      .sort()
  }

  /** An attribute of a consumer device. */
  read(device: string, attribute: string): Promise<string> {
    return this.ask(`cat /sys/bus/platform/devices/${device}/${attribute}`)
  }
  async write(device: string, attribute: string, value: number): Promise<void> {
    await this.ask(`echo ${value} > /sys/bus/platform/devices/${device}/${attribute}`)
  }

  /** The guest's kernel log, each line behind a colon: the console leaves out what begins like the kernel's lines. */
  log(): Promise<string> {
    return this.ask("dmesg | sed 's/^/:/'")
  }

  /** The frames of this guest that its kernel's tracing still has, oldest first. */
  async frames(): Promise<TracedFrame[]> {
    return tracedFrames(await this.ask('cat /sys/kernel/tracing/trace'))
  }

  /** Ends QEMU. */
  async destroy(): Promise<void> {
    await this.machine.kill()
    rmSync(this.#directory, { recursive: true, force: true })
  }
}

const memory = '256M'

const hardware = (more = ''): string[] => [
  ...['-M', `virt,gic-version=2,memory-backend=memory${more}`, '-accel', 'tcg'],
  ...['-cpu', 'cortex-a57', '-smp', '1', '-m', memory],
]

function archive({ busybox, modules, programs = {} }: GuestSpec): Buffer {
  const files = new Map<string, Entry>()
  files.set('bin/busybox', { file: readFileSync(busybox), executable: true })
  for (const path of modules) files.set(`modules/${basename(path)}`, { file: readFileSync(path) })
  for (const [name, path] of Object.entries(programs))
    files.set(name, { file: readFileSync(path), executable: true })
  files.set('init', { file: init(modules.map(path => basename(path))), executable: true })
  return initramfs(files)
}

/** Dumps QEMU's own tree, has it completed, and compiles that. */
async function deviceTree({ qemu, tree }: GuestSpec, at: (name: string) => string): Promise<void> {
  const [command, ...first] = programOf(qemu, 'usr/bin/qemu-system-aarch64')
  const backend = ['-object', `memory-backend-memfd,id=memory,size=${memory},share=on`]
  const dump = hardware(`,dumpdtb=${at('qemu.dtb')}`)
  await run(command, [...first, ...dump, ...backend, '-display', 'none', '-nodefaults', '-serial', 'null'])
  writeFileSync(at('guest.dts'), await tree(at('qemu.dtb')))
  const [compiler, ...own] = programOf(qemu, 'usr/bin/dtc')
  await run(compiler, [...own, '-q', '-I', 'dts', '-O', 'dtb', '-o', at('guest.dtb'), at('guest.dts')])
}
