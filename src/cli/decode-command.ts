// `scmictl decode`: SCMI frames as text, without a daemon.
import { errorText, MediatorError } from '../errors.ts'
import { type DecodedFrame, decodeFrame } from '../scmi/decode-frame.ts'
import { describe } from '../scmi/describe.ts'
import { type CommandSpec, type Context, choice, UsageError } from './command.ts'

interface DecodeOptions {
  readonly direction?: 'command' | 'response'
}

const maxInputBytes = 16 << 20

export const decode: CommandSpec<DecodeOptions> = {
  name: 'decode',
  args: '<hex...>',
  usage: '[options] <hex...|->',
  summary: 'Print an SCMI frame as text.',
  details: [
    'The frame is given in hexadecimal, header first, byte by byte as on the wire (little-endian); blanks, commas, colons and a leading 0x do not count. With - frames are read from standard input, one a line; what stands behind a # does not count. Exit code 1 when one is too short to be a frame.',
    'A command and its response have the same header: unless --direction tells which it is, the length decides.',
  ],
  examples: [
    ['scmictl decode 05500000 00000000 07000000 00366e0100000000', 'A CLOCK_RATE_SET of clock 7.'],
    ['scmictl decode - < frames.txt', 'Every line of a file.'],
  ],
  options: [
    {
      flags: '--direction <word>',
      summary: 'command or response.',
      ...choice(['command', 'response']),
    },
  ],
  modifies: false,
  daemon: 'no',
  async run({ args, options, out, stdin }) {
    const fromInput = args.length === 1 && args[0] === '-'
    const frames = fromInput ? await framesOf(stdin) : [bytesOf(args.join(' '))]
    const known = options.direction === undefined ? {} : { direction: options.direction }
    const decoded = frames.map(bytes => ({ text: describe(bytes, known), frame: decodeFrame(bytes, known) }))
    const documents = decoded.map(({ text, frame }) => ({ text, ...plain(frame) }))
    out.document(fromInput ? documents : documents[0], () => {
      for (const { text } of decoded) out.line(text)
    })
    return decoded.every(({ frame }) => frame !== undefined) ? 0 : 1
  },
}

/** What JSON cannot say otherwise: bytes as hexadecimal, a 64-bit number beyond 2^53 as a string. */
const plain = (frame: DecodedFrame | undefined): object =>
  frame === undefined
    ? {}
    : (JSON.parse(
        JSON.stringify({ ...frame, rest: Buffer.from(frame.rest).toString('hex') }, (_, value: unknown) =>
          typeof value !== 'bigint'
            ? value
            : Number.isSafeInteger(Number(value))
              ? Number(value)
              : `${value}`,
        ),
      ) as object)

function bytesOf(text: string): Uint8Array {
  try {
    return parseHex(text)
  } catch (error) {
    throw new UsageError(`'scmictl decode': ${errorText(error)}.`)
  }
}

function parseHex(text: string): Uint8Array {
  const digits = text.replace(/\b0x/gi, '').replace(/[\s,:]/g, '')
  const stray = /[^0-9a-f]/i.exec(digits)
  if (stray !== null) throw new Error(`${JSON.stringify(stray[0])} is no hexadecimal digit`)
  if (digits.length % 2 !== 0) throw new Error(`${digits.length} is an odd number of digits`)
  return Uint8Array.from(Buffer.from(digits, 'hex'))
}

async function framesOf(stdin: Context['stdin']): Promise<Uint8Array[]> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of stdin) {
    chunks.push(Buffer.from(chunk))
    size += chunk.length
    if (size > maxInputBytes)
      throw new MediatorError('NOT_SUPPORTED', `standard input: more than ${maxInputBytes} bytes at once`)
  }
  const frames: Uint8Array[] = []
  for (const [i, line] of Buffer.concat(chunks).toString('utf8').split('\n').entries()) {
    const text = line.replace(/#.*/, '').trim()
    if (text === '') continue
    try {
      frames.push(parseHex(text))
    } catch (cause) {
      throw new MediatorError('REQUEST_INVALID', `standard input:${i + 1}: ${errorText(cause)}`, { cause })
    }
  }
  return frames
}
