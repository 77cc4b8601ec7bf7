// Does what PSCI calls ask for: starts and stops a domain's vCPUs, tells which are up, shuts the domain down.
import type { Xen } from '../../native/libxen.ts'
import { VcpuContext } from '../../native/vcpu-context.ts'
import {
  AFFINITY_OFF,
  AFFINITY_ON,
  type CallAnswer,
  PSCI_ALREADY_ON,
  PSCI_DENIED,
  PSCI_INVALID_PARAMETERS,
  PSCI_SUCCESS,
} from './psci.ts'

/** SHUTDOWN_ codes of xen/include/public/sched.h. */
const SHUTDOWN_POWEROFF = 0
const SHUTDOWN_REBOOT = 1
/** `online` of `xc_vcpuinfo_t`. */
const onlineByte = 4

/** One domain's vCPUs. Calls come one after another, as the relay is one thread. */
export class VcpuPower {
  readonly #xen: Xen
  readonly #domid: number
  readonly #vcpus: number
  readonly #context = new VcpuContext()

  constructor(xen: Xen, domid: number, vcpus: number) {
    this.#xen = xen
    this.#domid = domid
    this.#vcpus = vcpus
  }

  /** CPU_ON as do_common_cpu_on in xen/arch/arm/vpsci.c: `registers` are the caller's. Gives PSCI's return code. */
  start({ vcpu, wide, value }: CallAnswer, registers: Int32Array): number {
    if (vcpu >= this.#vcpus) return PSCI_INVALID_PARAMETERS
    if (value !== PSCI_SUCCESS) return value
    if (this.#isUp(vcpu)) return PSCI_ALREADY_ON
    this.#context.reset(
      registers[4] as number,
      wide ? (registers[5] as number) : 0,
      registers[6] as number,
      wide ? (registers[7] as number) : 0,
    )
    return this.#context.write(this.#xen, this.#domid, vcpu) < 0 ? PSCI_DENIED : PSCI_SUCCESS
  }

  /** AFFINITY_INFO: whether a vCPU with those affinity bits is up. */
  affinity({ vcpu: bits, level }: CallAnswer): number {
    const mask = level >= 3 ? 0 : ~((1 << (8 * level)) - 1)
    for (let vcpu = 0; vcpu < this.#vcpus; vcpu++)
      if ((vcpu & mask) === bits && this.#isUp(vcpu)) return AFFINITY_ON
    return AFFINITY_OFF
  }

  /** Shuts the domain down; its toolstack sees to the rest. 0 or -errno. */
  powerOff(): number {
    return this.#xen.shutdown(this.#domid, SHUTDOWN_POWEROFF)
  }
  reset(): number {
    return this.#xen.shutdown(this.#domid, SHUTDOWN_REBOOT)
  }

  release(): void {
    this.#context.release()
  }

  #isUp(vcpu: number): boolean {
    return this.#xen.vcpuInfo(this.#domid, vcpu) >= 0 && this.#xen.scratch.bytes[onlineByte] === 1
  }
}
