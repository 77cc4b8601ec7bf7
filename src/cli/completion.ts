// The bash completion script, made from the table. Text only.
import { type CommandSpec, type OptionSpec, synopsis } from './command.ts'
import { globalOptions, leadingOptions } from './parse.ts'

const flags = (options: readonly OptionSpec[]): string =>
  options.flatMap(option => option.flags.match(/(?<=^|\s)--?[A-Za-z][\w-]*/g) ?? []).join(' ')

/** Every spelling of an option, as bash's case wants them. */
const casePattern = (option: OptionSpec): string => flags([option]).replaceAll(' ', '|')

/** Flags whose value is a file. */
const fileFlags = (commands: readonly CommandSpec[]): string[] => [
  ...new Set(
    [...commands.flatMap(command => command.options), ...globalOptions]
      .filter(option => /[<[](file|path)[>\]]/.test(option.flags))
      .map(casePattern),
  ),
]

/** Flags with any other value. */
const valueFlags = (commands: readonly CommandSpec[]): string[] => [
  ...new Set(
    commands
      .flatMap(command => command.options)
      .filter(
        ({ flags: text, words }) =>
          words === undefined && text.includes('<') && !/<(file|path|domain|name=file)>/.test(text),
      )
      .map(casePattern),
  ),
]

/** A line of bash's case for each option with a value out of a list; commands that share its name share the words. */
function wordCases(commands: readonly CommandSpec[]): string[] {
  const words = new Map<string, Set<string>>()
  for (const option of commands.flatMap(command => command.options)) {
    if (option.words === undefined) continue
    const pattern = casePattern(option)
    words.set(pattern, new Set([...(words.get(pattern) ?? []), ...option.words]))
  }
  return Array.from(
    words,
    ([pattern, list]) =>
      `    ${pattern}) COMPREPLY=($(compgen -W '${[...list].join(' ')}' -- "$cur")); return ;;\n`,
  )
}

/** A script to be sourced: `source <(scmictl completion)`. */
export function bashCompletion(commands: readonly CommandSpec[]): string {
  const cases = commands.map(command => {
    const domain = /[<[]Domain[>\]]/.test(synopsis(command)) ? 'domains=1' : 'domains='
    const words = `${flags(command.options)}${command.modifies ? ' -N' : ''}`
    const actions = /\[([a-z]+(?:\|[a-z]+)+)\]/.exec(synopsis(command))?.[1]?.replaceAll('|', ' ') ?? ''
    return `    ${command.name}) words='${words}'; ${domain}; actions='${actions}' ;;`
  })
  return `# bash completion for scmictl; source it: source <(scmictl completion)
_scmictl() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} command= words= domains= actions= i
  case $prev in
    ${fileFlags(commands).join('|')}) COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --domain) COMPREPLY=($(compgen -W "$(scmictl list 2>/dev/null | awk 'NR > 1 { print $1 }')" -- "$cur")); return ;;
${wordCases(commands).join('')}    ${valueFlags(commands).join('|')}) return ;;
  esac
  for ((i = 1; i < COMP_CWORD; i++)); do
    case \${COMP_WORDS[i]} in
      --socket) ((i++)) ;;
      -*) ;;
      *) command=\${COMP_WORDS[i]}; break ;;
    esac
  done
  if [[ -z $command ]]; then
    COMPREPLY=($(compgen -W '${commands.map(({ name }) => name).join(' ')} ${flags([...globalOptions, ...leadingOptions])}' -- "$cur"))
    return
  fi
  case $command in
${cases.join('\n')}
    *) return ;;
  esac
  if [[ $cur == -* ]]; then
    COMPREPLY=($(compgen -W "$words ${flags(globalOptions.filter(({ flags: each }) => !each.startsWith('-N')))}" -- "$cur"))
  elif [[ $command == help ]]; then
    COMPREPLY=($(compgen -W '${commands.map(({ name }) => name).join(' ')}' -- "$cur"))
  elif [[ -n $domains ]]; then
    COMPREPLY=($(compgen -W "$(scmictl list 2>/dev/null | awk 'NR > 1 { print $1 }')" -- "$cur"))
  else
    COMPREPLY=($(compgen -W "$actions" -- "$cur") $(compgen -f -- "$cur"))
  fi
}
complete -F _scmictl scmictl
`
}
