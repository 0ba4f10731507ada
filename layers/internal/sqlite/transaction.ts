/**
 * Transactions with explicit BEGIN, COMMIT and ROLLBACK. `batch`, `open` and the reads call it.
 *
 * The driver's own transactions begin deferred. A failing COMMIT there becomes a defect and leaves the connection inside
 * a dead transaction. Invariant: after `commit` or `transaction` no transaction is open.
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

/** COMMIT failed, but the transaction may have been committed. @since 0.1.0 @category errors */
export class CommitAmbiguous extends Data.TaggedError("CommitAmbiguous")<{
  /** the error of COMMIT; the answer to the commit if it turns out that nothing was committed */
  readonly fault: SqlFault
}> {}

/** Makes the part that waits interruptible inside an uninterruptible region. @since 0.1.0 @category models */
export type Restore = <A, E>(self: Effect.Effect<A, E>) => Effect.Effect<A, E>

/**
 * Runs `BEGIN IMMEDIATE` and retries it for at most `patience` while another connection holds the file. Only the pauses
 * are interruptible: an interrupted call has no transaction.
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
 * Runs `COMMIT`. A busy COMMIT is retried for `patience` and then rolled back: nothing was written. After an error of the
 * medium it fails `CommitAmbiguous`, whether the rollback succeeds or not: the frames of the transaction may be in the
 * log, and only a new opening of the file shows that.
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
 * Runs `ROLLBACK`. Returns false when no transaction was open, for example after SQLite rolled back by itself.
 *
 * @since 0.1.0
 * @category transactions
 */
export const rollback = (db: Database): Effect.Effect<boolean> =>
  Effect.match(db.run("ROLLBACK"), { onFailure: () => false, onSuccess: () => true })

/**
 * Runs `body` in a transaction of its own, for the few writes that do not commit sessions: schema, writer token and
 * closing mark. A failed body is rolled back.
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
 * Runs a statement and retries it with growing, jittered pauses while the file is busy. Fails `StoreBusy` after
 * `patience`. An interruption takes effect only in a pause.
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

/** Whether a fault leaves open what reached the file. @since 0.1.0 @category guards */
export const isOfMedium = (fault: SqlFault): boolean => fault._tag === "StoreIo" || fault._tag === "StoreCorrupt"

/** Describes a fault in one sentence, for messages. @since 0.1.0 @category accessors */
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
