// A serial console: collects what comes, waits for text in it, and runs commands of a shell behind it.
import type { Readable, Writable } from 'node:stream'

/** A console's two streams, and everything it said. */
export class Console {
  readonly #input: Writable
  #text = ''
  #ended: string | undefined
  #wake: (() => void)[] = []
  #commands = 0

  constructor(output: Readable, input: Writable) {
    this.#input = input
    input.on('error', () => {}) // what is written to one that ended is lost; the waits say so
    output.on('data', chunk => {
      this.#text += String(chunk).replaceAll('\r', '')
      this.#wakeAll()
    })
  }

  /** All it said so far, without carriage returns. */
  get text(): string {
    return this.#text
  }

  /** No more will come: waits fail from now on, with this sentence. */
  end(why: string): void {
    this.#ended = why
    this.#wakeAll()
  }

  /** Types as it stands. */
  type(text: string): void {
    this.#input.write(text)
  }

  /** Waits for what matches after position `from`; throws with the end of the text when it does not come in time. */
  async wait(pattern: RegExp, options: { from?: number; timeoutMs?: number } = {}): Promise<RegExpExecArray> {
    const { from = 0, timeoutMs = 60_000 } = options
    const until = performance.now() + timeoutMs
    for (;;) {
      const found = pattern.exec(this.#text.slice(from))
      if (found !== null) return found
      const left = until - performance.now()
      const why = this.#ended ?? (left <= 0 ? `nothing in ${timeoutMs} ms` : undefined)
      if (why !== undefined)
        throw new Error(`console: ${pattern}: ${why}; the last of it:\n${this.#text.slice(-3000)}`)
      await this.#more(left)
    }
  }

  /**
   * Runs a command of the shell behind the console; gives its exit code and what it wrote, without lines of the kernel
   * in between. The shell must echo nothing (`stty -echo`).
   */
  async shell(command: string, timeoutMs = 60_000): Promise<{ code: number; output: string }> {
    const mark = `mark-${++this.#commands}-`
    const from = this.#text.length
    // The mark is written in two halves, so that an echo of the command does not count as its end.
    this.type(`{ ${command}\n} 2>&1; echo "\n${mark.slice(0, 4)}""${mark.slice(4)}$?."\n`)
    const found = await this.wait(new RegExp(`\\n${mark}(\\d+)\\.\\n`), { from, timeoutMs })
    const output = this.#text.slice(from, from + found.index)
    const own = output.split('\n').filter(line => !/^\[ *\d+\.\d+\]/.test(line))
    return { code: Number(found[1]), output: own.join('\n').trim() }
  }

  #more(timeoutMs: number): Promise<void> {
    return new Promise(resolve => {
      const timer = setTimeout(resolve, timeoutMs)
      this.#wake.push(() => {
        clearTimeout(timer)
        resolve()
      })
    })
  }

  #wakeAll(): void {
    for (const wake of this.#wake.splice(0)) wake()
  }
}
