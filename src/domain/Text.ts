/**
 * Well-formed text. JavaScript strings may contain half of a surrogate pair; UTF-8, SQLite and most JSON parsers do not
 * allow that. The domain schemas, the machine and the stores call this module. Invariant: a name with a lone half is
 * refused; in a text, each lone half becomes U+FFFD.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/** Whether a string has no lone half of a surrogate pair. @since 0.1.0 @category guards */
export const isWellFormed = (text: string): boolean => text.isWellFormed()

/** Returns the text with U+FFFD for each lone half; the same string if it has no lone half. @since 0.1.0 @category constructors */
export const wellFormed = (text: string): string => text.isWellFormed() ? text : text.toWellFormed()

/**
 * Returns a JSON text whose strings are well formed after parsing: escapes of lone halves become the escape of U+FFFD.
 * `JSON.stringify` uses such escapes only for lone halves, so most texts are returned after one check.
 *
 * @since 0.1.0
 * @category constructors
 */
export const wellFormedJson = (json: string): string =>
  halfEscape.test(json) ? json.replace(escapes, (escape, half) => half === undefined ? escape : "\\ufffd") : json

/**
 * A string that names something: a key, an id, a tool, a peer, a model. A lone half is refused here and not repaired,
 * because two different names must never become equal when they are stored.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Name = Schema.String.pipe(Schema.filter(isWellFormed, { message: () => halfName }))

/** The error for a name with a lone half: what is wrong, and what to do. @since 0.1.0 @category errors */
export const halfName =
  "a name must be well-formed Unicode, and this one has half of a surrogate pair; send whole characters"

// --- internal ---

const halfEscape = /\\u[dD][89a-fA-F]/

/** Matches all escapes; only a lone half is captured, so that the others stay unchanged. */
const escapes = /\\u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}|\\u([dD][89a-fA-F][\da-fA-F]{2})|\\[^]/g
