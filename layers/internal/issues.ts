/**
 * Short texts for the errors of schemas. A schema's own message repeats the whole schema and the whole value; these texts
 * name the place and the first issues. `stored` and the stores call this module. Invariant: every text is bounded.
 *
 * @since 0.1.0
 */
import * as ParseResult from "effect/ParseResult"
import { beginning } from "../../src/domain/BoundedText.js"
import { wellFormed } from "../../src/domain/Text.js"

/** Most issues that a refusal lists. */
const listed = 3

/** Most characters of one issue. */
const longest = 200

/** The first issues with their places, in one text. */
export const issuesOf = ({ issue }: ParseResult.ParseError, count = listed): string =>
  ParseResult.ArrayFormatter.formatIssueSync(issue)
    .slice(0, count)
    .map(({ message, path }) =>
      [...(path.length === 0 ? [] : [clipped(path.map(String).join("."))]), clipped(message)].join(": ")
    )
    .join("; ")

/** The first issue alone, on one line. */
export const firstIssue = (error: ParseResult.ParseError): string => issuesOf(error, 1).replace(/\s+/g, " ")

/** Cuts a text to 200 characters, and never inside a surrogate pair. */
export const clipped = (text: string): string =>
  wellFormed(text.length > longest ? `${beginning(text, longest)}…` : text)
