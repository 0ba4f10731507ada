/**
 * The bounds of names, and of stored texts that describe a failure or an end. Executor errors, defects and reasons of
 * callers pass through `bounded` where they enter the machine. Invariants: a stored failure always fits into a commit; a
 * text is cut only between whole characters.
 *
 * @since 0.1.0
 */

/** The most UTF-8 bytes of a text that describes a failure or an end. @since 0.1.0 @category constructors */
export const maxReasonBytes = 16 * 1024

/**
 * The most UTF-8 bytes of a name that a caller gives: an idempotency, supersession or correlation key.
 *
 * @since 0.1.0
 * @category constructors
 */
export const maxNameBytes = 16 * 1024

/**
 * Returns the UTF-8 length. A lone surrogate counts as its replacement: three bytes.
 *
 * @since 0.1.0
 * @category accessors
 */
export const utf8Bytes = (text: string): number => {
  let bytes = 0
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at)
    if (unit < 0x80) bytes += 1
    else if (unit < 0x800) bytes += 2
    else if (isHigh(unit) && isLow(text.charCodeAt(at + 1))) {
      bytes += 4
      at++
    } else bytes += 3
  }
  return bytes
}

/** Returns the longest prefix of at most `limit` bytes, in whole characters. @since 0.1.0 @category combinators */
export const beginning = (text: string, limit: number): string => {
  let bytes = 0
  let at = 0
  while (at < text.length && bytes + bytesAt(text, at) <= limit) {
    bytes += bytesAt(text, at)
    at += unitsAt(text, at)
  }
  return text.slice(0, at)
}

/** Returns the longest suffix of at most `limit` bytes, in whole characters. @since 0.1.0 @category combinators */
export const ending = (text: string, limit: number): string => {
  let bytes = 0
  let from = text.length
  while (from > 0) {
    const before = startOfCharacter(text, from)
    bytes += bytesAt(text, before)
    if (bytes > limit) break
    from = before
  }
  return text.slice(from)
}

/**
 * Returns the text if it has at most `limit` bytes. Otherwise returns its beginning and its end, with a note of how
 * many bytes were left out between them. The result has at most `limit` bytes.
 *
 * @since 0.1.0
 * @category combinators
 */
export const bounded = (text: string, limit: number = maxReasonBytes): string => {
  // a UTF-16 unit has at most three bytes
  if (text.length * 3 <= limit) return text
  const bytes = utf8Bytes(text)
  if (bytes <= limit) return text
  const room = limit - marker(bytes).length
  // the limit has no room for the marker
  if (room <= 0) return beginning(text, limit)
  const head = beginning(text, Math.ceil(room / 2))
  const kept = utf8Bytes(head)
  const tail = ending(text, room - kept)
  return `${head}${marker(bytes - kept - utf8Bytes(tail))}${tail}`
}

// --- internal ---

/** The note for the omitted bytes. It is ASCII, so it has as many bytes as UTF-16 units. */
const marker = (bytes: number): string => ` ...[${bytes} bytes left out]... `

const isHigh = (unit: number): boolean => unit >= 0xd800 && unit <= 0xdbff
const isLow = (unit: number): boolean => unit >= 0xdc00 && unit <= 0xdfff

/** The UTF-16 units of the character at this index: two for a surrogate pair, otherwise one. */
const unitsAt = (text: string, at: number): 1 | 2 =>
  isHigh(text.charCodeAt(at)) && isLow(text.charCodeAt(at + 1)) ? 2 : 1

const bytesAt = (text: string, at: number): number => {
  const unit = text.charCodeAt(at)
  if (unit < 0x80) return 1
  if (unit < 0x800) return 2
  return unitsAt(text, at) === 2 ? 4 : 3
}

/** Returns the index where the character before `end` begins. */
const startOfCharacter = (text: string, end: number): number =>
  end > 1 && isLow(text.charCodeAt(end - 1)) && isHigh(text.charCodeAt(end - 2)) ? end - 2 : end - 1
