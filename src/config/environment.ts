// The process environment, read here and nowhere else. It decides directories and colour, never rights.

/** What the programs take from their environment. */
export interface Environment {
  /** Effective user id. */
  readonly uid: number
  /** XDG_RUNTIME_DIR, where it is set to an absolute path. */
  readonly runtimeDir: string | undefined
  /** Where private directories are made: TMPDIR or /tmp. */
  readonly temporaryDir: string
  /** Whether NO_COLOR is set to anything but the empty string (no-color.org), or TERM is `dumb`. */
  readonly noColor: boolean
}

/** The environment of this process, or of `variables` for a given user id. */
export function readEnvironment(
  variables: Readonly<Record<string, string | undefined>> = process.env,
  uid: number = process.geteuid?.() ?? 0,
): Environment {
  return {
    uid,
    runtimeDir: absolute(variables['XDG_RUNTIME_DIR']),
    temporaryDir: absolute(variables['TMPDIR']) ?? '/tmp',
    noColor: (variables['NO_COLOR'] ?? '') !== '' || variables['TERM'] === 'dumb',
  }
}

/** The XDG specification: a relative path is as good as none. */
const absolute = (path: string | undefined): string | undefined => (path?.startsWith('/') ? path : undefined)
