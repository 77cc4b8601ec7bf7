// The shape of a platform file: what the virtual SCP consists of. Types and bounds only; what must agree with what is in cross-checks.ts.
import { type Static, Type } from 'typebox'
import { maxMessageBytesLimit } from '../transfer.ts'
import { protocolSections } from './config-protocols.ts'
import { closed, deviceId, flag, ids, name15, word } from './config-shapes.ts'
import { profileNames } from './profiles.ts'

const agent = Type.Object(
  {
    id: Type.Integer({ minimum: 1, maximum: 255 }),
    name: name15(),
    trusted: flag('May use the Base permission commands.'),
    permissions: Type.Enum(['allow', 'deny'], {
      default: 'deny',
      description:
        'What the agent may use until told otherwise: every device and what is in no device, or nothing.',
    }),
    devices: Type.Array(deviceId(), {
      uniqueItems: true,
      default: [],
      description: 'Devices the agent may use at boot although its permissions are deny.',
    }),
  },
  closed,
)

const channel = Type.Object(
  {
    agent: Type.Integer({ minimum: 1, maximum: 255, description: 'Agent that speaks on this channel.' }),
    maxMessageBytes: Type.Integer({
      minimum: 96, // the longest answer that cannot be cut in parts: header, status, flags, 64 bytes of name
      maximum: maxMessageBytesLimit,
      default: 128,
      description: 'Largest frame, header included. Lists are cut to it.',
    }),
    p2a: flag('Whether delayed responses and notifications have a way to the agent.', true),
  },
  closed,
)

const device = Type.Object(
  {
    id: deviceId(),
    name: Type.String({ minLength: 1, maxLength: 63 }),
    power: ids('Power domains of the device.'),
    performance: ids('Performance domains of the device.'),
    clock: ids('Clocks of the device.'),
    sensor: ids('Sensors of the device.'),
    reset: ids('Reset domains of the device.'),
    voltage: ids('Voltage domains of the device.'),
    powerCapping: ids('Power capping domains of the device.'),
    pins: ids('Pins of the device.'),
    groups: ids('Pin groups of the device; all of their pins must be the device’s too.'),
    functions: ids('Pin functions that the device may select.'),
  },
  closed,
)

const version = Type.Optional(Type.Integer({ minimum: 0x1_0000 }))

export const platformSchema = Type.Object(
  {
    vendor: name15(),
    subVendor: Type.Optional(name15()),
    implementationVersion: word(),
    release: Type.Enum(['1.0', '2.0', '3.0', '3.1', '3.2'], {
      default: '3.2',
      description: 'SCMI release whose protocol versions are presented.',
    }),
    profile: Type.Enum(profileNames, {
      default: 'standard',
      description: 'Real platform whose deviations from the standard are imitated.',
    }),
    versions: Type.Object(
      {
        base: version,
        power: version,
        system: version,
        performance: version,
        clock: version,
        sensor: version,
        reset: version,
        voltage: version,
        powerCapping: version,
        pinControl: version,
      },
      { ...closed, default: {}, description: 'Version words that differ from the release.' },
    ),
    agents: Type.Array(agent, { minItems: 1, maxItems: 255 }),
    channels: Type.Optional(
      Type.Array(channel, { minItems: 1, description: 'One for each agent, in their order, if left out.' }),
    ),
    devices: Type.Array(device, { default: [] }),
    power: Type.Optional(protocolSections.power),
    system: Type.Optional(protocolSections.system),
    performance: Type.Optional(protocolSections.performance),
    clock: Type.Optional(protocolSections.clock),
    sensor: Type.Optional(protocolSections.sensor),
    reset: Type.Optional(protocolSections.reset),
    voltage: Type.Optional(protocolSections.voltage),
    powerCapping: Type.Optional(protocolSections.powerCapping),
    pinControl: Type.Optional(protocolSections.pinControl),
  },
  closed,
)

/** A platform file after validation: defaults filled in, cross-checked. */
export type PlatformConfig = Static<typeof platformSchema>
export type ChannelConfig = Static<typeof channel>
