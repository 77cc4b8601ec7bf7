// Status words as the standard numbers them, and as text.
import { describe, expect, test } from 'vitest'
import * as status from '../../src/scmi/status.ts'

describe('status', () => {
  test.each([
    [status.SUCCESS, 0, 'SUCCESS'],
    [status.NOT_SUPPORTED, -1, 'NOT_SUPPORTED'],
    [status.INVALID_PARAMETERS, -2, 'INVALID_PARAMETERS'],
    [status.DENIED, -3, 'DENIED'],
    [status.NOT_FOUND, -4, 'NOT_FOUND'],
    [status.OUT_OF_RANGE, -5, 'OUT_OF_RANGE'],
    [status.BUSY, -6, 'BUSY'],
    [status.COMMS_ERROR, -7, 'COMMS_ERROR'],
    [status.GENERIC_ERROR, -8, 'GENERIC_ERROR'],
    [status.HARDWARE_ERROR, -9, 'HARDWARE_ERROR'],
    [status.PROTOCOL_ERROR, -10, 'PROTOCOL_ERROR'],
    [status.IN_USE, -11, 'IN_USE'],
  ])('%i is %i, %s', (constant, number, name) => {
    expect(constant).toBe(number)
    expect(status.statusName(number)).toBe(name)
  })

  test.each([
    [-12, 'RESERVED(-12)', 'the first that nobody has'],
    [-127, 'RESERVED(-127)', 'the last of them'],
    [-128, 'VENDOR(-128)', 'from here on the vendor’s own'],
    [-0x8000_0000, 'VENDOR(-2147483648)', 'the lowest word'],
    [1, 'RESERVED(1)', 'no status is positive'],
    [0x7fff_ffff, 'RESERVED(2147483647)', 'the highest word'],
  ])('%i reads %s: %s', (number, name) => {
    expect(status.statusName(number)).toBe(name)
  })
})
