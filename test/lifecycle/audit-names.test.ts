// src/lifecycle/audit-names.ts: the words of records, for each decision the right node; looked up when they were true.
import { describe, expect, test } from 'vitest'
import type { AuditRecord } from '../../src/audit/record.ts'
import { now, Site } from './site.ts'

const OFF = 0x4000_0000
const messages = (site: Site): AuditRecord[] => {
  site.audit.drain()
  return site.records().filter(({ kind }) => kind === 'message')
}
const brief = ({ domain, message, decision, rule, node }: AuditRecord) => ({
  domain,
  message,
  decision,
  rule,
  node,
})

async function two(): Promise<Site> {
  const site = await Site.recovered()
  await site.add('guest-a', { domid: 3 })
  await site.add('guest-b')
  return site
}

describe('which node decides', () => {
  test.each<[string, string, number, number[], Partial<AuditRecord>]>([
    [
      'granted: its own',
      'guest-a',
      0x1407,
      [0, 1, 0],
      { decision: 'allowed', rule: 'granted by /soc/ethernet@e6800000', node: '/soc/ethernet@e6800000' },
    ],
    [
      'another domain’s',
      'guest-b',
      0x1407,
      [0, 1, 0],
      {
        decision: 'denied',
        rule: 'not granted: /soc/ethernet@e6800000 of guest-a',
        node: '/soc/ethernet@e6800000',
      },
    ],
    [
      'the host’s',
      'guest-b',
      0x1407,
      [7, 1, 0],
      { decision: 'denied', rule: 'not granted: /soc/i2c@e6510000 of Dom0', node: '/soc/i2c@e6510000' },
    ],
    [
      'below the host’s',
      'guest-b',
      0x1407,
      [12, 1, 0],
      {
        decision: 'denied',
        rule: 'not granted: /soc/i2c@e6510000/codec@10 of Dom0',
        node: '/soc/i2c@e6510000/codec@10',
      },
    ],
    [
      'a query of another’s',
      'guest-b',
      0x1403,
      [0],
      {
        decision: 'placeholder',
        rule: 'not granted: /soc/ethernet@e6800000 of guest-a',
        node: '/soc/ethernet@e6800000',
      },
    ],
    [
      'a release of another’s',
      'guest-b',
      0x1407,
      [0, 0, 0],
      {
        decision: 'placeholder',
        rule: 'not granted, and nothing to release: /soc/ethernet@e6800000 of guest-a',
        node: '/soc/ethernet@e6800000',
      },
    ],
    [
      'a protocol it has nothing of: who has that resource',
      'guest-b',
      0x1305,
      [1, 600, 200],
      { decision: 'denied' },
    ],
    [
      'a permission command is about no node',
      'guest-b',
      0x1009,
      [3, 0, 1],
      { decision: 'denied', rule: 'never for guests' },
    ],
  ])('%s', async (_why, name, message, words, expected) => {
    const site = await two()
    site.guest(name).status(message, ...words)
    const found = messages(site).at(-1)
    expect(found).toMatchObject({ domain: name, ...expected })
    if (expected.node === undefined && expected.rule !== undefined) expect(found?.node).toBeUndefined()
  })

  test('others’ votes, a state that is not shared, an exclusive hold', async () => {
    const site = await two()
    const [a, b] = [site.guest('guest-a'), site.guest('guest-b')]
    a.status(0x1104, 0, 2, 0)
    b.status(0x1104, 0, 2, 0)
    a.status(0x1104, 0, 2, OFF)
    b.status(0x1104, 0, 2, 1)
    expect(
      messages(site)
        .filter(({ decision }) => decision !== 'allowed')
        .map(brief),
    ).toEqual([
      {
        domain: 'guest-a',
        message: 'POWER_STATE_SET',
        decision: 'vote',
        rule: 'another holder still needs it: /soc/mmc@ee140000 of guest-b',
        node: '/soc/mmc@ee140000',
      },
      {
        domain: 'guest-b',
        message: 'POWER_STATE_SET',
        decision: 'denied',
        rule: 'shared, so only on and off can be asked of it: /soc/mmc@ee100000 of guest-a',
        node: '/soc/mmc@ee100000',
      },
    ])
    await site.lifecycle.removeDomain('guest-a', now)
    await site.add('guest-c')
    await site.add('guest-d')
    site.guest('guest-c').status(0x1405, 0, 9, 40_000_000, 0)
    site.guest('guest-d').status(0x1405, 0, 9, 40_000_000, 0)
    expect(messages(site).slice(-2).map(brief)).toMatchObject([
      { domain: 'guest-c', decision: 'allowed', node: '/soc/can@e66c0000' },
      {
        domain: 'guest-d',
        decision: 'denied',
        rule: 'set exclusively by another domain: /soc/can@e66c0000 of guest-c',
        node: '/soc/can@e66c0000',
      },
    ])
  })

  test('what the host keeps to itself', async () => {
    const site = await Site.recovered()
    await site.add('guest-c')
    await site.lifecycle.attachDevice('guest-c', 'codec@10', now)
    await site.lifecycle.detachDevice('guest-c', 'codec@10', now)
    // Clock 9 is the host's too (can1 stays with it).
    site.guest('guest-c').status(0x1405, 0, 9, 40_000_000, 0)
    expect(messages(site).map(brief)).toEqual([
      {
        domain: 'guest-c',
        message: 'CLOCK_RATE_SET',
        decision: 'denied',
        rule: 'the host uses it: /soc/can@e6c38000 of Dom0',
        node: '/soc/can@e6c38000',
      },
    ])
  })

  test('nobody’s', async () => {
    const site = await two()
    await site.lifecycle.detachDevice('guest-a', '0', now)
    site.guest('guest-a').status(0x1407, 0, 1, 0)
    site.guest('guest-b').status(0x1407, 0, 0, 0)
    expect(messages(site).map(({ rule, node }) => [rule, node])).toEqual([
      ['not granted: no device tree node names it', undefined],
      ['not granted, and nothing to release: no device tree node names it', undefined],
    ])
  })
})

