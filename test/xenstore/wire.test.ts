// The codec against bytes that libxenstore sent and real daemons answered, however they are cut; and against rubbish.
import { fc, test as property } from '@fast-check/vitest'
import { describe, expect, test } from 'vitest'
import {
  decodeTexts,
  encodeArguments,
  encodeMessage,
  MessageReader,
  maxReplyBytes,
  messageTypes,
  type RequestName,
  type WireMessage,
} from '../../src/xenstore/wire.ts'
import { message, recordings } from './exchanges.ts'

describe.each(recordings)('$daemon', ({ exchanges }) => {
  const singles = exchanges.filter(
    ({ arguments: args, request }) => request !== 'WRITE' && args[0] !== '/many',
  )

  test.each(singles)(
    '$request $arguments goes out as libxenstore sends it',
    ({ request, arguments: args, sent }) => {
      const bytes = Buffer.from(sent, 'hex')
      const ours = encodeMessage({
        type: messageTypes[request as RequestName],
        requestId: bytes.readUInt32LE(4),
        transactionId: bytes.readUInt32LE(8),
        payload: encodeArguments(args),
      })
      expect(Buffer.from(ours).toString('hex')).toBe(sent)
    },
  )

  test('WRITE puts the value behind the path as it is', () => {
    for (const { request, arguments: args, sent } of exchanges) {
      if (request !== 'WRITE') continue
      const payload = encodeArguments(args, Buffer.from('value'))
      expect(Buffer.from(payload).toString('hex')).toBe(sent.slice(32))
    }
  })

  property.prop([fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 40 })], {
    seed: 1,
    numRuns: 30,
  })('what the daemon said comes out the same however the stream is cut', cuts => {
    const stream = Buffer.concat(exchanges.map(({ received }) => Buffer.from(received, 'hex')))
    const reader = new MessageReader()
    const read: WireMessage[] = []
    for (let at = 0, i = 0; at < stream.length; i++) {
      const size = cuts[i % cuts.length] ?? 1
      read.push(...reader.push(stream.subarray(at, at + size)))
      at += size
    }
    const again = Buffer.concat(
      read.map(({ type, requestId, transactionId, payload }) =>
        message(type, requestId, Buffer.from(payload), transactionId),
      ),
    )
    expect(again.equals(stream)).toBe(true)
    expect(reader.isEmpty).toBe(true)
  })
})

const [c] = recordings
const receivedOf = (request: string, first: string): WireMessage[] => {
  const found = c?.exchanges.find(each => each.request === request && each.arguments[0] === first)
  return new MessageReader().push(Buffer.from(found?.received ?? '', 'hex'))
}

test.each([
  ['READ', '/golden/a', messageTypes.READ, ['value']],
  ['READ', '/golden/absent', messageTypes.ERROR, ['ENOENT']],
  ['DIRECTORY', '/golden', messageTypes.DIRECTORY, ['a', 'dir']],
  ['DIRECTORY', '/golden/dir', messageTypes.DIRECTORY, []],
  ['GET_PERMS', '/golden/dir', messageTypes.GET_PERMS, ['n0', 'r7', 'b9']],
  ['IS_DOMAIN_INTRODUCED', '8', messageTypes.IS_DOMAIN_INTRODUCED, ['F']],
  ['GET_DOMAIN_PATH', '7', messageTypes.GET_DOMAIN_PATH, ['/local/domain/7']],
])('%s %s is answered by type %i with %j', (request, first, type, texts) => {
  const [reply] = receivedOf(request, first)
  expect(reply?.type).toBe(type)
  expect(decodeTexts(reply?.payload ?? new Uint8Array())).toEqual(texts)
})

test('a length that cannot be ends the stream', () => {
  const bytes = message(messageTypes.READ, 1, '')
  bytes.writeUInt32LE(maxReplyBytes + 1, 12)
  expect(() => new MessageReader().push(bytes)).toThrow(RangeError)
})

property.prop([fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 20 })], { seed: 1, numRuns: 1000 })(
  'rubbish makes messages or a RangeError, nothing else',
  chunks => {
    const reader = new MessageReader()
    try {
      for (const chunk of chunks) for (const { payload } of reader.push(chunk)) decodeTexts(payload)
    } catch (error) {
      expect(error).toBeInstanceOf(RangeError)
    }
  },
)
