// The schemas that files are checked against are JSON Schema: the programs take that for granted, to start sooner.
import { Ajv } from 'ajv'
import { expect, test } from 'vitest'
import { ScmidSchema } from '../src/config/scmid-schema.ts'
import { JournalFile } from '../src/lifecycle/journal.ts'
import { platformSchema } from '../src/platform/config.ts'

test.each([
  ['scmid.yaml', ScmidSchema],
  ['a platform file', platformSchema],
  ['domains.json', JournalFile],
])('the schema of %s is one', (_name, schema) => {
  const ajv = new Ajv()
  expect(ajv.validateSchema(schema), ajv.errorsText()).toBe(true)
  expect(ajv.validateSchema({ ...schema, required: 'name' })).toBe(false)
})
