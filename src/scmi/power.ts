// Power domain management protocol, 0x11.
import { common, name16, nameGet, notify, v2, v3, v3_1 } from './common.ts'
import {
  agentId,
  bits,
  checked,
  hidden,
  layout,
  message,
  notification,
  protocol,
  resourceId,
  uint32,
} from './schema.ts'

/** power_state of a domain that is on. */
export const POWER_ON = 0
/** power_state of a domain that is off, context lost. */
export const POWER_OFF = 0x4000_0000

/** Bits 31, 29, 28 are reserved; ON and OFF are the generic states, others are the implementation's. */
const powerState = checked(word => (word & 0xb000_0000) === 0)
const changed = layout({ agent_id: agentId, domain_id: resourceId, power_state: uint32 })

export const power = protocol({
  id: 0x11,
  name: 'Power domain management',
  key: 'power',
  resource: 'power domain',
  versions: [
    { release: '1.0', version: 0x1_0000 },
    { release: '2.0', version: 0x2_0000 },
    { release: '3.1', version: 0x3_0000 },
    { release: '3.2', version: 0x3_0001 },
  ],
  messages: {
    ...common({
      attributes: layout({
        attributes: bits({ num_domains: [0, 16] }),
        statistics_address_low: hidden(uint32),
        statistics_address_high: hidden(uint32),
        statistics_len: hidden(uint32),
      }),
      negotiateSince: v3_1,
    }),
    POWER_DOMAIN_ATTRIBUTES: message({
      id: 0x3,
      doc: 'Returns what can be done with a power domain, and its name.',
      effect: 'query',
      resource: 'domain_id',
      command: layout({ domain_id: resourceId }),
      response: layout({
        attributes: bits(
          {
            ext_name: [27, 1],
            change_requested_notify: [28, 1],
            set_sync: [29, 1],
            set_async: [30, 1],
            change_notify: [31, 1],
          },
          { p2a: ['change_requested_notify', 'set_async', 'change_notify'] },
        ),
        name: name16,
      }),
      placeholder: { answer: { attributes: { set_sync: 1 }, name: 'unused-p#' } },
    }),
    POWER_STATE_SET: message({
      id: 0x4,
      doc: 'Sets the power state of a domain. Asynchronous completion shows as POWER_STATE_CHANGED.',
      effect: 'control',
      resource: 'domain_id',
      votes: { field: 'power_state', mask: 0xffff_ffff, off: POWER_OFF, harmless: true },
      command: layout({ flags: bits({ async: [0, 1] }), domain_id: resourceId, power_state: powerState }),
      response: layout({}),
      placeholder: 'denied',
    }),
    POWER_STATE_GET: message({
      id: 0x5,
      doc: 'Returns the power state of a domain.',
      effect: 'query',
      resource: 'domain_id',
      command: layout({ domain_id: resourceId }),
      response: layout({ power_state: uint32 }),
      view: { field: 'power_state', mask: 0xffff_ffff, on: POWER_ON, off: POWER_OFF },
      placeholder: { answer: { power_state: POWER_OFF } },
    }),
    POWER_STATE_NOTIFY: notify({
      id: 0x6,
      resource: 'domain_id',
      subscribes: 0x0,
      doc: 'Subscribes to changes of a power state.',
    }),
    POWER_STATE_CHANGE_REQUESTED_NOTIFY: notify({
      id: 0x7,
      since: v2,
      resource: 'domain_id',
      subscribes: 0x1,
      doc: 'Subscribes to requests that did not change a power state because others hold the domain.',
    }),
    POWER_DOMAIN_NAME_GET: nameGet(0x8, 'domain_id', v3, 'a power domain'),
  },
  notifications: {
    POWER_STATE_CHANGED: notification({
      id: 0x0,
      doc: 'A power state changed.',
      resource: 'domain_id',
      payload: changed,
    }),
    POWER_STATE_CHANGE_REQUESTED: notification({
      id: 0x1,
      doc: 'A change was asked for and not made, because others hold the domain.',
      since: v2,
      resource: 'domain_id',
      payload: changed,
    }),
  },
})
