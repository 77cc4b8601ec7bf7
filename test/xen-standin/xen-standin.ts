// Xen's libraries without Xen, for tests: compiles the stand-in, and acts as toolstack and guests over it.
import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import koffi from 'koffi'
import type { XenLibraries } from '../../src/native/xen-libraries.ts'

/** What `look` tells of the machine and of one domain. */
export interface Look {
  readonly mappings: number
  readonly handles: number
  readonly calls: number
  readonly there: boolean
  readonly pauses: number
  readonly enabled: boolean
  readonly monitored: boolean
  readonly shutdown: number
  readonly answeredByXen: number
  readonly freePages: number
  readonly unpauses: number
}

export interface VcpuLook {
  readonly down: boolean
  readonly waits: boolean
  readonly traps: number
  readonly starts: number
  readonly pc: number
  readonly x0: number
  readonly sctlr: number
  readonly cpsr: number
}

type Call = ((...values: unknown[]) => number) & {
  async: (...values: unknown[]) => void
}

/** Whether there is a compiler; without one these tests are skipped. */
export const hasCompiler = spawnSync('gcc', ['--version']).status === 0

/** Where the shared page of tests lies, and where their guests' trees do. */
export const sharedPage = 0x22001000
export const treeAddress = 0x48000000
export const smcId = 0x82000002

let library: string | undefined

/** Compiles the library, once in a process. */
function compiled(): string {
  if (library !== undefined) return library
  const path = join(mkdtempSync(join(tmpdir(), 'xen-standin-')), 'compiled.so')
  const source = join(import.meta.dirname, 'xen-standin.c')
  const { status, stderr } = spawnSync(
    'gcc',
    ['-O1', '-g', '-shared', '-fPIC', '-o', path, source, '-lpthread', '-ldl'],
    { encoding: 'utf8' },
  )
  if (status !== 0) throw new Error(stderr)
  library = path
  return path
}

export class XenStandin {
  readonly path: string
  readonly libraries: XenLibraries
  readonly #functions: Record<string, Call> = {}

  private constructor(path: string) {
    this.path = path
    this.libraries = { xenctrl: path, xenevtchn: path, xenforeignmemory: path }
    const library = koffi.load(path)
    const prototypes = [
      'int standin_create(uint32_t, uint32_t, uint32_t)',
      'int standin_destroy(uint32_t)',
      'int standin_unpause(uint32_t)',
      'void standin_set_x0(uint32_t, uint64_t, uint64_t)',
      'void standin_set_up(uint32_t, uint32_t)',
      'void standin_building(uint32_t)',
      'void standin_without_monitor_page(uint32_t)',
      'void standin_without_vm_event(int)',
      'void standin_deny(int)',
      'int standin_memory(uint32_t, uint64_t, uint8_t *, uint32_t, int)',
      'void standin_strike(int, uint32_t, int, int)',
      'void standin_look(uint32_t, int64_t *)',
      'void standin_vcpu(uint32_t, uint32_t, int64_t *)',
      'int standin_smc(uint32_t, uint32_t, uint64_t *)',
      'int standin_program(uint32_t, uint32_t, uint64_t, uint64_t, const uint32_t *, uint32_t, int, uint32_t, void *)',
      'int standin_rewriter(uint32_t, uint64_t, int)',
    ]
    for (const prototype of prototypes) {
      const name = prototype.slice(prototype.indexOf(' ') + 1, prototype.indexOf('('))
      this.#functions[name] = library.func(prototype) as unknown as Call
    }
  }

  /** A machine of its own: the library's name is its state's. */
  static build(): XenStandin {
    const path = join(mkdtempSync(join(tmpdir(), 'xen-standin-')), 'libxen-standin.so')
    copyFileSync(compiled(), path)
    return new XenStandin(path)
  }

  #uuids = 1

