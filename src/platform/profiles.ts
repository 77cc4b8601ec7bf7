// In what real platforms deviate from the standard, as data: one switch for each way, one profile for each platform. What a
// switch does is written where it is read.
import {
  COMMS_ERROR,
  DENIED,
  INVALID_PARAMETERS,
  NOT_FOUND,
  NOT_SUPPORTED,
  OUT_OF_RANGE,
  PROTOCOL_ERROR,
  SUCCESS,
} from '../scmi/status.ts'

/** How a platform behaves where platforms differ. */
export interface Deviations {
  /** Status for a message that is no command: of type 1, 2 or 3. */
  readonly notACommand: number
  /** Status for a message that is not there; PROTOCOL_MESSAGE_ATTRIBUTES says NOT_FOUND in any case. */
  readonly unknownMessage: number
  /** Status for a resource that is not there. */
  readonly unknownResource: number
  /** Payloads may be longer than the message's; what is too much is ignored. */
  readonly longPayloads: boolean
  /** Messages, by name, that are left out. */
  readonly without: readonly string[]
  /** Neither notifications nor delayed responses, on any channel. */
  readonly withoutEvents: boolean
  /** Messages, by name, whose reserved bits and values are not checked. */
  readonly unchecked: readonly string[]
  /** The resource, and whether the agent may use it, come before flags and values. */
  readonly resourceFirst: boolean
  /** Queries are answered whoever asks; permissions are for those that change something. */
  readonly readsAllowed: boolean
  /** Every agent may use everything until it is denied. */
  readonly allowedByDefault: boolean
  /** Base tells of 0 agents. */
  readonly agentsHidden: boolean
  /** DISCOVER_LIST_PROTOCOLS has room for 8, filled or not, and beyond its end is an empty list. */
  readonly fixedProtocolList: boolean
  /** Whoever wants may use the permission commands. */
  readonly anyoneSetsPermissions: boolean
  /** The permission commands are checked, answered SUCCESS, and change nothing. */
  readonly permissionsIgnored: boolean
  /** Status for permissions of the platform itself, agent 0. */
  readonly platformAsTarget: number
  /** Status for a device that is not there. */
  readonly unknownDevice: number
  /** Status for permissions on the Base protocol. */
  readonly baseAsTarget: number
  /** RESET_AGENT_CONFIGURATION restores permissions alone: the agent keeps votes, subscriptions and versions. */
  readonly resetKeepsHoldings: boolean
  /** RESET_AGENT_CONFIGURATION with flag 1 does not know the agent with the highest id. */
  readonly resetForgetsLastAgent: boolean
  /** An agent that resets itself gets no response. */
  readonly ownResetUnanswered: boolean
  /** NEGOTIATE_PROTOCOL_VERSION: only versions of the presented major number. */
  readonly ownMajorOnly: boolean
  /** Power domains are as the last writer left them, whoever holds them; see `sharing`. */
  readonly powerLastWriter: boolean
  /** Status for an index beyond the performance levels, and beyond the sensors. */
  readonly indexBeyond: number
  /** Asynchronous rate changes are told of, this many at a time, and carried out at once without delayed response. */
  readonly asyncRatesFeigned: number
  /** Status for an asynchronous RESET where there is none; and on a signal, where the standard says nothing. */
  readonly asyncResetRefused: number
  readonly asyncSignalRefused: number
  /** Notifications are numbered in their token. */
  readonly numberedNotifications: boolean
}

/** As the standard has it, and Arm's compliance suite. */
const standard: Deviations = {
  notACommand: PROTOCOL_ERROR,
  unknownMessage: NOT_FOUND,
  unknownResource: NOT_FOUND,
  longPayloads: false,
  without: [],
  withoutEvents: false,
  unchecked: [],
  resourceFirst: false,
  readsAllowed: false,
  allowedByDefault: false,
  agentsHidden: false,
  fixedProtocolList: false,
  anyoneSetsPermissions: false,
  permissionsIgnored: false,
  platformAsTarget: NOT_FOUND,
  unknownDevice: NOT_FOUND,
  baseAsTarget: NOT_FOUND,
  resetKeepsHoldings: false,
  resetForgetsLastAgent: false,
  ownResetUnanswered: false,
  ownMajorOnly: false,
  powerLastWriter: false,
  indexBeyond: INVALID_PARAMETERS,
  asyncRatesFeigned: 0,
  asyncResetRefused: NOT_SUPPORTED,
  asyncSignalRefused: SUCCESS,
  numberedNotifications: false,
}

export const profiles = {
  standard,
  /** Arm's SCP-firmware 2.14 with resource permissions, as measured and as its sources say. */
  'scp-2.14': {
    ...standard,
    without: ['BASE_NOTIFY_ERRORS'],
    unchecked: ['SENSOR_TRIP_POINT_NOTIFY'],
    allowedByDefault: true,
    anyoneSetsPermissions: true,
    permissionsIgnored: true,
    platformAsTarget: SUCCESS,
    unknownDevice: INVALID_PARAMETERS,
    baseAsTarget: DENIED,
    resetKeepsHoldings: true,
    resetForgetsLastAgent: true,
    powerLastWriter: true,
  },
  /** The SCMI server that TF-A and OP-TEE have in common, drivers/scmi-msg. */
  'scmi-msg': {
    ...standard,
    unknownMessage: NOT_SUPPORTED,
    unknownResource: INVALID_PARAMETERS,
    without: [
      'BASE_DISCOVER_AGENT',
      'BASE_NOTIFY_ERRORS',
      'BASE_SET_DEVICE_PERMISSIONS',
      'BASE_SET_PROTOCOL_PERMISSIONS',
      'BASE_RESET_AGENT_CONFIGURATION',
      'POWER_STATE_NOTIFY',
      'POWER_STATE_CHANGE_REQUESTED_NOTIFY',
      'CLOCK_RATE_NOTIFY',
      'CLOCK_RATE_CHANGE_REQUESTED_NOTIFY',
      'RESET_NOTIFY',
    ],
    withoutEvents: true,
    unchecked: ['CLOCK_RATE_SET', 'CLOCK_CONFIG_SET', 'RESET'],
    resourceFirst: true,
    allowedByDefault: true,
    agentsHidden: true,
    fixedProtocolList: true,
    asyncRatesFeigned: 1,
  },
  /** NXP's System Manager of i.MX 9. */
  'imx-sm': {
    ...standard,
    notACommand: COMMS_ERROR,
    unknownMessage: NOT_SUPPORTED,
    longPayloads: true,
    resourceFirst: true,
    readsAllowed: true,
    ownResetUnanswered: true,
    ownMajorOnly: true,
    indexBeyond: OUT_OF_RANGE,
    asyncResetRefused: INVALID_PARAMETERS,
    asyncSignalRefused: INVALID_PARAMETERS,
    numberedNotifications: true,
  },
} as const satisfies Readonly<Record<string, Deviations>>

export type ProfileName = keyof typeof profiles
export const profileNames = Object.keys(profiles) as ProfileName[]
