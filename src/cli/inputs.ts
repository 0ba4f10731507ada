/**
 * The command `meerkat inputs`, and the columns that other commands show of inputs.
 *
 * @since 0.1.0
 */
import type { Input } from "../domain/Input.js"
import type { InputState } from "../domain/InputRecord.js"
import { brief, time } from "./output.js"
import { type Columns, listed, ofSession, summary } from "./reading.js"

/** The columns of an input. @since 0.1.0 @category output */
export const inputColumns: Columns<InputState> = {
  header: ["INPUT", "KIND", "PHASE", "ATTEMPTS", "KEY", "UPDATED (UTC)", "WHAT"],
  row: (input) => [
    input.inputId,
    input.kind,
    input.phase,
    attempts(input),
    brief(input.idempotencyKey ?? "-", 20),
    time(input.updatedAt),
    input.outcome === undefined ? words(input.input) : summary(input.outcome)
  ]
}

/** `meerkat inputs`: lists the inputs of a session with their outcomes. @since 0.1.0 @category commands */
export const inputs = ofSession(
  "inputs",
  "List the inputs of a session and how they ended.",
  (reads, { runtimeId }, { json }) => listed(json, reads.inputs(runtimeId), inputColumns)
)

// --- internal ---

const attempts = (input: InputState): string =>
  [
    String(input.attempts),
    ...(input.charged > 0 ? [`${input.charged} failed`] : []),
    ...(input.crashed > 0 ? [`${input.crashed} crashed`] : [])
  ].join(", ")

const words = (input: Input | undefined): string => input?._tag === "Prompt" ? brief(input.text) : (input?._tag ?? "")