  /** A paused domain, as `xl create -p` leaves it; with a tree, x0 of vCPU 0 points to it. */
  create(
    domid: number,
    { vcpus = 1, uuid = this.#uuids++, tree }: { vcpus?: number; uuid?: number; tree?: Uint8Array } = {},
  ): void {
    if (this.#call('standin_create', domid, vcpus, uuid) !== 0) throw new Error('no more domains')
    if (tree === undefined) return
    this.write(domid, treeAddress, tree)
    this.setX0(domid, treeAddress)
  }
  destroy(domid: number): void {
    this.#call('standin_destroy', domid)
  }
  unpause(domid: number): void {
    this.#call('standin_unpause', domid)
  }
  setX0(domid: number, address: number, cpsr = 0x3c5): void {
    this.#call('standin_set_x0', domid, address, cpsr)
  }
  /** Starts a vCPU as a guest's own firmware would. */
  setUp(domid: number, vcpu: number): void {
    this.#call('standin_set_up', domid, vcpu)
  }
  /** As long as its builder is at it: vCPU 0 has no context, until `setUp`. */
  building(domid: number): void {
    this.#call('standin_building', domid)
  }
  withoutMonitorPage(domid: number): void {
    this.#call('standin_without_monitor_page', domid)
  }
  withoutVmEvent(on: boolean): void {
    this.#call('standin_without_vm_event', on ? 1 : 0)
  }
  deny(on: boolean): void {
    this.#call('standin_deny', on ? 1 : 0)
  }

  write(domid: number, address: number, bytes: Uint8Array): void {
    const result = this.#call('standin_memory', domid, address, bytes, bytes.length, 1)
    if (result !== 0) throw new Error(`no memory at 0x${address.toString(16)}`)
  }
  read(domid: number, address: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length)
    const result = this.#call('standin_memory', domid, address, bytes, length, 0)
    if (result !== 0) throw new Error(`no memory at 0x${address.toString(16)}`)
    return bytes
  }
  /** The words of a message area. */
  words(domid: number, count = 16, address = sharedPage): Uint32Array {
    return new Uint32Array(this.read(domid, address, count * 4).buffer)
  }
  writeWords(domid: number, values: readonly number[], address = sharedPage): void {
    this.write(domid, address, new Uint8Array(Uint32Array.from(values).buffer))
  }

  /** After so many more calls of the product the domain dies, or the call fails with `errno`, and those after it; -1: never. */
  strike(after: number, domid = 0, errno = 0, on = false): void {
    this.#call('standin_strike', after, domid, errno, on ? 1 : 0)
  }

  look(domid = 0): Look {
    const to = new BigInt64Array(11)
    this.#call('standin_look', domid, to)
    const n = Array.from(to, Number) as [number, ...number[]]
    const [mappings, handles = 0, calls = 0, there, pauses = 0, enabled, monitored, shutdown = -1] = n
    const [answeredByXen = 0, freePages = 0, unpauses = 0] = n.slice(8)
    return {
      mappings,
      handles,
      calls,
      there: there === 1,
      pauses,
      enabled: enabled === 1,
      monitored: monitored === 1,
      shutdown,
      answeredByXen,
      freePages,
      unpauses,
    }
  }

  vcpu(domid: number, vcpu: number): VcpuLook {
    const to = new BigInt64Array(8)
    this.#call('standin_vcpu', domid, vcpu, to)
    const [down, waits, traps = 0, starts = 0, pc = 0, x0 = 0, sctlr = 0, cpsr = 0] = Array.from(to, Number)
    return { down: down === 1, waits: waits !== 0, traps, starts, pc, x0, sctlr, cpsr }
  }

  /** One SMC with x0 to x7; resolves with the registers when it returns, `undefined` when the vCPU or domain ended. */
  async smc(domid: number, vcpu: number, ...x: (number | bigint)[]): Promise<readonly bigint[] | undefined> {
    const registers = new BigUint64Array(8)
    for (const [i, value] of x.entries()) registers[i] = BigInt.asUintN(64, BigInt(value))
    const result = await this.#later('standin_smc', domid, vcpu, registers)
    return result === 0 ? Array.from(registers) : undefined
  }

  /** A guest that sends the same frame `count` times; how many went wrong. `status` is what each must be answered. */
  program(
    domid: number,
    vcpu: number,
    frame: readonly number[],
    { count = 1, status = 0, id = smcId, address = sharedPage } = {},
  ): Promise<number> {
    const words = Uint32Array.from(frame)
    return this.#later(
      'standin_program',
      domid,
      vcpu,
      id,
      address,
      words,
      words.length * 4,
      count,
      status,
      null,
    )
  }

  /** A guest that writes nonsense over the area for so long; how often. */
  rewriter(domid: number, milliseconds: number, address = sharedPage): Promise<number> {
    return this.#later('standin_rewriter', domid, address, milliseconds)
  }

  #call(name: string, ...values: unknown[]): number {
    return (this.#functions[name] as Call)(...values)
  }
  #later(name: string, ...values: unknown[]): Promise<number> {
    return new Promise((resolve, reject) =>
      (this.#functions[name] as Call).async(...values, (error: unknown, result: number) =>
        error === null ? resolve(result) : reject(error),
      ),
    )
  }
}
