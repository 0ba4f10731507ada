/**
 * What a batch answers when its COMMIT failed, or when its files lost their names. Called by `batch` alone. An outcome
 * that this connection cannot know is never guessed: the file is opened again before anything is read from it.
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

/** What fails on files that lost their names fails for that reason. @since 0.1.0 @category combinators */
export const unlessLost = (file: OpenFile) => <E>(fault: E): Effect.Effect<never, E | StoreLost> =>
  Effect.zipRight(file.verify, Effect.fail(fault))

/**
 * What became of a COMMIT that failed. After an error of the medium this connection cannot tell: the file is opened
 * again before anything else is read, and the outcome is for the caller to look up. Else the rows tell, and a commit
 * that did not happen failed with what COMMIT said: a full medium is full, and smaller batches may fit.
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

/** A file that cannot be opened again now is opened by the next call that needs it. */
const reopened = (file: OpenFile): Effect.Effect<void, StoreLost> =>
  Effect.catchAll(file.reopen, (fault) =>
    fault._tag === "StoreLost"
      ? Effect.fail(fault)
      : Effect.logWarning(`the store ${file.path} cannot be opened again yet: ${Transaction.describe(fault)}`))
