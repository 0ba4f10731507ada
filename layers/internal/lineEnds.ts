/**
 * The line ends that `echo` and editors add.
 *
 * @since 0.1.0
 */

/**
 * A text without the line ends at its end. Looked at from behind: a regular expression (`/[\r\n]+$/`) begins anew at
 * each line end of a run that something follows, which takes minutes where there are many.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withoutLineEnds = (text: string): string => {
  let end = text.length
  while (end > 0 && isLineEnd(text.charCodeAt(end - 1))) end--
  return text.slice(0, end)
}

// --- internal ---

const isLineEnd = (code: number): boolean => code === 0x0a || code === 0x0d
