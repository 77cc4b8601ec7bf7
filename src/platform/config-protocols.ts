// What a platform file says of each protocol's resources. Types and bounds only.
import { type Static, Type } from 'typebox'
import { agentIds, closed, flag, hertz, id, name, word } from './config-shapes.ts'
import { delay, maxAsync } from './delays.ts'

const sharing = Type.Enum(['votes', 'last-writer'], {
  default: 'votes',
  description:
    'votes: a domain is on while any agent holds it on, and each agent reads back what it set. ' +
    'last-writer: as SCP-firmware does, whoever writes last decides for all.',
})

const power = Type.Object(
  {
    sharing,
    domains: Type.Array(
      Type.Object(
        {
          id: id(),
          name,
          set: Type.Enum(['none', 'sync', 'async', 'both'], { default: 'sync' }),
          alwaysOn: flag('The platform itself holds the domain on.'),
          onBy: agentIds('Agents that hold the domain on at boot.', { default: [] }),
          notify: flag('POWER_STATE_CHANGED can be subscribed to.', true),
          requestedNotify: flag('POWER_STATE_CHANGE_REQUESTED can be subscribed to.', true),
        },
        closed,
      ),
      { minItems: 1 },
    ),
  },
  closed,
)

const system = Type.Object(
  {
    agents: agentIds('Agents that may ask for a state; every agent may subscribe.', { default: [] }),
    warmReset: flag('Warm reset can be asked for.'),
    suspend: flag('Suspend can be asked for.'),
    timeoutMs: word({ description: 'Told to agents that are asked to cooperate; 0 for none.' }),
  },
  closed,
)

const fastChannelOf = (first: number, last: number, messages: string) =>
  Type.Object(
    {
      message: Type.Integer({ minimum: first, maximum: last, description: messages }),
      address: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
      rateLimitUs: Type.Integer({ minimum: 0, maximum: 0xf_ffff, default: 0 }),
      doorbell: Type.Optional(
        Type.Object(
          {
            address: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
            width: Type.Enum([8, 16, 32]),
            set: word(),
            preserve: word(),
          },
          closed,
        ),
      ),
    },
    closed,
  )

const performance = Type.Object(
  {
    powerUnit: Type.Enum(['abstract', 'milliwatt', 'microwatt'], { default: 'abstract' }),
    domains: Type.Array(
      Type.Object(
        {
          id: id(),
          name,
          setLimits: flag('LIMITS_SET is possible.', true),
          setLevel: flag('LEVEL_SET is possible.', true),
          limitsNotify: flag('LIMITS_CHANGED can be subscribed to.', true),
          levelNotify: flag('LEVEL_CHANGED can be subscribed to.', true),
          indexing: flag('From version 4 on levels are told by index instead of value.'),
          rateLimitUs: Type.Integer({ minimum: 0, maximum: 0xf_ffff, default: 0 }),
          sustainedKhz: word(),
          sustainedLevel: word(),
          levels: Type.Array(
            Type.Object(
              {
                level: Type.Integer({ minimum: 1, maximum: 0xffff_ffff }), // 0 means "leave this limit" from version 3 on
                power: word(),
                latencyUs: Type.Integer({ minimum: 0, maximum: 0xffff, default: 0 }),
                frequencyKhz: word(),
              },
              closed,
            ),
            { minItems: 1, maxItems: 0xfff },
          ),
          initial: Type.Optional(
            Type.Integer({ minimum: 1, description: 'Level at boot; the highest if left out.' }),
          ),
          fastChannels: Type.Array(fastChannelOf(5, 8, 'LIMITS_SET 5 to LEVEL_GET 8.'), { default: [] }),
        },
        closed,
      ),
      { minItems: 1 },
    ),
  },
  closed,
)

