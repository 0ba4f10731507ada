/**
 * Finds the queued input that a new input supersedes or coalesces. The accept command calls it.
 *
 * @since 0.1.0
 */
import * as Iterable from "effect/Iterable"
import * as Option from "effect/Option"
import type { Input } from "../domain/Input.js"
import { kindOf } from "../domain/Input.js"
import type { InputRecord } from "../domain/InputRecord.js"
import type { Ledger } from "../domain/SessionState.js"
import { lazyLane } from "./Ledger.js"
import type { PolicyResolution } from "./policy.js"

/**
 * Returns the queued input that a new input replaces: the first with the same kind and supersession key. Returns
 * undefined if the new input has no such key, or its policy neither coalesces nor supersedes. Staged inputs stay.
 *
 * It reads only the lane of the new input, because a policy that replaces puts all inputs of a kind into one lane.
 *
 * @since 0.1.0
 * @category accessors
 */
export const replacedBy = (
  ledger: Ledger,
  input: Input,
  { decision, lane }: PolicyResolution
): InputRecord | undefined => {
  const key = input.header.supersessionKey
  const replaces = decision.queueMode === "coalesce" || decision.queueMode === "supersede"
  if (key === undefined || lane === null || !replaces) {
    return undefined
  }
  const kind = kindOf(input)
  return Option.getOrUndefined(
    Iterable.findFirst(
      lazyLane(ledger, lane),
      (record) => record.kind === kind && record.input.header.supersessionKey === key
    )
  )
}
