// Shapes that recur in a platform file: ids, flags, names, words. Types and bounds.
import { Type } from 'typebox'

export const closed = { additionalProperties: false } as const
export const word = (options: object = {}) =>
  Type.Integer({ minimum: 0, maximum: 0xffff_ffff, default: 0, ...options })
/** A resource id: counts have 16 bits on the wire. */
export const id = (options: object = {}) => Type.Integer({ minimum: 0, maximum: 0xfffe, ...options })
/** A device's id, which nothing on the wire counts. */
export const deviceId = () => Type.Integer({ minimum: 0, maximum: 0xffff_ffff })
export const ids = (description: string) => Type.Array(id(), { uniqueItems: true, default: [], description })
export const flag = (description: string, value = false) => Type.Boolean({ default: value, description })
export const agentIds = (description: string, options: object = {}) =>
  Type.Array(Type.Integer({ minimum: 1, maximum: 255 }), { uniqueItems: true, description, ...options })
/** A rate in Hz: exact in a double. */
export const hertz = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })
/** A resource's name: above 15 characters its first 15 are the short name, and *_NAME_GET has the whole. */
export const name = Type.String({ minLength: 1, maxLength: 63, pattern: '^[ -~]+$' })
export const name15 = (options: object = {}) =>
  Type.String({ minLength: 1, maxLength: 15, pattern: '^[ -~]+$', ...options })
