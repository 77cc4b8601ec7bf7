// src/platform-server/kept-frames.ts: a bounded queue of frames, compared with an array.
import { fc, test as property } from '@fast-check/vitest'
import { expect } from 'vitest'
import { KeptFrames } from '../../src/platform-server/kept-frames.ts'

const bytes = fc.uint8Array({ minLength: 4, maxLength: 40 })

property.prop([fc.array(fc.oneof(bytes, fc.constant('shift' as const), fc.constant('clear' as const)))], {
  seed: 1,
  numRuns: 300,
})('gives back what it took, oldest first, and takes neither too many nor too long', operations => {
  const kept = new KeptFrames(3, 32)
  const model: string[] = []
  for (const each of operations) {
    if (each === 'clear') {
      kept.clear()
      model.length = 0
    } else if (each === 'shift') {
      if (model.length === 0) continue
      kept.shift()
      model.shift()
    } else {
      const fits = model.length < 3 && each.length <= 32
      expect(kept.put(each, each.length)).toBe(fits)
      if (fits) model.push(Buffer.from(each).toString('hex'))
      each.fill(0xff) // it has a copy
    }
    expect(kept.count).toBe(model.length)
    if (model.length > 0)
      expect(Buffer.from(kept.oldest.subarray(0, kept.oldestLength)).toString('hex')).toBe(model[0])
  }
})
