// The configuration that the package installs, against the real schema.
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { defaultConfigFile } from '../../src/cli/docs-config.ts'
import { configProperties } from '../../src/config/describe-schema.ts'
import { parseConfig } from '../../src/config/scmid.ts'
import { configHelp } from '../../src/config/scmid-help.ts'
import { loadPlatform } from '../../src/platform/load.ts'

const root = new URL('../..', import.meta.url).pathname
const installed = join(root, 'packaging/scmid.yaml')
let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'scmid-conf-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

const parsed = (text: string) => {
  const path = join(folder, 'scmid.yaml')
  writeFileSync(path, text)
  return parseConfig(path)
}

test('every property of the schema has a sentence, and no sentence is about another', () => {
  expect(Object.keys(configHelp).sort()).toEqual(
    configProperties()
      .map(({ path }) => path)
      .sort(),
  )
})

describe('the installed file', () => {
  test('is a configuration: the running host tree, and the platform file beside it', () => {
    const config = parsed(readFileSync(installed, 'utf8'))
    expect(config.host).toBe('/sys/firmware/fdt')
    expect(config.firmware).toMatchObject({ link: 'embedded', platform: join(folder, 'platform.yaml') })
  })

  test('names a platform that can be loaded', () => {
    const path = join(folder, 'platform.yaml')
    copyFileSync(join(root, 'fixtures/example/platform.yaml'), path)
    expect(() => loadPlatform(path)).not.toThrow()
  })

  test('shows every property outside of lists, each once', () => {
    const text = defaultConfigFile()
    const shown = text.split('\n').flatMap(line => /^ *(?:# )?([A-Za-z]+):(?: |$)/.exec(line)?.[1] ?? [])
    const wanted = configProperties().filter(({ inList }) => !inList)
    expect(shown).toEqual(wanted.map(({ key }) => key))
  })

  test('what is commented out is the default: with all of it in force nothing changes', () => {
    const text = defaultConfigFile()
    const forced = new Set(
      configProperties().flatMap(({ path, initial }) => (initial === undefined ? [] : [path])),
    )
    const path: string[] = []
    const all = text
      .split('\n')
      .map(line => {
        const found = /^( *)(# )?([A-Za-z]+):(.*)$/.exec(line)
        if (found === null) return line
        const [, indent = '', , key = '', rest = ''] = found
        path.length = indent.length / 2
        path.push(key)
        const isGroup = rest === '' && path.length === 1 && key !== 'domains'
        const inForce = forced.has(path.join('.')) && rest !== ''
        return isGroup || inForce ? `${indent}${key}:${rest}` : line
      })
      .join('\n')
      .replace(/^directories:$/m, 'directories: {}')
    expect(parsed(all)).toEqual(parsed(text))
  })
})
