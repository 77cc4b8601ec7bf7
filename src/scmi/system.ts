// System power management protocol, 0x12: shutdown, reset and suspend of the whole system.
import { common, notifyEnable, v2, v2_1 } from './common.ts'
import { agentId, bits, checked, layout, message, notification, protocol, uint32 } from './schema.ts'

/** system_state: 5 to 0x7FFFFFFF are reserved, from 0x80000000 on the vendor's. */
const systemState = checked(word => word >>> 0 <= 4 || word >>> 31 === 1)
const notified = { agent_id: agentId, flags: bits({ graceful: [0, 1] }), system_state: uint32 } as const

export const system = protocol({
  id: 0x12,
  name: 'System power management',
  key: 'system',
  versions: [
    { release: '1.0', version: 0x1_0000 },
    { release: '3.1', version: 0x2_0000 },
    { release: '3.2', version: 0x2_0001 },
  ],
  messages: {
    ...common({
      attributes: layout({ attributes: bits({}) }),
      messageAttributes: { suspend: [30, 1], warm_reset: [31, 1] },
      negotiateSince: v2_1,
    }),
    SYSTEM_POWER_STATE_SET: message({
      id: 0x3,
      doc: 'Shuts down, resets, wakes or suspends the system; bit 0 of flags asks the other agents to cooperate.',
      effect: 'control',
      always: 'denied', // the machine is not one guest's to switch off
      command: layout({ flags: bits({ graceful: [0, 1] }), system_state: systemState }),
      response: layout({}),
    }),
    SYSTEM_POWER_STATE_GET: message({
      id: 0x4,
      doc: 'Returns the state of the system.',
      effect: 'query',
      always: 'not-supported', // as Arm's suite has it for whoever is not a PSCI agent
      command: layout({}),
      response: layout({ system_state: uint32 }),
    }),
    SYSTEM_POWER_STATE_NOTIFY: message({
      id: 0x5,
      doc: 'Subscribes to changes of the system state that others ask for.',
      effect: 'control',
      optional: true,
      subscribes: 0x0,
      command: layout({ notify_enable: notifyEnable }),
      response: layout({}),
    }),
  },
  notifications: {
    SYSTEM_POWER_STATE_NOTIFIER: notification({
      id: 0x0,
      doc: 'The system is about to change its state; timeout in milliseconds, 0 for none.',
      payload: layout(notified),
      changes: [{ since: v2, payload: layout({ ...notified, timeout: uint32 }) }],
    }),
  },
})
