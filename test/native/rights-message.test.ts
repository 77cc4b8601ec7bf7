import { readdirSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import * as libc from '../../src/native/libc.ts'
import { EAGAIN, MSG_DONTWAIT } from '../../src/native/linux.ts'
import { NativeMemory } from '../../src/native/native-memory.ts'
import { RightsMessage } from '../../src/native/rights-message.ts'
import { socketPair } from '../../src/native/unix-socket.ts'

const openFds = () => readdirSync('/proc/self/fd').length

describe('RightsMessage', () => {
  test.each([
    [0, 'bytes alone'],
    [1, 'one descriptor'],
    [3, 'an odd number of descriptors'],
    [8, 'as many as there is room for'],
  ])('carries %i descriptors: %s', count => {
    const [a, b] = socketPair('seqpacket')
    const sender = new RightsMessage(64, 8)
    const receiver = new RightsMessage(64, 8)
    const eventfds = Array.from({ length: count }, () => libc.eventfd())
    sender.words[0] = 0x494d4353
    expect(sender.send(a, 16, eventfds)).toBe(16)
    expect(receiver.receive(b)).toBe(16)
    expect(receiver.words[0]).toBe(0x494d4353)
    expect(receiver.fdCount).toBe(count)
    expect(receiver.fdsLost).toBe(false)
    const memory = NativeMemory.allocate(64)
    for (let i = 0; i < count; i++) {
      memory.words[0] = i + 1
      expect(libc.write(receiver.fds[i] ?? -1, memory.address, 8)).toBe(8)
      memory.words[0] = 0
      expect(libc.read(eventfds[i] ?? -1, memory.address, 8)).toBe(8)
      expect(memory.words[0]).toBe(i + 1)
    }
    memory.release()
    receiver.closeFds()
    for (const fd of [...eventfds, a, b]) libc.close(fd)
    sender.release()
    receiver.release()
  })

  test('more descriptors than fit are reported and leak nothing', () => {
    const [a, b] = socketPair('stream')
    const sender = new RightsMessage(64, 200)
    const receiver = new RightsMessage(64, 2)
    const eventfd = libc.eventfd()
    const before = openFds()
    expect(
      sender.send(
        a,
        4,
        Array.from({ length: 200 }, () => eventfd),
      ),
    ).toBe(4)
    expect(receiver.receive(b)).toBe(4)
    expect(receiver.fdsLost).toBe(true)
    expect(receiver.fdCount).toBe(2)
    receiver.closeFds()
    expect(receiver.fdCount).toBe(0)
    expect(openFds()).toBe(before)
    for (const fd of [eventfd, a, b]) libc.close(fd)
    sender.release()
    receiver.release()
  })

  test('a plain recv drops descriptors without leaking them', () => {
    const [a, b] = socketPair('seqpacket')
    const sender = new RightsMessage(64, 4)
    const before = openFds()
    expect(sender.send(a, 8, [a, b])).toBe(8)
    expect(libc.recv(b, sender.memory.address, 64, MSG_DONTWAIT)).toBe(8)
    expect(openFds()).toBe(before)
    libc.close(a)
    libc.close(b)
    sender.release()
  })

  test('nothing there is -EAGAIN, a closed peer 0', () => {
    const [a, b] = socketPair('stream')
    const receiver = new RightsMessage(64, 2)
    expect(receiver.receive(b)).toBe(-EAGAIN)
    libc.close(a)
    expect(receiver.receive(b)).toBe(0)
    libc.close(b)
    receiver.release()
  })
})
