// Reset domain management protocol, 0x16.
import { common, name16, nameGet, notify, v3, v3_1 } from './common.ts'
import {
  agentId,
  bits,
  checked,
  layout,
  message,
  notification,
  protocol,
  resourceId,
  uint32,
} from './schema.ts'

/** Bit 31 clear: architectural, and the only such id is 0, cold reset. Set: the implementation's. */
const resetState = checked(word => word === 0 || word >>> 31 === 1)
const notifies = { async: [31, 1], notify: [30, 1] } as const

export const reset = protocol({
  id: 0x16,
  name: 'Reset domain management',
  key: 'reset',
  resource: 'reset domain',
  versions: [
    { release: '2.0', version: 0x1_0000 },
    { release: '3.1', version: 0x3_0000 },
    { release: '3.2', version: 0x3_0001 },
  ],
  messages: {
    ...common({ attributes: layout({ attributes: bits({ num_domains: [0, 16] }) }), negotiateSince: v3_1 }),
    RESET_DOMAIN_ATTRIBUTES: message({
      id: 0x3,
      doc: 'Returns what can be done with a reset domain: latency in µs (0xFFFFFFFF unknown), name.',
      effect: 'query',
      resource: 'domain_id',
      command: layout({ domain_id: resourceId }),
      response: layout({
        attributes: bits({ ...notifies }, { p2a: ['async', 'notify'] }),
        latency: uint32,
        name: name16,
      }),
      changes: [
        {
          since: v3,
          response: layout({
            attributes: bits({ ...notifies, ext_name: [29, 1] }, { p2a: ['async', 'notify'] }),
            latency: uint32,
            name: name16,
          }),
        },
      ],
      placeholder: { answer: { name: 'unused-r#' } },
    }),
    RESET: message({
      id: 0x4,
      doc: 'Resets a domain: autonomously (bit 0), or by asserting (bit 1) or deasserting its signal.',
      effect: 'control',
      resource: 'domain_id',
      exclusive: true,
      async: { field: 'flags', mask: 0x4, only: 0x1 }, // an explicit assert or deassert is done when it is answered
      command: layout({
        domain_id: resourceId,
        flags: bits({ autonomous: [0, 1], assert: [1, 1], async: [2, 1] }),
        reset_state: resetState,
      }),
      response: layout({}),
      delayed: layout({ domain_id: resourceId }),
      placeholder: 'denied',
    }),
    RESET_NOTIFY: notify({
      id: 0x5,
      resource: 'domain_id',
      subscribes: 0x0,
      doc: 'Subscribes to resets of a domain.',
    }),
    RESET_DOMAIN_NAME_GET: nameGet(0x6, 'domain_id', v3, 'a reset domain'),
  },
  notifications: {
    RESET_ISSUED: notification({
      id: 0x0,
      doc: 'A domain was reset.',
      resource: 'domain_id',
      payload: layout({ agent_id: agentId, domain_id: resourceId, reset_state: uint32 }),
    }),
  },
})
