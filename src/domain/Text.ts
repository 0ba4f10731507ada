/**
 * Well-formed text. JavaScript strings may hold half of a surrogate pair; UTF-8, SQLite and most JSON parsers may not.
 * A name that holds one is refused, a text is repaired: each lone half becomes U+FFFD. The domain schemas, the doors of
 * the machine and the stores call this module.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/** Whether a string has no lone half of a surrogate pair. @since 0.1.0 @category guards */
export const isWellFormed = (text: string): boolean => text.isWellFormed()

/** The text with U+FFFD in place of each lone half; the same string if it has none. @since 0.1.0 @category constructors */
export const wellFormed = (text: string): string => text.isWellFormed() ? text : text.toWellFormed()

/**
 * A JSON text whose strings are well formed once they are parsed: escapes of lone halves become the escape of U+FFFD.
 * `JSON.stringify` escapes lone halves and nothing else this way, so most texts return at the first look.
 *
 * @since 0.1.0
 * @category constructors
 */
export const wellFormedJson = (json: string): string =>
  halfEscape.test(json) ? json.replace(escapes, (escape, half) => half === undefined ? escape : "\\ufffd") : json

/**
 * A string that names something: a key, an id, a tool, a peer, a model. Two different names must never become one when
 * they are stored, so a name is refused where a text would be repaired.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Name = Schema.String.pipe(Schema.filter(isWellFormed, { message: () => halfName }))

/** What is wrong with a name, and what to do. @since 0.1.0 @category errors */
export const halfName =
  "a name must be well-formed Unicode, and this one has half of a surrogate pair; send whole characters"

// --- internal ---

const halfEscape = /\\u[dD][89a-fA-F]/

/** Pairs and other escapes are matched to be left alone; only a lone half is captured. */
const escapes = /\\u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}|\\u([dD][89a-fA-F][\da-fA-F]{2})|\\[^]/g
