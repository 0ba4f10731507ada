/**
 * What is wrong with a value, in a few words. A schema's own message repeats the whole schema and the whole value; errors
 * that people read name the place and the first issues, bounded. The doors and the stores call this module.
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

/** The first issues with their places, one after the other. */
export const issuesOf = ({ issue }: ParseResult.ParseError, count = listed): string =>
  ParseResult.ArrayFormatter.formatIssueSync(issue)
    .slice(0, count)
    .map(({ message, path }) =>
      [...(path.length === 0 ? [] : [clipped(path.map(String).join("."))]), clipped(message)].join(": ")
    )
    .join("; ")

/** The first issue alone, on one line. */
export const firstIssue = (error: ParseResult.ParseError): string => issuesOf(error, 1).replace(/\s+/g, " ")

/** At most 200 characters, none of them cut in half. */
export const clipped = (text: string): string =>
  wellFormed(text.length > longest ? `${beginning(text, longest)}…` : text)
