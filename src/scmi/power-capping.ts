// Power capping and monitoring protocol, 0x18, versions 1 and 2. The drafts of version 3 are not here.
import { common, fastChannelDescriptor, name16, nameGet, notify, notifyEnable, v1, v2 } from './common.ts'
import {
  agentId,
  bits,
  layout,
  message,
  notification,
  protocol,
  reserved,
  resourceId,
  resourceIdOf,
  uint32,
} from './schema.ts'

/** parent_id of a domain without parent. */
export const NO_PARENT = 0xffff_ffff
/** power_cap of CAP_SET that lifts the caller's cap, and of CAP_GET where no cap is in force: version 2 on. */
export const CAP_DISABLED = 0
/** Power units, as `unit` has them. SCP-firmware reads them one bit higher; this is where Linux does. */
export const powerUnits = { abstract: 0, microwatt: 1, milliwatt: 2 } as const

export const powerCapping = protocol({
  id: 0x18,
  name: 'Power capping and monitoring',
  key: 'power-capping',
  resource: 'power capping domain',
  denseOnly: true, // Linux gives up the whole protocol at the first domain without a sensible cap
  versions: [
    { release: '3.1', version: 0x1_0000 },
    { release: '3.2', version: 0x2_0000 },
  ],
  messages: {
    ...common({
      attributes: layout({ attributes: bits({ num_domains: [0, 16] }) }),
      messageAttributes: { fast_channel: [0, 1] },
      hide: ['fast_channel'],
      negotiateSince: v2,
    }),
    POWERCAP_DOMAIN_ATTRIBUTES: message({
      id: 0x3,
      doc: 'Returns what can be done with a power capping domain, its name, its caps and its averaging intervals in ms.',
      effect: 'query',
      resource: 'domain_id',
      command: layout({ domain_id: resourceId }),
      response: layout({
        attributes: bits(
          {
            fast_channels: [22, 1],
            unit: [23, 2],
            pai_config: [25, 1],
            monitoring: [26, 1],
            cap_config: [27, 1],
            ext_name: [28, 1],
            async: [29, 1],
            measurements_notify: [30, 1],
            cap_notify: [31, 1],
          },
          { hide: ['fast_channels'], p2a: ['async', 'measurements_notify', 'cap_notify'] },
        ),
        name: name16,
        min_pai: uint32,
        max_pai: uint32,
        pai_step: uint32,
        min_power_cap: uint32,
        max_power_cap: uint32,
        power_cap_step: uint32,
        sustainable_power: uint32,
        accuracy: uint32,
        parent_id: resourceIdOf({ none: NO_PARENT }),
      }),
      placeholder: 'not-supported',
    }),
    POWERCAP_CAP_GET: message({
      id: 0x4,
      doc: 'Returns the cap in force; from version 2 on 0 where there is none.',
      effect: 'query',
      resource: 'domain_id',
      command: layout({ domain_id: resourceId }),
      response: layout({ power_cap: uint32 }),
      placeholder: 'not-supported',
    }),
    POWERCAP_CAP_SET: message({
      id: 0x5,
      doc: "Sets the caller's cap of a domain; from version 2 on 0 lifts it.",
      effect: 'control',
      resource: 'domain_id',
      exclusive: true,
      async: { field: 'flags', mask: 0x2, waived: 0x1 },
      command: layout({
        domain_id: resourceId,
        flags: bits({ ignore_delayed_response: [0, 1], async: [1, 1] }),
        power_cap: uint32,
      }),
      response: layout({}),
      delayed: layout({ domain_id: resourceId, power_cap: uint32 }),
      placeholder: 'denied',
    }),
    POWERCAP_PAI_GET: message({
      id: 0x6,
      doc: 'Returns the power averaging interval of a domain in ms.',
      effect: 'query',
      resource: 'domain_id',
      command: layout({ domain_id: resourceId }),
      response: layout({ pai: uint32 }),
      placeholder: 'not-supported',
    }),
    POWERCAP_PAI_SET: message({
      id: 0x7,
      doc: 'Sets the power averaging interval of a domain in ms.',
      effect: 'control',
      resource: 'domain_id',
      exclusive: true,
      command: layout({ domain_id: resourceId, flags: reserved, pai: uint32 }),
      response: layout({}),
      placeholder: 'denied',
    }),
    POWERCAP_DOMAIN_NAME_GET: nameGet(0x8, 'domain_id', v1, 'a power capping domain'),
    POWERCAP_MEASUREMENTS_GET: message({
      id: 0x9,
      doc: 'Returns the average power of a domain and the interval in ms it was taken over.',
      effect: 'query',
      resource: 'domain_id',
      command: layout({ domain_id: resourceId }),
      response: layout({ power: uint32, pai: uint32 }),
      placeholder: 'not-supported',
    }),
    POWERCAP_CAP_NOTIFY: notify({
      id: 0xa,
      resource: 'domain_id',
      subscribes: 0x0,
      doc: 'Subscribes to changes of the cap and the averaging interval.',
    }),
    POWERCAP_MEASUREMENTS_NOTIFY: message({
      id: 0xb,
      doc: 'Subscribes to the average power leaving a range.',
      effect: 'control',
      optional: true,
      resource: 'domain_id',
      subscribes: 0x1,
      command: layout({
        domain_id: resourceId,
        notify_enable: notifyEnable,
        threshold_low: uint32,
        threshold_high: uint32,
      }),
      response: layout({}),
      placeholder: 'not-supported',
    }),
    POWERCAP_DESCRIBE_FASTCHANNEL: message({
      id: 0xc,
      doc: 'Returns the physical address of a fast channel: never for guests, it would lead past the mediator.',
      effect: 'query',
      optional: true,
      resource: 'domain_id',
      privileged: true,
      command: layout({ domain_id: resourceId, message_id: uint32 }),
      response: fastChannelDescriptor,
      placeholder: 'not-supported',
    }),
  },
  notifications: {
    POWERCAP_CAP_CHANGED: notification({
      id: 0x0,
      doc: 'The cap of a domain or its averaging interval changed.',
      resource: 'domain_id',
      payload: layout({ agent_id: agentId, domain_id: resourceId, power_cap: uint32, pai: uint32 }),
    }),
    POWERCAP_MEASUREMENTS_CHANGED: notification({
      id: 0x1,
      doc: 'The average power of a domain left the range that was subscribed to, or came back into it.',
      resource: 'domain_id',
      payload: layout({ agent_id: agentId, domain_id: resourceId, power: uint32 }),
    }),
  },
})
