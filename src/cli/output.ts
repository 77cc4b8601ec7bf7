// What goes to the terminal or the pipe: lines, JSON documents, marked words. It knows no command.

/** Where text goes. */
export interface Sink {
  write(text: string | Uint8Array): unknown
}

export interface OutputOptions {
  readonly stdout: Sink
  readonly stderr: Sink
  /** Whether stdout may be coloured: a terminal, and nobody said no. */
  readonly colour: boolean
  /** Whether stdout is a terminal: JSON is indented for eyes there, one line otherwise. */
  readonly terminal: boolean
}

const red = 31
const green = 32
const yellow = 33

/** Words that want an eye, wherever they stand alone. */
const marks: Readonly<Record<string, number>> = {
  ok: green,
  running: green,
  degraded: red,
  unreachable: red,
  failed: red,
  broken: red,
  quarantined: red,
  error: red,
  denied: red,
  warning: yellow,
  adding: yellow,
  removing: yellow,
  placeholder: yellow,
  busy: yellow,
}

/** Output of one run. */
export class Output {
  /** Whether text is wanted, or one JSON document. */
  json = false
  readonly #options: OutputOptions

  constructor(options: OutputOptions) {
    this.#options = options
  }

  /** One line, or several. Control characters in it are shown, not sent. */
  line(text: string): void {
    this.#options.stdout.write(`${printable(text)}\n`)
  }

  /** A line that begins with a marked word. */
  marked(word: string, rest: string): void {
    this.#options.stdout.write(`${this.mark(printable(word))}${printable(rest)}\n`)
  }

  /** What must arrive byte for byte, as a script to be sourced or a blob. */
  verbatim(data: string | Uint8Array): void {
    this.#options.stdout.write(data)
  }

  /** Whether eyes are to read it. */
  get terminal(): boolean {
    return this.#options.terminal
  }

  /** The value as JSON, where that is asked for; else what `render` prints. */
  document(value: unknown, render: () => void): void {
    if (this.json) this.data(value)
    else render()
  }

  /** The value as a JSON document. */
  data(value: unknown): void {
    this.#options.stdout.write(`${JSON.stringify(value, null, this.#options.terminal ? 2 : undefined)}\n`)
  }

  /** One line on stderr. */
  warn(text: string): void {
    this.#options.stderr.write(`${printable(text)}\n`)
  }

  /** A table with a header: columns as wide as xl's, wider where a cell is longer. */
  table<T>(rows: readonly T[], columns: readonly Column<T>[]): void {
    const cells = rows.map(row => columns.map(column => cell(column.of(row))))
    const padded = columns.map((column, at) => {
      const width = cells.reduce((most, each) => Math.max(most, each[at]?.length ?? 0), column.width)
      return (text: string) => (column.right === true ? text.padStart(width) : text.padEnd(width))
    })
    const lines = [columns.map(({ title }, at) => padded[at]?.(title)).join(' ')]
    for (const row of cells)
      lines.push(row.map((text, at) => this.mark(padded[at]?.(text) ?? text)).join(' '))
    for (const line of lines) this.#options.stdout.write(`${line.trimEnd()}\n`)
  }

  /** The word in its colour, blanks around it kept. */
  mark(text: string): string {
    const colour = marks[text.trim()]
    return colour === undefined || !this.#options.colour ? text : `\x1b[${colour}m${text}\x1b[0m`
  }
}

/** A column; text to the left, numbers to the right. */
export interface Column<T> {
  readonly title: string
  /** At least so many characters. */
  readonly width: number
  readonly right?: true
  readonly of: (row: T) => string | number | undefined
}

/** What is not there is `-`. */
const cell = (value: string | number | undefined): string =>
  value === undefined || value === '' ? '-' : printable(String(value)).replaceAll('\n', ' ')

/** Names come from guests and firmware: nothing in them may reach the terminal as a command. */
function printable(text: string): string {
  return text.replace(
    /[^\P{C}\n]|[\u2028\u2029]/gu,
    found => `\\u{${(found.codePointAt(0) ?? 0).toString(16)}}`,
  )
}
