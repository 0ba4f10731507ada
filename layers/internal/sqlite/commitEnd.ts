/**
 * The answer of a batch whose COMMIT failed, or whose files lost their names. Only `batch` calls it. Invariant: an unknown
 * outcome is never guessed; the file is opened again before anything is read from it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { type StoreLost, StoreOutcomeUnknown } from "../../../src/domain/StoreErrors.js"
import type { MemberError } from "../storeMember.js"
import type { Accepted } from "./apply.js"
import type { SqlFault } from "./database.js"
import type { OpenFile } from "./open.js"
import * as Transaction from "./transaction.js"

/** Whether a fault may come from files that lost their names. @since 0.1.0 @category guards */
export const isOfFile = (fault: { readonly _tag: string }): boolean =>
  fault._tag === "StoreIo" || fault._tag === "StoreCorrupt"

/** Fails `StoreLost` if the files lost their names; otherwise fails with the given fault. @since 0.1.0 @category combinators */
export const unlessLost = (file: OpenFile) => <E>(fault: E): Effect.Effect<never, E | StoreLost> =>
  Effect.zipRight(file.verify, Effect.fail(fault))

/**
 * Resolves the outcome of a failed COMMIT. After an error of the medium this connection cannot know it: the file is opened
 * again, and the call fails `StoreOutcomeUnknown`, so that the caller looks it up. Otherwise the rows show the outcome. If
 * nothing was committed, it fails with the error of COMMIT; after `StoreFull`, a smaller batch may fit.
 *
 * @since 0.1.0
 * @category combinators
 */
export const resolve = (
  file: OpenFile,
  written: ReadonlyArray<Accepted>,
  fault: SqlFault
): Effect.Effect<void, SqlFault | MemberError> => {
  const last = written[written.length - 1]
  if (last === undefined) return Effect.void
  const { requestId } = last.commit
  const unknown = Effect.zipRight(
    reopened(file),
    new StoreOutcomeUnknown({ requestId, detail: Transaction.describe(fault) })
  )
  if (Transaction.isOfMedium(fault)) return unknown
  return file.writer.all("SELECT last_request_id FROM runtime WHERE rt = ?", [last.rt]).pipe(
    Effect.matchEffect({
      onFailure: () => unknown,
      onSuccess: (rows) => rows[0]?.["last_request_id"] === requestId ? Effect.void : Effect.fail(fault)
    })
  )
}

// --- internal ---

/** Opens the file again. If that fails, the next call that needs the file retries it. */
const reopened = (file: OpenFile): Effect.Effect<void, StoreLost> =>
  Effect.catchAll(file.reopen, (fault) =>
    fault._tag === "StoreLost"
      ? Effect.fail(fault)
      : Effect.logWarning(`the store ${file.path} cannot be opened again yet: ${Transaction.describe(fault)}`))
