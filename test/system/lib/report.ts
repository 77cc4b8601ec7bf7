// Tells how a system test goes: phases with their seconds, checks that pass or fail, and what cannot run here.

/** Thrown where a test cannot run on this machine: one plain sentence why. */
export class Skip extends Error {
  override readonly name = 'Skip'
}

/** What a test does its work with. */
export interface Steps {
  /** Work that the checks after it need: timed, and the whole test fails with it. */
  phase<T>(name: string, work: () => Promise<T>): Promise<T>
  /** One thing shown. When it fails the test goes on. */
  check(name: string, work: () => Promise<void> | void): Promise<void>
  /** One thing that cannot be shown here, and why. */
  skip(name: string, why: string): void
  /** Something measured, with its unit. */
  figure(name: string, value: string): void
}

/** A system test: a name for the command line, and what it does. */
export interface SystemTest {
  readonly name: string
  run(steps: Steps): Promise<void>
}

/** Counts over all tests of a run, told line by line on standard output. */
export class Report implements Steps {
  passed = 0
  failed = 0
  skipped = 0

  async phase<T>(name: string, work: () => Promise<T>): Promise<T> {
    const begun = performance.now()
    const made = await work()
    this.#say('      ', name, begun)
    return made
  }

  async check(name: string, work: () => Promise<void> | void): Promise<void> {
    const begun = performance.now()
    try {
      await work()
      this.passed++
      this.#say('passed', name, begun)
    } catch (error) {
      this.failed++
      this.#say('FAILED', name, begun)
      console.log(told(error))
    }
  }

  skip(name: string, why: string): void {
    this.skipped++
    console.log(`skipped  ${name}: ${why}`)
  }

  figure(name: string, value: string): void {
    console.log(`figure   ${name}: ${value}`)
  }

  /** Runs one test to its end, whatever becomes of it. */
  async test({ name, run }: SystemTest): Promise<void> {
    console.log(`\n${name}`)
    const begun = performance.now()
    try {
      await run(this)
    } catch (error) {
      if (error instanceof Skip) return this.skip(name, error.message)
      this.failed++
      console.log(`FAILED  ${name} could not go on\n${told(error)}`)
    }
    this.#say('      ', `${name}, all of it`, begun)
  }

  /** The closing line. */
  get summary(): string {
    return `${this.passed} passed, ${this.failed} failed, ${this.skipped} skipped`
  }

  #say(verdict: string, name: string, begun: number): void {
    console.log(`${verdict}  ${name} (${((performance.now() - begun) / 1000).toFixed(1)} s)`)
  }
}

const told = (error: unknown): string =>
  (error instanceof Error ? (error.stack ?? error.message) : String(error)).replace(/^/gm, '        ')
