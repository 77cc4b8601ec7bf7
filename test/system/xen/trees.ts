// Guests' partial trees: compiled from their sources, and completed by `scmictl generate` of this very repository.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { run } from '../lib/process.ts'
import { programOf, qemuTree } from '../lib/trees.ts'

const repository = join(import.meta.dirname, '../../..')
const guests = join(import.meta.dirname, 'guests')

/** Compiles guests/`source` to `output`, with every DEVICE in it replaced. */
export async function compileTree(source: string, output: string, device = ''): Promise<void> {
  const text = readFileSync(join(guests, source), 'utf8').replaceAll('DEVICE', device)
  writeFileSync(`${output}.dts`, text)
  const [command, ...before] = programOf(await qemuTree(), 'usr/bin/dtc')
  await run(command, [...before, '-q', '-I', 'dts', '-O', 'dtb', '-o', output, `${output}.dts`])
}

/** Writes a guest's tree with the SCMI nodes that its devices come to, to `output`: ids counted from 0, or the firmware's. */
export async function generateTree(
  source: string,
  output: string,
  device?: string,
  discovery: 'dense' | 'identity' = 'dense',
): Promise<void> {
  const partial = `${output}.partial`
  await compileTree(source, partial, device)
  const host = join(repository, 'fixtures/example/host.dtb')
  const scmictl = [
    join(repository, 'dist/cli/main.js'),
    'generate',
    '--discovery',
    discovery,
    '--format',
    'dtb',
  ]
  await run(process.execPath, [...scmictl, '--host', host, '--domain', `guest=${partial}`, '-o', output])
}
