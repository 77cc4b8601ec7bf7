// The version of the package, read from package.json and from nowhere else.
import { readFileSync } from 'node:fs'

/** As package.json says. The same file lies two folders above this one in src/ and in dist/. */
export const version: string = (
  JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
).version
