// src/platform/events.ts: the queue of frames that wait to be sent, and subscriptions.
import { describe, expect, test } from 'vitest'
import { Events, Subscriptions } from '../../src/platform/events.ts'

const frames = (events: Events, channelOf: Int16Array): string[] => {
  const sent: string[] = []
  events.flush((channel, frame, length) => {
    sent.push(`${channel}: ${Buffer.from(frame.subarray(0, length)).toString('hex')}`)
  }, channelOf)
  return sent
}

describe('the queue', () => {
  test('sends in order, on each agent’s channel; nothing to agents without one', () => {
    const events = new Events()
    for (const agent of [1, 0, 2]) events.notify(agent, 0x14, 0, 4)[1] = agent
    expect(frames(events, Int16Array.of(7, 5, -1))).toEqual(['5: 0053000001000000', '7: 0053000000000000'])
    expect(frames(events, Int16Array.of(7, 5, -1))).toEqual([])
  })

  test('full, it drops the newest and counts them, and goes on when emptied', () => {
    const events = new Events()
    for (let i = 0; i < 300; i++) events.notify(0, 0x11, 0, 4)[1] = i
    expect(events.dropped).toBe(300 - 256)
    const sent = frames(events, Int16Array.of(0))
    expect([sent.length, sent[0], sent.at(-1)]).toEqual([256, '0: 0047000000000000', '0: 00470000ff000000'])
    for (let i = 0; i < 300; i++) {
      events.notify(0, 0x11, 1, 4)[1] = i
      if (i % 7 === 0) frames(events, Int16Array.of(0))
    }
    expect(events.dropped, 'around the ring').toBe(300 - 256)
  })

  test('a frame carries nothing of the one before it in its place', () => {
    const events = new Events()
    for (let i = 0; i < 256; i++) events.notify(0, 0x11, 0, 12).fill(0xffff_ffff, 1)
    frames(events, Int16Array.of(0))
    events.notify(0, 0x11, 0, 12)
    expect(frames(events, Int16Array.of(0))).toEqual([`0: 00470000${'0'.repeat(24)}`])
  })

  test('what a sink causes is sent too, after what was there', () => {
    const events = new Events()
    events.notify(0, 0x11, 0, 4)[1] = 1
    events.notify(0, 0x11, 0, 4)[1] = 2
    const seen: number[] = []
    const sink = (_channel: number, frame: Uint8Array): void => {
      seen.push(frame[4] as number)
      if (seen.length === 1) events.notify(0, 0x11, 0, 4)[1] = 3
      events.flush(sink, Int16Array.of(0)) // as a link does that sends from within
    }
    events.flush(sink, Int16Array.of(0))
    expect(seen).toEqual([1, 2, 3])
  })
})

test('subscriptions are per notification, resource and agent', () => {
  const subscriptions = new Subscriptions(2, 3, 4)
  subscriptions.set(1, 2, 3, 1)
  subscriptions.set(0, 1, 3, 1)
  subscriptions.set(0, 1, 2, 1)
  const all = () => {
    const list: string[] = []
    for (let kind = 0; kind < 2; kind++)
      for (let resource = 0; resource < 3; resource++)
        for (let agent = 0; agent < 4; agent++)
          if (subscriptions.has(kind, resource, agent)) list.push(`${kind}${resource}${agent}`)
    return list
  }
  expect(all()).toEqual(['012', '013', '123'])
  subscriptions.drop(3)
  expect(all()).toEqual(['012'])
})
