// Makes the generated pages, or says which of them are stale: `node dist/cli/docs.js --write | --check [root]`.
import { fileURLToPath } from 'node:url'
import { generate } from './docs-pages.ts'

const [mode, root = fileURLToPath(new URL('../..', import.meta.url))] = process.argv.slice(2)
if (mode !== '--write' && mode !== '--check') {
  console.error('usage: docs.js --write | --check [root]')
  process.exitCode = 2
} else {
  const lines = generate(root, mode === '--check')
  for (const line of lines) console.error(line)
  process.exitCode = lines.length === 0 ? 0 : 1
}
