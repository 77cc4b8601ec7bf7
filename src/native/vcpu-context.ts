// A vCPU's registers as the toolstack reads and writes them: `vcpu_guest_context` on arm64 (arch-arm.h), 352 bytes.
import { vcpuContextBytes, type Xen } from './libxen.ts'
import { NativeMemory } from './native-memory.ts'

const x0Word = 8 / 4
const pcWord = 256 / 4
const cpsrWord = 264 / 4
const sctlrWord = 320 / 4
/** Bit 0 of `flags`: the vCPU is up. */
const ONLINE = 1
/** PSTATE.nRW: the vCPU is in 32-bit state. */
const AARCH32 = 1 << 4
/** What Xen starts a 64-bit vCPU with: PSR_GUEST64_INIT, SCTLR_GUEST_INIT. */
const initialPsr = 0x3c5
const initialSctlr = 0x00c50078

/** Registers of one vCPU in memory of ours. 64-bit registers are pairs of 32-bit words, low word first. */
export class VcpuContext {
  readonly #memory = NativeMemory.allocate(vcpuContextBytes)
  /** The words of x0 to x30, low word first. */
  readonly registers = this.#memory.ints.subarray(x0Word, x0Word + 62)

  /** Reads a vCPU that does not run: 0 or -errno. */
  read(xen: Xen, domid: number, vcpu: number): number {
    return xen.getContext(domid, vcpu, this.#memory.address)
  }
  /** Gives the registers to a vCPU: 0 or -errno. */
  write(xen: Xen, domid: number, vcpu: number): number {
    return xen.setContext(domid, vcpu, this.#memory.address)
  }

  get is32Bit(): boolean {
    return ((this.#memory.ints[cpsrWord] as number) & AARCH32) !== 0
  }

  /** The program counter; exact, as addresses of guests lie below 2^53 or are kernel addresses only compared. */
  get pcLow(): number {
    return this.#memory.ints[pcWord] as number
  }
  get pcHigh(): number {
    return this.#memory.ints[pcWord + 1] as number
  }

  /** x0 as an unsigned number: an address. Above 2^53 it is not exact. */
  get x0(): number {
    const { words } = this.#memory
    return (words[x0Word] as number) + (words[x0Word + 1] as number) * 2 ** 32
  }

  /** Puts a signed 32-bit number into x0, extended to 64 bits. */
  setX0(value: number): void {
    this.registers[0] = value
    this.registers[1] = value >> 31
  }

  /** Steps over the instruction that trapped: an SMC has 4 bytes. */
  advance(): void {
    const { ints } = this.#memory
    const low = (ints[pcWord] as number) | 0
    ints[pcWord] = low + 4
    if (low >>> 0 >= 0xfffffffc) ints[pcWord + 1] = (ints[pcWord + 1] as number) + 1
  }

  /** Marks the vCPU as down. */
  setOffline(): void {
    this.#memory.ints[0] = (this.#memory.ints[0] as number) & ~ONLINE
  }

  /** The registers of a vCPU that PSCI starts at `entry` with `context` in x0; all else as at reset. */
  reset(entryLow: number, entryHigh: number, contextLow: number, contextHigh: number): void {
    const { ints } = this.#memory
    for (let i = 0; i < vcpuContextBytes / 4; i++) ints[i] = 0
    ints[0] = ONLINE
    ints[x0Word] = contextLow
    ints[x0Word + 1] = contextHigh
    ints[pcWord] = entryLow
    ints[pcWord + 1] = entryHigh
    ints[cpsrWord] = initialPsr
    ints[sctlrWord] = initialSctlr
  }

  release(): void {
    this.#memory.release()
  }
}
