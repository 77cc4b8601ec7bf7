// What PSCI and SMCCC calls of a guest mean: function id and registers to an action. Pure; it touches no vCPU.
//
// Once a guest's conduit is SMC, Xen's own virtual PSCI hears nothing of it: this answers as xen/arch/arm/vpsci.c and
// vsmc.c do, less what only the hypervisor can do (the workaround calls). Arm DEN0022 (PSCI 1.1), DEN0028 (SMCCC 1.1).

/** The call returns `value` in x0. */
export const RETURN = 0
/** The call returns, and no register changes. */
export const UNCHANGED = 1
/** Start vCPU `vcpu`; entry point and context id are x2 and x3, of which `wide` says how much counts. */
export const CPU_ON = 2
/** The calling vCPU goes down and does not return. */
export const CPU_OFF = 3
/** Whether a vCPU whose affinity is `vcpu` at levels from `level` on is up. */
export const AFFINITY_INFO = 4
/** The domain shuts down; should the call return all the same, then with `value`. */
export const SYSTEM_OFF = 5
export const SYSTEM_RESET = 6

/** PSCI return codes. */
export const PSCI_SUCCESS = 0
const PSCI_NOT_SUPPORTED = -1
export const PSCI_INVALID_PARAMETERS = -2
export const PSCI_DENIED = -3
export const PSCI_ALREADY_ON = -4
const PSCI_INTERNAL_FAILURE = -6
const PSCI_INVALID_ADDRESS = -9
/** What AFFINITY_INFO tells. */
export const AFFINITY_ON = 0
export const AFFINITY_OFF = 1

/** One answer, filled anew by each call, so that a call makes no garbage. */
export class CallAnswer {
  action = RETURN
  /** x0, signed; extended to 64 bits. */
  value = 0
  /** The vCPU, or affinity bits, that the call is about. */
  vcpu = 0
  level = 0
  wide = false
}

const SMC64 = 0x40000000
const psciVersion = (1 << 16) | 1
const smcccVersion = (1 << 16) | 1
/** MIGRATE_INFO_TYPE: no trusted OS, or one that needs no migration. */
const noMigration = 2

const FN_SMCCC_VERSION = 0x80000000 | 0
const FN_ARCH_FEATURES = 0x80000001 | 0
const FN_WORKAROUND_1 = 0x80008000 | 0
const FN_WORKAROUND_2 = 0x80007fff | 0
const FN_WORKAROUND_3 = 0x80003fff | 0
const FN_PSCI_VERSION = 0x84000000 | 0
const FN_CPU_SUSPEND = 0x84000001 | 0
const FN_CPU_OFF = 0x84000002 | 0
const FN_CPU_ON = 0x84000003 | 0
const FN_AFFINITY_INFO = 0x84000004 | 0
const FN_MIGRATE_INFO_TYPE = 0x84000006 | 0
const FN_SYSTEM_OFF = 0x84000008 | 0
const FN_SYSTEM_RESET = 0x84000009 | 0
const FN_PSCI_FEATURES = 0x8400000a | 0

/** Reads the call in `registers` (words of x0, x1, …, low word first) and fills `answer`. */
export function answerCall(registers: Int32Array, answer: CallAnswer): void {
  const id = registers[0] as number
  const wide = (id & SMC64) !== 0
  answer.action = RETURN
  answer.value = PSCI_NOT_SUPPORTED
  answer.wide = wide
  switch (id) {
    case FN_SMCCC_VERSION:
      answer.value = smcccVersion
      return
    case FN_ARCH_FEATURES:
      // Never 0 and never 1: whether a workaround is needed, and doing it, is the hypervisor's alone.
      return
    case FN_WORKAROUND_1:
    case FN_WORKAROUND_2:
    case FN_WORKAROUND_3:
      answer.action = UNCHANGED
      return
    case FN_PSCI_VERSION:
      answer.value = psciVersion
      return
    case FN_CPU_SUSPEND:
    case FN_CPU_SUSPEND | SMC64:
      answer.value = PSCI_SUCCESS
      return
    case FN_CPU_OFF:
      answer.action = CPU_OFF
      return
    case FN_CPU_ON:
    case FN_CPU_ON | SMC64:
      return startCall(registers, answer)
    case FN_AFFINITY_INFO:
    case FN_AFFINITY_INFO | SMC64:
      return affinityCall(registers, answer)
    case FN_MIGRATE_INFO_TYPE:
      answer.value = noMigration
      return
    case FN_SYSTEM_OFF:
      answer.action = SYSTEM_OFF
      answer.value = PSCI_INTERNAL_FAILURE
      return
    case FN_SYSTEM_RESET:
      answer.action = SYSTEM_RESET
      answer.value = PSCI_INTERNAL_FAILURE
      return
    case FN_PSCI_FEATURES:
      answer.value = hasFeature(registers[2] as number) ? PSCI_SUCCESS : PSCI_NOT_SUPPORTED
      return
  }
}

/** Aff0 counts sixteen vCPUs, Aff1 groups of them; higher levels are not looked at (vaffinity_to_vcpuid). */
function startCall(registers: Int32Array, answer: CallAnswer): void {
  const target = registers[2] as number
  const entry = registers[4] as number
  answer.vcpu = (target & 0xff) | (((target >>> 8) & 0xff) << 4)
  answer.action = CPU_ON
  answer.value = (entry & 1) === 0 ? PSCI_SUCCESS : PSCI_INVALID_ADDRESS
}

/** Affinity bits of levels below `level` do not count; a vCPU's own are its number, as there are at most 16. */
function affinityCall(registers: Int32Array, answer: CallAnswer): void {
  const level = registers[4] as number
  if (level < 0 || level > 3) {
    answer.value = PSCI_INVALID_PARAMETERS
    return
  }
  const high = answer.wide ? (registers[3] as number) & 0xff : 0
  const low = level === 3 ? 0 : (registers[2] as number) & 0xffffff & ~((1 << (8 * level)) - 1)
  answer.action = AFFINITY_INFO
  answer.level = level
  // No vCPU of ours has Aff3: such a target is none of them at any level.
  answer.vcpu = high === 0 ? low : -1
}

function hasFeature(id: number): boolean {
  switch (id) {
    case FN_PSCI_VERSION:
    case FN_CPU_SUSPEND:
    case FN_CPU_SUSPEND | SMC64:
    case FN_CPU_OFF:
    case FN_CPU_ON:
    case FN_CPU_ON | SMC64:
    case FN_AFFINITY_INFO:
    case FN_AFFINITY_INFO | SMC64:
    case FN_MIGRATE_INFO_TYPE:
    case FN_SYSTEM_OFF:
    case FN_SYSTEM_RESET:
    case FN_PSCI_FEATURES:
    case FN_SMCCC_VERSION:
      return true
    default:
      return false
  }
}
