// What must agree within the pin control section of a platform file, and between it and the devices.
import type { PlatformConfig } from './config.ts'
import type { PinControlConfig } from './config-protocols.ts'
import type { Faults } from './fault.ts'

/** Types 21 to 191 are reserved; from 192 on they are the vendor's. */
const reserved = (type: number): boolean => type > 20 && type < 192

function* types(list: readonly { readonly type: number }[], property: string): Faults {
  for (const [i, { type }] of list.entries()) {
    const before = list[i - 1]?.type
    if (reserved(type))
      yield { property: `${property}[${i}].type`, expected: `must be 0 to 20 or 192 to 255; found ${type}` }
    if (before !== undefined && type <= before)
      yield { property: `${property}[${i}].type`, expected: `must be above ${before}: types ascend` }
  }
}

function* exist(list: readonly number[] | undefined, count: number, what: string, property: string): Faults {
  for (const [i, id] of (list ?? []).entries())
    if (id >= count)
      yield { property: `${property}[${i}]`, expected: `must be a ${what}; there is no ${what} ${id}` }
}

function* functions({ functions: list, groups, pins }: PinControlConfig): Faults {
  for (const [at, one] of list.entries()) {
    const property = `pinControl.functions[${at}]`
    if ((one.groups === undefined) === (one.pins === undefined))
      yield { property, expected: 'must have groups or pins, and not both' }
    yield* exist(one.groups, groups.length, 'group', `${property}.groups`)
    yield* exist(one.pins, pins.length, 'pin', `${property}.pins`)
  }
}

export function* pinControl(config: PlatformConfig): Faults {
  const section = config.pinControl
  if (section === undefined) return
  const { pins, groups, functions: list } = section
  yield* types(section.configs, 'pinControl.configs')
  for (const [at, group] of groups.entries())
    yield* exist(group.pins, pins.length, 'pin', `pinControl.groups[${at}].pins`)
  yield* functions(section)
  for (const [at, pin] of pins.entries()) {
    const property = `pinControl.pins[${at}]`
    yield* types(pin.configs ?? [], `${property}.configs`)
    if (pin.function !== undefined && pin.function >= list.length)
      yield { property: `${property}.function`, expected: `must be a function; there is no ${pin.function}` }
  }
  for (const [at, device] of config.devices.entries()) {
    for (const [i, id] of device.groups.entries()) {
      const missing = groups[id]?.pins.find(pin => !device.pins.includes(pin))
      if (missing !== undefined)
        yield {
          property: `devices[${at}].groups[${i}]`,
          expected: `must have its pins among the device's; pin ${missing} is not`,
        }
    }
  }
}
