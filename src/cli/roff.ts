// Manual pages in the man macros: headings, paragraphs, tagged lists, examples. Text only.

/** Text that a macro must not take for its own: backslashes, hyphens, dots at the beginning of a line. */
const roffText = (text: string): string =>
  text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('’', "'")
    .split('\n')
    .map(line => (/^[.']/.test(line) ? `\\&${line}` : line))
    .join('\n')

/** An argument of a macro, in quotes. */
const argument = (text: string): string => `"${roffText(text).replaceAll('"', '\\(dq')}"`

/** One page under construction. */
export class ManPage {
  readonly #lines: string[]

  /** `source` names the package and its version; there is no date, so that a page changes only with its contents. */
  constructor(name: string, section: number, source: string, manual: string) {
    this.#lines = [
      '.\\" Made by `npm run docs`. Do not edit.',
      `.TH ${argument(name.toUpperCase())} ${section} "" ${argument(source)} ${argument(manual)}`,
    ]
  }

  heading(text: string): this {
    this.#lines.push(`.SH ${argument(text.toUpperCase())}`)
    return this
  }

  subheading(text: string): this {
    this.#lines.push(`.SS ${argument(text)}`)
    return this
  }

  /** A paragraph; words in `backquotes` are bold. */
  paragraph(text: string): this {
    this.#lines.push('.PP', marked(text))
    return this
  }

  /** Name and line of the NAME section, which whatis(1) reads. */
  name(name: string, what: string): this {
    this.heading('name')
    this.#lines.push(`${roffText(name)} \\- ${roffText(what)}`)
    return this
  }

  /** A term in bold with what it means. */
  item(term: string, text: string): this {
    this.#lines.push('.TP', `.B ${argument(term)}`, marked(text))
    return this
  }

  /** Lines as they are. */
  example(lines: readonly string[]): this {
    this.#lines.push('.PP', '.RS 4', '.nf', ...lines.map(roffText), '.fi', '.RE')
    return this
  }

  toString(): string {
    return `${this.#lines.join('\n')}\n`
  }
}

const marked = (text: string): string => roffText(text).replace(/`([^`]+)`/g, '\\fB$1\\fR')
