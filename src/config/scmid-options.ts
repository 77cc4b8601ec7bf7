// The command line of scmid: its options, from which the program's parser and its manual are made.

/** Where the configuration is, unless --config says otherwise. */
export const defaultConfig = '/etc/scmid/scmid.yaml'

export interface ProgramOption {
  /** In commander's notation. */
  readonly flags: string
  readonly summary: string
  readonly initial?: string
}

export const scmidSummary =
  'Mediates SCMI between guests and firmware: each guest reaches its own devices’ resources, and nothing else.'

export const scmidOptions: readonly ProgramOption[] = [
  { flags: '-c, --config <file>', summary: 'configuration file', initial: defaultConfig },
  { flags: '--check', summary: 'read the configuration and every file it names, say what is wrong, and end' },
  { flags: '--directory <dir>', summary: 'keep sockets, state and log in this directory instead' },
]
