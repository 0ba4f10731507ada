/**
 * Ends the operations of a session in parts when one commit cannot hold all of their ends. Teardown and destroy call
 * it. Invariant: a session can always be ended.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { SessionAuthority, SubmitError } from "../../../services/MachineAuthority.js"
import type { OperationId } from "../../../src/domain/Ids.js"
import { liveOperations } from "../../../src/kernel/operationEnding.js"

/** Ends at most this many live operations and returns their ids. */
export type EndSome = (atMost: number) => Effect.Effect<ReadonlyArray<OperationId>, SubmitError>

const isTooLarge = (error: SubmitError): boolean =>
  error._tag === "CommitFailed" && error.error._tag === "CommitTooLarge"

/** Ends all operations and returns their number; halves the part when a commit is too large. */
const endAll = (endSome: EndSome, atMost: number): Effect.Effect<number, SubmitError> =>
  Effect.matchEffect(endSome(atMost), {
    onFailure: (error) =>
      isTooLarge(error) && atMost > 1 ? endAll(endSome, Math.floor(atMost / 2)) : Effect.fail(error),
    onSuccess: ({ length }) =>
      length < atMost ? Effect.succeed(length) : Effect.map(endAll(endSome, atMost), (more) => length + more)
  })

/** Returns the report of an end, and how many operations were ended before it because the commit was too large. */
export const withOperations = <A>(
  authority: SessionAuthority,
  end: Effect.Effect<A, SubmitError>,
  endSome: EndSome
): Effect.Effect<{ readonly report: A; readonly before: number }, SubmitError> =>
  Effect.catchIf(Effect.map(end, (report) => ({ report, before: 0 })), isTooLarge, (error) => {
    const { length } = liveOperations(authority.unsafeState().operations)
    return length === 0
      ? Effect.fail(error)
      : Effect.flatMap(
        endAll(endSome, Math.ceil(length / 2)),
        (before) => Effect.map(end, (report) => ({ report, before }))
      )
  })
