// What a domain may be called, and whose ids it may see: one rule for the configuration, the control API and scmictl.
// Loads nothing.

/**
 * As hypervisors have them, and never only digits, so that a name cannot be taken for a domid. The text completes
 * "expected …".
 */
export const domainName = {
  pattern: '^(?!\\d+$)[A-Za-z0-9][A-Za-z0-9_.+@-]{0,62}$',
  description: 'a name of at most 63 letters, digits, `_`, `.`, `+`, `@` or `-`, not of digits alone',
} as const

/** `identity`: the firmware's ids. `dense`: the guest's own. `auto`: dense for trees that carry the marker. */
export const discoveries = ['auto', 'dense', 'identity'] as const
export type Discovery = (typeof discoveries)[number]
