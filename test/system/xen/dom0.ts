// Xen's Dom0 on an emulated arm64 machine: boots it, runs commands in it, side by side, and shares a folder with it.
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Machine } from '../lib/machine.ts'
import type { Dom0Image } from './dom0-image.ts'

export interface Outcome {
  readonly status: number
  /** What the command printed, on both streams. */
  readonly output: string
}

export class Dom0 {
  readonly machine: Machine
  /** The folder that Dom0 sees as /share. */
  readonly share: string
  readonly #socket: Socket
  readonly #waiting = new Map<string, (status: number) => void>()
  #requests = 0
  #rest = ''

  private constructor(machine: Machine, socket: Socket, share: string) {
    this.machine = machine
    this.share = share
    this.#socket = socket
    socket.setEncoding('latin1').on('data', text => this.#read(String(text)))
  }

  /**
   * Boots and waits until commands can be given. `qemu` is QEMU's unpacked tree, `product` a filesystem that Dom0 finds
   * as /opt, `directory` an empty folder for this run.
   */
  static async boot(qemu: string, image: Dom0Image, product: string, directory: string): Promise<Dom0> {
    const share = join(directory, 'share')
    for (const name of ['out', 'consoles']) mkdirSync(join(share, name), { recursive: true })
    const control = join(directory, 'control')
    const machine = new Machine(qemu, machineArguments(image, product, share, control))
    while (!existsSync(control)) {
      if (machine.ended) throw new Error(`QEMU ended: ${machine.errors}`)
      await sleep(20)
    }
    const socket = connect(control)
    await once(socket, 'connect')
    const dom0 = new Dom0(machine, socket, share)
    const ready = dom0.#answer('ready')
    try {
      await within(ready, 180_000, 'Dom0 did not come up')
    } catch (error) {
      throw new Error(`${error}; its console's end:\n${machine.console.text.slice(-3000)}`)
    }
    return dom0
  }

  /** Runs a shell command in Dom0 to its end. */
  async run(command: string, timeoutMs = 60_000): Promise<Outcome> {
    const id = `${++this.#requests}`
    const answer = this.#answer(id)
    this.#socket.write(`${id} ${Buffer.from(command).toString('base64')}\n`)
    const status = await within(answer, timeoutMs, `still running in Dom0: ${command}`)
    return { status, output: readFileSync(join(this.share, 'out', id), 'utf8') }
  }

  /** What a command that must not fail printed. */
  async ask(command: string, timeoutMs?: number): Promise<string> {
    const { status, output } = await this.run(command, timeoutMs)
    if (status !== 0) throw new Error(`in Dom0: ${command}: exit ${status}: ${output}`)
    return output
  }

  /** Ends the machine. */
  async end(): Promise<void> {
    this.#socket.destroy()
    await this.machine.kill()
  }

  #answer(id: string): Promise<number> {
    return new Promise(resolve => this.#waiting.set(id, resolve))
  }

  #read(text: string): void {
    const lines = (this.#rest + text).split('\n')
    this.#rest = lines.pop() ?? ''
    for (const line of lines) {
      const [id = '', status] = line.trim().split(' ')
      this.#waiting.get(id)?.(Number(status))
      this.#waiting.delete(id)
    }
  }
}

function machineArguments(image: Dom0Image, product: string, share: string, control: string): string[] {
  const disk = (id: string, file: string, how: string): string[] => [
    ...['-drive', `if=none,id=${id},format=raw,file=${file},${how}`],
    ...['-device', `virtio-blk-device,drive=${id},serial=${id}`],
  ]
  return [
    ...['-M', 'virt,virtualization=on,gic-version=3', '-cpu', 'cortex-a57', '-smp', '2', '-m', '3G'],
    ...['-accel', 'tcg,thread=multi', '-kernel', image.xen],
    ...['-append', 'dom0_mem=1024M dom0_max_vcpus=2 console=dtuart guest_loglvl=error bootscrub=0'],
    ...['-device', `guest-loader,addr=0x50000000,kernel=${image.kernel},bootargs=console=hvc0 quiet`],
    ...['-device', `guest-loader,addr=0x56000000,initrd=${image.initramfs}`],
    ...disk('root', image.disk, 'snapshot=on'),
    ...disk('product', product, 'readonly=on'),
    ...['-fsdev', `local,id=share,path=${share},security_model=none`],
    ...['-device', 'virtio-9p-device,fsdev=share,mount_tag=share'],
    ...['-chardev', `socket,id=control,path=${control},server=on,wait=off`],
    ...['-device', 'virtio-serial-device', '-device', 'virtserialport,chardev=control,name=control'],
  ]
}

async function within<T>(promise: Promise<T>, timeoutMs: number, otherwise: string): Promise<T> {
  const late = new AbortController()
  const timer = sleep(timeoutMs, undefined, { signal: late.signal })
  try {
    return await Promise.race([
      promise,
      timer.then(() => {
        throw new Error(`${otherwise} (${timeoutMs / 1000} s)`)
      }),
    ])
  } finally {
    late.abort()
    timer.catch(() => {})
  }
}
