// Device tree source of the two guests: their SCMI nodes as scmictl generates them, and devices of the test's own that
// name what is on them.
import { resolve } from 'node:path'
import { example } from '../../end-to-end/daemon-process.ts'
import { run } from '../lib/process.ts'

/** Whose ids a guest sees: guest-a the firmware's, guest-b its own. */
const discovery = { 'guest-a': 'identity', 'guest-b': 'dense' } as const

/** What a device names, by the ids that its guest sees. */
interface Device {
  readonly clock?: number
  readonly power?: number
  readonly performance?: number
  readonly reset?: number
  /** Label of the regulator in the generated tree. */
  readonly supply?: string
}

/** The guests' devices, by the name that Linux gives them. `stranger` names what the other guest holds. */
const devices = {
  'guest-a': {
    avb: { clock: 0, power: 0, reset: 0 },
    sdhi0: { clock: 3, power: 2, reset: 2, supply: 'vccq_sd0' },
    gpu: { clock: 8, power: 4, reset: 5 },
    'gpu-level': { performance: 0 },
    stranger: { clock: 5 },
  },
  'guest-b': {
    usb0: { clock: 1, power: 0, reset: 0 }, // clock usb0-phy
    sdhi2: { clock: 2, power: 1, reset: 1, supply: 'vcc_sd2' }, // clock sd2, which is 5 for the firmware
    adc: { clock: 4, power: 2, reset: 2 },
  },
} as const satisfies Record<string, Record<string, Device>>

export type GuestName = keyof typeof devices

/** Linux changes a voltage only where the tree says within what. */
const limits = '&vccq_sd0 { regulator-min-microvolt = <1800000>; regulator-max-microvolt = <3300000>; };'

const node = (name: string, { clock, power, performance, reset, supply }: Device): string =>
  [
    `/ { ${name} { compatible = "test,consumer";`,
    clock === undefined ? '' : `clocks = <&scmi_clk ${clock}>;`,
    power === undefined ? '' : `power-domains = <&scmi_power ${power}>;`,
    performance === undefined ? '' : `power-domains = <&scmi_perf ${performance}>;`,
    reset === undefined ? '' : `resets = <&scmi_reset ${reset}>;`,
    supply === undefined ? '' : `vdd-supply = <&${supply}>;`,
    '}; };',
  ].join(' ')

const generate = (name: GuestName, ...more: string[]): Promise<string> =>
  run(process.execPath, [
    ...[resolve('dist/cli/main.js'), 'generate', '--conduit', 'virtio', '--discovery', discovery[name]],
    ...['--host', example('host.dtb'), '--domain', `${name}=${example(`${name}.dtb`)}`, ...more],
  ])

/** The whole tree of a guest: `machine`, a blob that QEMU dumped, with the generated nodes and the devices. */
export async function guestTree(name: GuestName, machine: string): Promise<string> {
  const nodes = Object.entries(devices[name]).map(([device, names]) => node(device, names))
  return [await generate(name, '--onto', machine), ...nodes, ...(name === 'guest-a' ? [limits] : [])].join(
    '\n',
  )
}

/** Writes the partial tree that the domain is declared with, whose marker says how the guest numbers. */
export async function domainTree(name: GuestName, file: string): Promise<void> {
  await generate(name, '--format', 'dtb', '-o', file)
}
