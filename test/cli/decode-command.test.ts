import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { fixture, scmictl } from './harness.ts'

// CLOCK_RATE_SET of clock 7 to 24 MHz, from the standard's tables: header 0x00005005 (protocol 0x14, message 5)
const rateSet = '0550000000000000070000000036 6e0100000000'

test.each<[string, string[]]>([
  ['in one word', [rateSet.replaceAll(' ', '')]],
  ['in several', ['05500000', '00000000', '07000000', '00366e01', '00000000']],
  ['with blanks inside', [rateSet]],
  ['with 0x, commas and capitals', ['0x05,0x50,0x00,0x00', '0X00000000', '07000000', '00366E0100000000']],
  ['with colons', ['05:50:00:00:00:00:00:00:07:00:00:00:00:36:6e:01:00:00:00:00']],
])('a frame %s', async (_, args) => {
  const { code, stdout, stderr } = await scmictl(['decode', '--direction', 'command', ...args])
  expect([code, stderr]).toEqual([0, ''])
  expect(stdout).toMatch(/^clock CLOCK_RATE_SET command, token 0: .*clock_id=7 rate=24000000\n$/)
})

test('as JSON, a 64-bit number as a number', async () => {
  const { stdout } = await scmictl(['decode', '--json', rateSet])
  expect(JSON.parse(stdout)).toMatchObject({
    text: expect.stringContaining('CLOCK_RATE_SET'),
    protocolId: 0x14,
    messageId: 5,
    name: 'CLOCK_RATE_SET',
    value: { clock_id: 7, rate: 24_000_000 },
    rest: '',
  })
})

test('as JSON, a number that JSON readers would round as a string', async () => {
  const { stdout } = await scmictl(['decode', '--json', '05500000 00000000 07000000 ffffffffffffffff'])
  expect(JSON.parse(stdout)).toMatchObject({ value: { rate: '18446744073709551615' } })
})

test('standard input has a frame a line; blank lines and comments do not count', async () => {
  const stdin = `# captured\n${rateSet}   # set\n\n00400000\n`
  const text = await scmictl(['decode', '-'], { stdin })
  expect(text.code).toBe(0)
  expect(text.stdout.trimEnd().split('\n')).toHaveLength(2)
  const json = await scmictl(['decode', '--json', '-'], { stdin })
  expect(JSON.parse(json.stdout)).toHaveLength(2)
})

test('every golden frame of the clock protocol is called by its name', async () => {
  const frames = JSON.parse(readFileSync(fixture('frames/clock.json'), 'utf8')) as {
    message: string
    bytes: string
  }[]
  const stdin = frames.map(({ bytes }) => bytes).join('\n')
  const { stdout } = await scmictl(['decode', '-'], { stdin })
  const lines = stdout.trimEnd().split('\n')
  expect(lines).toHaveLength(frames.length)
  for (const [i, { message }] of frames.entries()) expect(lines[i]).toContain(` ${message} `)
})

test('too short to be a frame: told, and exit 1', async () => {
  expect(await scmictl(['decode', '0550'])).toMatchObject({
    code: 1,
    stdout: expect.stringMatching(/^no frame: 2 bytes/),
  })
})

test.each<[string, string[], string]>([
  ['a stray letter', ['0x5g'], `'scmictl decode': "g" is no hexadecimal digit.`],
  ['half a byte', ['055'], "'scmictl decode': 3 is an odd number of digits."],
  ['nothing', [], "'scmictl decode' requires at least 1 argument."],
])('%s exits 2', async (_, args, text) => {
  const { code, stderr } = await scmictl(['decode', ...args])
  expect([code, stderr.split('\n')[0]]).toEqual([2, text])
})

test('a bad line of standard input is told with its number', async () => {
  expect(await scmictl(['decode', '-'], { stdin: '05500000\n\nxyz\n' })).toEqual({
    code: 1,
    stdout: '',
    stderr: 'scmictl: standard input:3: "x" is no hexadecimal digit\n',
  })
})
