// Device tree nodes of the two guests: the example machine's guest-a and guest-b as virtio guests.

/** What a consumer's node names. */
interface Consumer {
  readonly clock?: number
  readonly power?: number
  readonly performance?: number
  readonly reset?: number
  readonly supply?: number
}

/** Consumers of a guest, by the name their device gets; every guest also has one of what is not its own. */
export const consumers = {
  'guest-a': {
    avb: { clock: 0, power: 0, reset: 0 },
    sdhi0: { clock: 3, power: 2, reset: 2, supply: 1 },
    gpu: { clock: 8, power: 4, reset: 5 },
    'gpu-level': { performance: 0 },
    stranger: { clock: 5 },
  },
  'guest-b': {
    usb0: { clock: 2, power: 1, reset: 1 },
    sdhi2: { clock: 5, power: 2, reset: 3, supply: 2 },
    adc: { clock: 11, power: 5, reset: 7 },
    stranger: { clock: 3 },
  },
} as const satisfies Record<string, Record<string, Consumer>>

export type GuestName = keyof typeof consumers

/** Voltage domains as firmware calls them. */
const supplies: Readonly<Record<GuestName, Readonly<Record<number, string>>>> = {
  'guest-a': { 0: 'vcc-sd0', 1: 'vccq-sd0' },
  'guest-b': { 2: 'vcc-sd2' },
}

/** The SCMI node of a guest. */
const scmi = (name: GuestName): string => `
/ { firmware { scmi { compatible = "arm,scmi-virtio"; #address-cells = <1>; #size-cells = <0>;
  scmi_power: protocol@11 { reg = <0x11>; #power-domain-cells = <1>; };
  scmi_perf: protocol@13 { reg = <0x13>; #power-domain-cells = <1>; };
  scmi_clk: protocol@14 { reg = <0x14>; #clock-cells = <1>; };
  scmi_sensor: protocol@15 { reg = <0x15>; #thermal-sensor-cells = <1>; };
  scmi_reset: protocol@16 { reg = <0x16>; #reset-cells = <1>; };
  protocol@17 { reg = <0x17>; regulators { #address-cells = <1>; #size-cells = <0>;
${Object.entries(supplies[name])
  .map(([id, supply]) => `    supply${id}: regulator@${id} { reg = <${id}>; regulator-name = "${supply}"; };`)
  .join('\n')}
  }; };
}; }; };`

const consumer = (name: string, { clock, power, performance, reset, supply }: Consumer): string =>
  [
    `/ { ${name} { compatible = "test,consumer";`,
    clock === undefined ? '' : `clocks = <&scmi_clk ${clock}>;`,
    power === undefined ? '' : `power-domains = <&scmi_power ${power}>;`,
    performance === undefined ? '' : `power-domains = <&scmi_perf ${performance}>;`,
    reset === undefined ? '' : `resets = <&scmi_reset ${reset}>;`,
    supply === undefined ? '' : `vdd-supply = <&supply${supply}>;`,
    '}; };',
  ].join(' ')

/** Source to add to a machine's tree. */
export const guestNodes = (name: GuestName): string =>
  [scmi(name), ...Object.entries(consumers[name]).map(([device, wants]) => consumer(device, wants))].join(
    '\n',
  )
