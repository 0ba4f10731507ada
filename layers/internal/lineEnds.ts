/**
 * Removes the line ends that `echo` and editors add. The CLI and the command layers call it.
 *
 * @since 0.1.0
 */

/**
 * Returns the text without line ends at its end. It scans backwards: a regular expression (`/[\r\n]+$/`) restarts at
 * every line end inside the text, which takes minutes in a long run of them.
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