const clock = Type.Object(
  {
    maxAsync,
    clocks: Type.Array(
      Type.Object(
        {
          id: id(),
          name,
          rates: Type.Union(
            [
              Type.Array(hertz, { minItems: 1, maxItems: 0xffff, description: 'The rates, ascending.' }),
              Type.Object({ min: hertz, max: hertz, step: Type.Integer({ minimum: 1 }) }, closed),
            ],
            { description: 'A list of rates in Hz, or a range.' },
          ),
          rate: Type.Optional(
            Type.Integer({ minimum: 0, description: 'Hz at boot; the lowest if left out.' }),
          ),
          alwaysOn: flag('The platform itself keeps the clock running.'),
          enabledBy: agentIds('Agents that have the clock enabled at boot.', { default: [] }),
          enableDelayUs: word(),
          parents: Type.Array(id(), {
            uniqueItems: true,
            maxItems: 255,
            default: [],
            description: 'Clocks it can be fed from.',
          }),
          parent: Type.Optional(id({ description: 'Parent at boot; the first if left out.' })),
          extended: Type.Array(
            Type.Object({ type: Type.Integer({ minimum: 1, maximum: 0xff }), value: word() }, closed),
            {
              default: [],
              description: 'Extended configurations: 1 duty cycle, 2 phase, 0x80 to 0xFF the vendor.',
            },
          ),
          restrict: Type.Array(
            Type.Object(
              {
                agents: agentIds('Whom the restriction holds for.', { minItems: 1 }),
                deny: Type.Array(Type.Enum(['rate', 'parent', 'state']), { minItems: 1, uniqueItems: true }),
              },
              closed,
            ),
            { default: [], description: 'What agents that may use the clock may nevertheless not change.' },
          ),
          rateNotify: flag('CLOCK_RATE_CHANGED can be subscribed to.', true),
          rateRequestedNotify: flag('CLOCK_RATE_CHANGE_REQUESTED can be subscribed to.'),
          async: Type.Optional(delay),
        },
        closed,
      ),
      { minItems: 1 },
    ),
  },
  closed,
)

const exponent = { minimum: -16, maximum: 15 } as const
const interval = Type.Object(
  {
    seconds: Type.Integer({ minimum: 1, maximum: 0xffff }),
    exponent: Type.Optional(Type.Integer(exponent)), // 0 if left out; a default is not applied inside a choice
  },
  closed,
)

/** What is measured along one axis, or by a sensor of one value. */
const measured = {
  type: Type.Integer({
    minimum: 0,
    maximum: 0xff,
    description: 'Unit, after DMTF PLDM: 2 is °C, 5 V.',
  }),
  exponent: Type.Integer({ ...exponent, default: 0 }),
  value: Type.Integer({ default: 0, description: 'The reading at boot, in units of 10^exponent.' }),
  min: Type.Integer({ default: 0 }),
  max: Type.Integer({ default: 0 }),
  resolution: Type.Integer({ minimum: 0, maximum: 0x7ff_ffff, default: 1 }),
}

const sensor = Type.Object(
  {
    maxAsync,
    sensors: Type.Array(
      Type.Object(
        {
          id: id(),
          name,
          ...measured,
          axes: Type.Array(Type.Object({ name, ...measured }, closed), {
            maxItems: 3, // as many readings as a notification of 64 bytes has
            default: [],
            description: 'Axes of a sensor that reads one value along each; its own value is none of them.',
          }),
          power: word(),
          tripPoints: Type.Integer({ minimum: 0, maximum: 0xff, default: 0 }),
          continuousUpdate: flag('SENSOR_UPDATE can be subscribed to.'),
          enabled: flag('Reads from boot on.', true),
          async: Type.Optional(delay),
          intervals: Type.Union(
            [
              Type.Array(interval, { maxItems: 0xfff, description: 'Update intervals, ascending.' }),
              Type.Object({ min: interval, max: interval, step: interval }, closed),
            ],
            { default: [] },
          ),
        },
        closed,
      ),
      { minItems: 1 },
    ),
  },
  closed,
)

const reset = Type.Object(
  {
    maxAsync,
    domains: Type.Array(
      Type.Object(
        {
          id: id(),
          name,
          latencyUs: word({ default: 0xffff_ffff }),
          autonomous: flag('The platform can assert and deassert by itself.', true),
          explicit: flag('Agents can assert and deassert the signal.'),
          async: Type.Optional(delay),
          notify: flag('RESET_ISSUED can be subscribed to.', true),
          states: Type.Array(Type.Integer({ minimum: 0x8000_0000, maximum: 0xffff_ffff }), {
            default: [],
            description: "The vendor's own reset states beside cold reset.",
          }),
        },
        closed,
      ),
      { minItems: 1 },
    ),
  },
  closed,
)

