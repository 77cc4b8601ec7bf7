// The frames that a guest's kernel sent and received, as its own tracing has them (the event scmi_msg_dump).

/** One frame as the kernel saw it. */
export interface TracedFrame {
  readonly part: 'command' | 'response' | 'delayed' | 'notification'
  /** Hexadecimal, header first, then a response's status, then the payload. */
  readonly bytes: string
}

const parts = { CMND: 'command', RESP: 'response', DLYD: 'delayed', NOTI: 'notification' } as const
const types = { command: 0, response: 0, delayed: 2, notification: 3 } as const

const line =
  /scmi_msg_dump: id=\d+ ch=[0-9A-F]+ pt=([0-9A-F]+) t=(CMND|RESP|DLYD|NOTI) msg_id=([0-9A-F]+) seq=([0-9A-F]+) s=(-?\d+) pyld=([0-9a-f]*)/

/**
 * The frames in a trace's text, in order. Linux traces a command when it has been sent, from the buffer that its response
 * comes to: where the response was faster, what is traced as the command is spoilt, and left out.
 */
export function tracedFrames(trace: string): TracedFrame[] {
  const frames: TracedFrame[] = []
  /** Tokens of commands that await their response, and of responses that came before their command. */
  const awaited = new Set<number>()
  const early = new Set<number>()
  for (const text of trace.split('\n')) {
    const [, protocol, tag, message, seq, status, payload] = line.exec(text) ?? []
    if (tag === undefined || payload === undefined) continue
    const part = parts[tag as keyof typeof parts]
    const number = (digits: string | undefined): number => Number.parseInt(digits ?? '0', 16)
    const token = number(seq)
    if (part === 'command') {
      if (early.delete(token)) continue
      awaited.add(token)
    } else if (part === 'response' && !awaited.delete(token)) early.add(token)
    const words = [number(message) | (types[part] << 8) | (number(protocol) << 10) | (token << 18)]
    if (part === 'response' || part === 'delayed') words.push(Number(status))
    frames.push({ part, bytes: words.map(littleEndian).join('') + payload })
  }
  return frames
}

function littleEndian(word: number): string {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32LE(word | 0)
  return bytes.toString('hex')
}
