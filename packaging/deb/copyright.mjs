// The package's copyright file: ours, and that of every dependency packed with it, from its own package.json and licence.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const [modules] = process.argv.slice(2)
if (modules === undefined) throw new Error('usage: copyright.mjs NODE_MODULES')

/** Folders of packages, those below a scope too. */
const packages = readdirSync(modules, { withFileTypes: true })
  .filter(entry => entry.isDirectory())
  .flatMap(({ name }) =>
    name.startsWith('@') ? readdirSync(join(modules, name)).map(each => join(name, each)) : [name],
  )
  .sort()

const indented = text =>
  text
    .trim()
    .split('\n')
    .map(line => (line.trim() === '' ? ' .' : ` ${line.trimEnd()}`))
    .join('\n')

console.log('Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/')
console.log('Upstream-Name: scmi-mediator\n')
console.log('Files: *\nCopyright: the scmi-mediator contributors\nLicense: Apache-2.0')
console.log(' On Debian systems the full text is in /usr/share/common-licenses/Apache-2.0.')
for (const name of packages) {
  const folder = join(modules, name)
  if (!existsSync(join(folder, 'package.json'))) continue
  const {
    version,
    license = 'unknown',
    author,
  } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  const file = readdirSync(folder).find(each => /^licen[cs]e/i.test(each))
  const text = file === undefined ? undefined : readFileSync(join(folder, file), 'utf8')
  const holder =
    text
      ?.split('\n')
      .find(line => /^\s*copyright/i.test(line))
      ?.trim() ?? (typeof author === 'string' ? author : (author?.name ?? `the authors of ${name}`))
  // koffi stays apart, everything else is bundled into the programs
  const apart = /koffi/.test(name)
  console.log(`\nFiles: usr/lib/scmi-mediator/${apart ? `node_modules/${name}` : 'dist/programs'}/*`)
  console.log(`Comment: ${name} ${version}`)
  console.log(`Copyright: ${holder}`)
  console.log(`License: ${license}`)
  if (text !== undefined) console.log(indented(text))
}