describe('names are those of the moment', () => {
  test('what a guest did before a detach, an attach or its end is told by what was so then', async () => {
    const site = await two()
    const a = site.guest('guest-a')
    a.status(0x1407, 8, 1, 0)
    await site.lifecycle.detachDevice('guest-a', '5', now)
    a.status(0x1407, 8, 1, 0)
    await site.lifecycle.attachDevice('guest-b', '5', now)
    a.status(0x1407, 8, 1, 0)
    site.guest('guest-b').status(0x1407, 8, 1, 0)
    await site.lifecycle.removeDomain('guest-b', now)
    a.status(0x1407, 0, 1, 0)
    await site.lifecycle.removeDomain('guest-a', now)
    expect(messages(site).map(({ domain, domid, rule }) => [domain, domid, rule])).toEqual([
      ['guest-a', 3, 'granted by /soc/gpu@fd000000'],
      ['guest-a', 3, 'not granted: no device tree node names it'],
      ['guest-a', 3, 'not granted: /soc/gpu@fd000000 of guest-b'],
      ['guest-b', undefined, 'granted by /soc/gpu@fd000000'],
      ['guest-a', 3, 'granted by /soc/ethernet@e6800000'],
    ])
  })

  test('the next tenant of a place is not blamed for what the former did', async () => {
    const site = await Site.recovered()
    await site.add('guest-a')
    site.guest('guest-a').status(0x1407, 1, 1, 0)
    site.broken.audit = true // so that nothing is written meanwhile
    await site.lifecycle.removeDomain('guest-a', now)
    site.broken.audit = false
    await site.add('guest-b')
    expect(site.lifecycle.domain('guest-b').slot).toBe(0)
    site.guest('guest-b').status(0x1407, 1, 1, 0)
    expect(messages(site).map(({ domain, decision }) => [domain, decision])).toEqual([
      ['guest-a', 'denied'],
      ['guest-b', 'allowed'],
    ])
  })
})

test('what stands beside: protocol, resource, what was set, status', async () => {
  const site = await two()
  const a = site.guest('guest-a')
  a.status(0x1407, 0, 1, 0)
  a.status(0x1405, 0, 3, 50_000_000, 0)
  a.status(0x1104, 0, 0, 0)
  a.status(0x1604, 0, 1, 0)
  expect(
    messages(site).map(({ protocolName, resource, resourceName, arguments: set, statusName, agentId }) => [
      protocolName,
      resource,
      resourceName,
      set,
      statusName,
      agentId,
    ]),
  ).toEqual([
    ['clock', 0, 'avb', { attributes: 1, extended_config_val: 0 }, 'SUCCESS', 2],
    ['clock', 3, 'sd0', { flags: 0, rate: 50_000_000 }, 'SUCCESS', 2],
    ['power', 0, 'avb', { flags: 0, power_state: 0 }, 'SUCCESS', 2],
    ['reset', 0, 'avb', { flags: 1, reset_state: 0 }, 'SUCCESS', 2],
  ])
})
