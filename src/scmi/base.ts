// Base protocol, 0x10: who the platform is, which protocols and agents there are, and who may use what.
import { common, name16, notifyEnable, v2, v2_1 } from './common.ts'
import {
  agentId,
  bits,
  checked,
  int32,
  layout,
  list,
  message,
  notification,
  protocol,
  text,
  uint8,
  uint32,
} from './schema.ts'
import { INVALID_PARAMETERS } from './status.ts'

/** DISCOVER_AGENT's `agent_id` that means the caller. */
export const SELF = 0xffff_ffff
/** The agent id of the platform itself. */
export const PLATFORM = 0

const agentName = { ...text(16), names: 'agent' } as const
const allow = bits({ allow: [0, 1] })

export const base = protocol({
  id: 0x10,
  name: 'Base',
  key: 'base',
  versions: [
    { release: '1.0', version: 0x1_0000 },
    { release: '2.0', version: 0x2_0000 },
    { release: '3.2', version: 0x2_0001 },
  ],
  messages: {
    ...common({
      attributes: layout({
        attributes: bits({ num_protocols: [0, 8], num_agents: [8, 8] }, { agents: ['num_agents'] }),
      }),
      negotiateSince: v2_1,
    }),
    BASE_DISCOVER_VENDOR: message({
      id: 0x3,
      doc: "Returns the vendor's name.",
      effect: 'query',
      command: layout({}),
      response: layout({ vendor_identifier: name16 }),
    }),
    BASE_DISCOVER_SUB_VENDOR: message({
      id: 0x4,
      doc: "Returns the sub-vendor's name.",
      effect: 'query',
      optional: true,
      command: layout({}),
      response: layout({ sub_vendor_identifier: name16 }),
    }),
    BASE_DISCOVER_IMPLEMENTATION_VERSION: message({
      id: 0x5,
      doc: "Returns the vendor's own version word.",
      effect: 'query',
      command: layout({}),
      response: layout({ implementation_version: uint32 }),
    }),
    BASE_DISCOVER_LIST_PROTOCOLS: message({
      id: 0x6,
      doc: 'Lists the protocols the caller may use, Base left out, ascending, four to a word.',
      effect: 'query',
      index: { field: 'skip', beyond: INVALID_PARAMETERS },
      command: layout({ skip: uint32 }),
      response: layout(
        { num_protocols: uint32 },
        list('protocols', layout({ protocol_id: uint8 }), [0, 0xffff_ffff], { pad: 4 }),
      ),
    }),
    BASE_DISCOVER_AGENT: message({
      id: 0x7,
      doc: 'Returns the name of an agent; 0xFFFFFFFF asks who the caller is.',
      effect: 'query',
      optional: true,
      command: layout({ agent_id: agentId }),
      response: layout({ name: agentName }),
      changes: [{ since: v2, response: layout({ agent_id: agentId, name: agentName }) }],
    }),
    BASE_NOTIFY_ERRORS: message({
      id: 0x8,
      doc: 'Subscribes the caller to BASE_ERROR_EVENT.',
      effect: 'control',
      optional: true,
      subscribes: 0x0,
      command: layout({ notify_enable: notifyEnable }),
      response: layout({}),
    }),
    BASE_SET_DEVICE_PERMISSIONS: message({
      id: 0x9,
      doc: 'Allows or denies an agent the use of a device and of all resources in it.',
      effect: 'control',
      since: v2,
      optional: true,
      privileged: true,
      command: layout({ agent_id: agentId, device_id: uint32, flags: allow }),
      response: layout({}),
    }),
    BASE_SET_PROTOCOL_PERMISSIONS: message({
      id: 0xa,
      doc: 'Allows or denies an agent one protocol on a device.',
      effect: 'control',
      since: v2,
      optional: true,
      privileged: true,
      command: layout({
        agent_id: agentId,
        device_id: uint32,
        command_id: checked(word => word >>> 8 === 0),
        flags: allow,
      }),
      response: layout({}),
    }),
    BASE_RESET_AGENT_CONFIGURATION: message({
      id: 0xb,
      doc: 'Gives back all that an agent holds; with bit 0 its permissions return to their default too.',
      effect: 'control',
      since: v2,
      optional: true,
      privileged: true,
      command: layout({ agent_id: agentId, flags: bits({ permissions: [0, 1] }) }),
      response: layout({}),
    }),
  },
  notifications: {
    BASE_ERROR_EVENT: notification({
      id: 0x0,
      doc: 'Commands of an agent failed; bit 31 says that the platform needs a reset.',
      payload: layout(
        { agent_id: agentId, error_status: bits({ reports: [0, 10], fatal: [31, 1] }) },
        list('reports', layout({ header: uint32, status: int32 }), [1, 0x3ff]),
      ),
    }),
  },
})
