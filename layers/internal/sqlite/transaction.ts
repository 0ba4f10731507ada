/**
 * Transactions by hand. The driver's own begin deferred and turn a failing COMMIT into a defect that leaves the
 * connection inside a dead transaction.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import { StoreBusy } from "../../../src/domain/StoreErrors.js"
import type { Database, SqlFault } from "./database.js"

/** COMMIT failed, and it may have happened all the same. @since 0.1.0 @category errors */
export class CommitAmbiguous extends Data.TaggedError("CommitAmbiguous")<{
  /** what COMMIT failed with; the error of the commit, should it turn out that it did not happen */
  readonly fault: SqlFault
}> {}

/** Lifts the part that waits out of an uninterruptible region. @since 0.1.0 @category models */
export type Restore = <A, E>(self: Effect.Effect<A, E>) => Effect.Effect<A, E>

/**
 * `BEGIN IMMEDIATE`, asked again while somebody else holds the file, at most for `patience`. Only the pauses are
 * interruptible: whoever is interrupted has no transaction.
 *
 * @since 0.1.0
 * @category transactions
 */
export const begin = (
  db: Database,
  patience: Duration.Duration,
  restore: Restore
): Effect.Effect<void, SqlFault> => patiently(asVoid(db.run("BEGIN IMMEDIATE")), patience, restore)

/**
 * `COMMIT`; first error wins. A busy one is asked again and then rolled back: nothing was written. After an error of the
 * medium the outcome is open, rolled back or not: the frames of the transaction may lie in the log, and only a process
 * that opens the file finds out.
 *
 * @since 0.1.0
 * @category transactions
 */
export const commit = (db: Database, patience: Duration.Duration): Effect.Effect<void, SqlFault | CommitAmbiguous> =>
  patiently(asVoid(db.run("COMMIT")), patience, (self) => self).pipe(
    Effect.catchAll((fault) =>
      Effect.flatMap(
        rollback(db),
        (wasOpen) => Effect.fail(wasOpen && !isOfMedium(fault) ? fault : new CommitAmbiguous({ fault }))
      )
    )
  )

/**
 * `ROLLBACK`; false when no transaction was open, as after an error that made SQLite roll back by itself.
 *
 * @since 0.1.0
 * @category transactions
 */
export const rollback = (db: Database): Effect.Effect<boolean> =>
  Effect.match(db.run("ROLLBACK"), { onFailure: () => false, onSuccess: () => true })

/**
 * A whole transaction for the few writes that are not commits of sessions (schema, writer token, closing mark).
 *
 * @since 0.1.0
 * @category transactions
 */
export const transaction = <A, E>(
  db: Database,
  patience: Duration.Duration,
  body: Effect.Effect<A, E>
): Effect.Effect<A, E | SqlFault | CommitAmbiguous> =>
  Effect.uninterruptibleMask((restore) =>
    begin(db, patience, restore).pipe(
      Effect.zipRight(Effect.exit(body)),
      Effect.flatMap((exit): Effect.Effect<A, E | SqlFault | CommitAmbiguous> =>
        Exit.isSuccess(exit) ? Effect.as(commit(db, patience), exit.value) : Effect.zipRight(rollback(db), exit)
      )
    )
  )

/**
 * A statement that meets a busy file, asked again with growing, jittered pauses.
 *
 * @since 0.1.0
 * @category transactions
 */
export const patiently = <A>(
  attempt: Effect.Effect<A, SqlFault>,
  patience: Duration.Duration,
  restore: Restore
): Effect.Effect<A, SqlFault> =>
  Effect.catchTag(attempt, "StoreBusy", (first) =>
    Effect.gen(function*() {
      const since = yield* Clock.currentTimeMillis
      const driver = yield* Schedule.driver(pauses(patience))
      while (true) {
        const pause = yield* Effect.exit(restore(driver.next(undefined)))
        if (Exit.isInterrupted(pause)) return yield* Effect.interrupt
        if (Exit.isFailure(pause)) {
          const now = yield* Clock.currentTimeMillis
          return yield* new StoreBusy({ operation: first.operation, waitedMs: now - since })
        }
        const exit = yield* Effect.exit(attempt)
        const again = Exit.isFailure(exit) && exit.cause._tag === "Fail" && exit.cause.error._tag === "StoreBusy"
        if (!again) return yield* exit
      }
    }))

/** Whether a fault says nothing about what reached the file. @since 0.1.0 @category guards */
export const isOfMedium = (fault: SqlFault): boolean => fault._tag === "StoreIo" || fault._tag === "StoreCorrupt"

/** One sentence of a fault, for messages. @since 0.1.0 @category accessors */
export const describe = (fault: SqlFault | CommitAmbiguous): string => {
  if (fault._tag === "CommitAmbiguous") return describe(fault.fault)
  return fault._tag === "StoreBusy" ? `busy for ${fault.waitedMs} ms` : fault.detail
}

// --- internal ---

const asVoid = <A, E>(self: Effect.Effect<A, E>): Effect.Effect<void, E> => Effect.asVoid(self)

const pauses = (patience: Duration.Duration) =>
  Schedule.exponential(Duration.millis(1)).pipe(
    Schedule.union(Schedule.spaced(Duration.millis(50))),
    Schedule.jittered,
    Schedule.upTo(patience)
  )
