// Device tree source of the two guests: their SCMI nodes as scmictl generates them, and devices of the test's own that
// name what is on them.
import { resolve } from 'node:path'
import { example } from '../../end-to-end/daemon-process.ts'
import { run } from '../lib/process.ts'

/** What a device names; the ids are the firmware's. */
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
    usb0: { clock: 2, power: 1, reset: 1 },
    sdhi2: { clock: 5, power: 2, reset: 3, supply: 'vcc_sd2' },
    adc: { clock: 11, power: 5, reset: 7 },
    stranger: { clock: 3 },
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

/** The whole tree of a guest: `machine`, a blob that QEMU dumped, with the generated nodes and the devices. */
export async function guestTree(name: GuestName, machine: string): Promise<string> {
  const generated = await run(process.execPath, [
    resolve('dist/cli/main.js'),
    'generate',
    ...['--host', example('host.dtb'), '--domain', `${name}=${example(`${name}.dtb`)}`],
    ...['--conduit', 'virtio', '--discovery', 'identity', '--onto', machine],
  ])
  const nodes = Object.entries(devices[name]).map(([device, names]) => node(device, names))
  return [generated, ...nodes, ...(name === 'guest-a' ? [limits] : [])].join('\n')
}
