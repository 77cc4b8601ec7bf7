import { expect, test } from 'vitest'
import { chainStart, checkLine, checkLink, genesis, sealLine } from '../../src/audit/chain.ts'

// The hash is `printf '%s' "$LINE" | sha256sum`, which openssl dgst agrees with.
const golden = `{"time":"2026-01-31T12:00:00.000001Z","sequence":1,"kind":"start","prev":"${genesis}"}`
const goldenHash = 'e4ddffc62bb1bc7d34de7772f46cebf0ba830b26b5aac5dd3677a54e8e81c596'
const sealed = `${golden.slice(0, -1)},"hash":"${goldenHash}"}`

test('a line is sealed with the SHA-256 of what it says', () => {
  expect(sealLine(golden)).toEqual({ line: sealed, hash: goldenHash })
})

test('a sealed line proves itself and gives its record', () => {
  expect(checkLine(Buffer.from(sealed))).toEqual({
    ok: true,
    sequence: 1,
    prev: genesis,
    hash: goldenHash,
    record: {
      time: '2026-01-31T12:00:00.000001Z',
      sequence: 1,
      kind: 'start',
      prev: genesis,
      hash: goldenHash,
    },
  })
})

test.each([
  ['', 'too short', 'an empty line'],
  [golden, 'does not end in a hash', 'no hash at all'],
  [
    sealed.replace(goldenHash, goldenHash.toUpperCase()),
    'does not end in a hash',
    'a hash in capitals is another line',
  ],
  [`${sealed} `, 'does not end in a hash', 'something after the end'],
  [sealed.replace('start', 'stork'), 'does not match', 'changed content'],
  [sealed.replace('e4dd', 'e4de'), 'does not match', 'changed hash'],
  [sealLine('{"sequence":1,"prev":"x}').line, 'not JSON', 'well sealed, but not JSON'],
  [sealLine('{"sequence":"1","prev":"x"}').line, 'without sequence or prev', 'well sealed, but no record'],
  [sealLine('{"sequence":1}').line, 'without sequence or prev', 'well sealed, but bound to nothing'],
])('%s: %s (%s)', (line, text, _) => {
  const check = checkLine(Buffer.from(line))
  expect(check.ok).toBe(false)
  if (!check.ok) expect(check.text).toContain(text)
})

test.each([
  [1, genesis, undefined, 'the first record'],
  [2, genesis, 'records are missing', 'a gap'],
  [0, genesis, 'repeated or out of order', 'a step back'],
  [1, goldenHash, 'the line before was replaced', 'another prev'],
])('sequence %i after nothing: %#', (sequence, prev, text, _) => {
  const fault = checkLink(chainStart, { sequence, prev })
  if (text === undefined) expect(fault).toBeUndefined()
  else expect(fault).toContain(text)
})
