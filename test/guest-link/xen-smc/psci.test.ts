// PSCI and SMCCC as a guest under Xen finds them, call by call: expected values from xen/arch/arm/vpsci.c and vsmc.c,
// DEN0022 and DEN0028, but for what only the hypervisor can do.
import { describe, expect, test } from 'vitest'
import {
  AFFINITY_INFO,
  answerCall,
  CallAnswer,
  CPU_OFF,
  CPU_ON,
  RETURN,
  SYSTEM_OFF,
  SYSTEM_RESET,
  UNCHANGED,
} from '../../../src/guest-link/xen-smc/psci.ts'

/** x0, x1, … as 64-bit numbers. */
function call(...x: (number | bigint)[]): CallAnswer {
  const registers = new Int32Array(16)
  const wide = new BigUint64Array(registers.buffer)
  for (const [i, value] of x.entries()) wide[i] = BigInt(value)
  const answer = new CallAnswer()
  answerCall(registers, answer)
  return answer
}

describe('calls that return a constant', () => {
  test.each([
    ['PSCI_VERSION', 0x84000000, 0x10001],
    ['SMCCC_VERSION: 1.1, below which Linux does not call by SMC', 0x80000000, 0x10001],
    ['CPU_SUSPEND', 0x84000001, 0],
    ['CPU_SUSPEND 64', 0xc4000001, 0],
    ['MIGRATE_INFO_TYPE: nothing to migrate', 0x84000006, 2],
    ['MIGRATE', 0x84000005, -1],
    ['MIGRATE 64', 0xc4000005, -1],
    ['MIGRATE_INFO_UP_CPU', 0x84000007, -1],
    ['PSCI_VERSION has no 64-bit form', 0xc4000000, -1],
    ['CPU_OFF has no 64-bit form', 0xc4000002, -1],
    ['CPU_FREEZE', 0x8400000b, -1],
    ['SYSTEM_SUSPEND', 0x8400000e, -1],
    ['SYSTEM_SUSPEND 64', 0xc400000e, -1],
    ['SYSTEM_RESET2', 0x84000012, -1],
    ['MEM_PROTECT', 0x84000013, -1],
    ['SOC_ID', 0x80000002, -1],
    ['TRNG_VERSION', 0x84000050, -1],
    ['PV time features', 0xc5000020, -1],
    ['the hypervisor service UID', 0x8600ff01, -1],
    ['the standard service call count', 0x8400ff00, -1],
    ['FF-A version', 0x84000063, -1],
    ['OP-TEE', 0x32000000, -1],
    ["another vendor's call", 0x82000010, -1],
    ['a yielding call', 0x04000000, -1],
    ['nonsense', 0, -1],
    ['nonsense', 0xffffffff, -1],
  ])('%s', (_name, id, value) => {
    expect(call(id)).toMatchObject({ action: RETURN, value })
  })
})

describe('PSCI_FEATURES', () => {
  test.each([
    0x84000000, 0x84000001, 0xc4000001, 0x84000002, 0x84000003, 0xc4000003, 0x84000004, 0xc4000004,
    0x84000006, 0x84000008, 0x84000009, 0x8400000a, 0x80000000,
  ])('has %i', id => {
    expect(call(0x8400000a, id)).toMatchObject({ action: RETURN, value: 0 })
  })
  test.each([
    0x84000005, 0x8400000b, 0x8400000e, 0xc400000e, 0x84000012, 0x80000001, 0x82000002, 0, 0xc4000000,
  ])('has not %i', id => {
    expect(call(0x8400000a, id)).toMatchObject({ action: RETURN, value: -1 })
  })
})

describe('workarounds for speculation', () => {
  test.each([0x80008000, 0x80007fff, 0x80003fff])('%i is never promised, and returns', id => {
    expect(call(0x80000001, id)).toMatchObject({ action: RETURN, value: -1 })
    expect(call(id, 1).action).toBe(UNCHANGED)
  })
})

describe('CPU_ON', () => {
  test('names a vCPU by Aff1 and Aff0', () => {
    expect(call(0xc4000003, 1, 0x40080000, 7)).toMatchObject({
      action: CPU_ON,
      value: 0,
      vcpu: 1,
      wide: true,
    })
    expect(call(0xc4000003, 0x102, 0x40080000, 7)).toMatchObject({ action: CPU_ON, vcpu: 18 })
    expect(call(0x84000003, 1, 0x40080000)).toMatchObject({ action: CPU_ON, value: 0, vcpu: 1, wide: false })
  })
  test('refuses an entry of Thumb code', () => {
    expect(call(0xc4000003, 1, 0x40080001)).toMatchObject({ action: CPU_ON, value: -9 })
  })
  test('a number that no vCPU has stays such', () => {
    expect(call(0xc4000003, 0xffff, 0x40080000).vcpu).toBeGreaterThan(8)
  })
})

describe('AFFINITY_INFO', () => {
  test('level 0 is one vCPU, higher levels are groups', () => {
    expect(call(0xc4000004, 3, 0)).toMatchObject({ action: AFFINITY_INFO, vcpu: 3, level: 0 })
    expect(call(0x84000004, 3, 0)).toMatchObject({ action: AFFINITY_INFO, vcpu: 3, level: 0 })
    expect(call(0xc4000004, 0x3, 1)).toMatchObject({ action: AFFINITY_INFO, vcpu: 0, level: 1 })
    expect(call(0xc4000004, 0x103, 1)).toMatchObject({ action: AFFINITY_INFO, vcpu: 0x100, level: 1 })
    expect(call(0xc4000004, 0x10000, 2)).toMatchObject({ vcpu: 0x10000, level: 2 })
    expect(call(0xc4000004, 0x00ffffff, 3)).toMatchObject({ vcpu: 0, level: 3 })
  })
  test('Aff3 is nobody of ours, in the 64-bit form alone', () => {
    expect(call(0xc4000004, 0x100000000n, 0).vcpu).toBe(-1)
    expect(call(0xc4000004, 0x100000000n, 3).vcpu).toBe(-1)
    expect(call(0x84000004, 0x100000000n, 0).vcpu).toBe(0)
  })
  test.each([4, 5, 0xffffffff])('has no level %i', level => {
    expect(call(0xc4000004, 0, level)).toMatchObject({ action: RETURN, value: -2 })
  })
})

test('calls that do not return, and what they return if they do', () => {
  expect(call(0x84000002).action).toBe(CPU_OFF)
  expect(call(0x84000008)).toMatchObject({ action: SYSTEM_OFF, value: -6 })
  expect(call(0x84000009)).toMatchObject({ action: SYSTEM_RESET, value: -6 })
})

test('the upper half of x0 does not count', () => {
  expect(call(0xdead_beef_8400_0000n)).toMatchObject({ action: RETURN, value: 0x10001 })
})