const microvolt = Type.Integer({ minimum: -0x8000_0000, maximum: 0x7fff_ffff })
const voltage = Type.Object(
  {
    sharing,
    maxAsync,
    domains: Type.Array(
      Type.Object(
        {
          id: id(),
          name,
          levels: Type.Union(
            [
              Type.Array(microvolt, { minItems: 1, maxItems: 0xffff, description: 'The levels, ascending.' }),
              Type.Object({ min: microvolt, max: microvolt, step: Type.Integer({ minimum: 1 }) }, closed),
            ],
            { description: 'A list of levels in µV, or a range.' },
          ),
          level: Type.Optional(microvolt),
          async: Type.Optional(delay),
          alwaysOn: flag('The platform itself holds the domain on.'),
          onBy: agentIds('Agents that hold the domain on at boot.', { default: [] }),
          modes: Type.Array(Type.Integer({ minimum: 8, maximum: 15 }), {
            default: [],
            description: "The implementation's own modes beside ON and OFF.",
          }),
        },
        closed,
      ),
      { minItems: 1 },
    ),
  },
  closed,
)

const interval32 = (what: string) => Type.Integer({ minimum: 1, maximum: 0xffff_ffff, description: what })
const span = (what: string) =>
  Type.Object(
    {
      min: interval32(`Lowest ${what}.`),
      max: interval32(`Highest ${what}; the same as min where it cannot be set.`),
      step: word({ description: 'What it can be set to, counted from min; 0 where it cannot be set.' }),
    },
    closed,
  )
const powerCapping = Type.Object(
  {
    maxAsync,
    domains: Type.Array(
      Type.Object(
        {
          id: id(),
          name,
          unit: Type.Enum(['abstract', 'milliwatt', 'microwatt'], { default: 'abstract' }),
          cap: span('power cap'),
          async: Type.Optional(delay), // of its cap
          ownCap: Type.Optional(
            Type.Integer({ minimum: 1, description: "The platform's own cap: no agent can lift it." }),
          ),
          pai: span('power averaging interval in ms'),
          initialPai: Type.Optional(
            Type.Integer({ minimum: 1, description: 'Interval at boot in ms; the lowest if left out.' }),
          ),
          sustainable: word(),
          accuracy: word(),
          parent: Type.Optional(id({ description: 'The domain it is a part of.' })),
          monitoring: flag('The average power can be read.', true),
          measured: word({ description: 'Average power at boot.' }),
          capNotify: flag('POWERCAP_CAP_CHANGED can be subscribed to.', true),
          measurementsNotify: flag('POWERCAP_MEASUREMENTS_CHANGED can be subscribed to.', true),
          fastChannels: Type.Array(fastChannelOf(4, 7, 'CAP_GET 4 to PAI_SET 7.'), { default: [] }),
        },
        closed,
      ),
      { minItems: 1 },
    ),
  },
  closed,
)

const configs = Type.Array(
  Type.Object({ type: Type.Integer({ minimum: 0, maximum: 0xff }), value: word() }, closed),
  { maxItems: 0xff, description: 'Types that can be set, ascending, with their values at boot.' },
)
const members = (what: string) =>
  Type.Array(id(), { minItems: 1, maxItems: 0xffff, uniqueItems: true, description: what })
const pinControl = Type.Object(
  {
    configs: Type.Unsafe<Static<typeof configs>>({ ...configs, default: [] }),
    pins: Type.Array(
      Type.Object(
        {
          id: id(),
          name,
          configs: Type.Optional(configs), // those of all pins if left out
          function: Type.Optional(id({ description: 'Function at boot.' })),
        },
        closed,
      ),
      { minItems: 1 },
    ),
    groups: Type.Array(Type.Object({ id: id(), name, pins: members('Pins of the group.') }, closed), {
      default: [],
    }),
    functions: Type.Array(
      Type.Object(
        {
          id: id(),
          name,
          groups: Type.Optional(members('Groups that can have the function.')),
          pins: Type.Optional(members('Pins that can have the function, where it takes pins alone.')),
          gpio: flag('The function makes pins general-purpose ones.'),
        },
        closed,
      ),
      { default: [] },
    ),
  },
  closed,
)

/** The section of each protocol; a protocol without one is not there. */
export const protocolSections = {
  power,
  system,
  performance,
  clock,
  sensor,
  reset,
  voltage,
  powerCapping,
  pinControl,
} as const

export type PowerConfig = Static<typeof power>
export type SystemConfig = Static<typeof system>
export type PerformanceConfig = Static<typeof performance>
export type ClockConfig = Static<typeof clock>
export type SensorConfig = Static<typeof sensor>
export type ResetConfig = Static<typeof reset>
export type VoltageConfig = Static<typeof voltage>
export type PowerCappingConfig = Static<typeof powerCapping>
export type PinControlConfig = Static<typeof pinControl>
export type FastChannelConfig = Static<ReturnType<typeof fastChannelOf>>
