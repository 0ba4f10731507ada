/**
 * What the reading commands share: flags, columns and output. They work beside a process that has the store open.
 *
 * @since 0.1.0
 */
import * as Command from "@effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { StoredSession } from "../../services/RuntimeStore.js"
import type { CompletionOutcome } from "../domain/Completion.js"
import type { SessionId } from "../domain/Ids.js"
import type { ReadError } from "../domain/StoreErrors.js"
import { nothingLast } from "./argv.js"
import { type CliFailure, whyOf } from "./failure.js"
import * as Common from "./options.js"
import { brief, json, table } from "./output.js"
import type { Reads } from "./readStore.js"

/** The flags of a command on one session. @since 0.1.0 @category models */
export interface SessionFlags {
  readonly db: string
  readonly json: boolean
  readonly session: SessionId
}

/** The columns of a table. @since 0.1.0 @category models */
export interface Columns<A> {
  readonly header: ReadonlyArray<string>
  readonly row: (value: A) => ReadonlyArray<string>
}

type Reading = Effect.Effect<void, ReadError | CliFailure>

/**
 * Reads a store. It loads the native module only now, so that other commands start fast.
 *
 * @since 0.1.0
 * @category running
 */
export const look = (db: string, use: (reads: Reads) => Reading): Effect.Effect<void, CliFailure> =>
  Effect.zipRight(
    nothingLast,
    Effect.flatMap(Effect.promise(() => import("./readStore.js")), (store) => store.look(db, use))
  )

/** Makes a command that reads one session. @since 0.1.0 @category constructors */
export const ofSession = <Name extends string>(
  name: Name,
  description: string,
  use: (reads: Reads, session: StoredSession, flags: SessionFlags) => Reading
) =>
  Command.make(
    name,
    { db: Common.db, json: Common.json, session: Common.session },
    (flags) =>
      look(flags.db, (reads) =>
        Effect.promise(() => import("./readStore.js")).pipe(
          Effect.flatMap((store) => store.sessionOf(flags.db, reads, flags.session)),
          Effect.flatMap((session) => use(reads, session, flags))
        ))
  ).pipe(Command.withDescription(description))

/** Prints rows as a table, or as JSON documents. @since 0.1.0 @category output */
export const listed = <A>(asJson: boolean, rows: Stream.Stream<A, ReadError>, columns: Columns<A>): Reading =>
  asJson
    ? Stream.runForEach(rows, json)
    : Effect.suspend(() => {
      const found: Array<ReadonlyArray<string>> = []
      const print = Effect.suspend(() => table(columns.header, found))
      return Stream.runForEach(rows, (row) => Effect.sync(() => found.push(columns.row(row)))).pipe(
        // the rows that were read before the error are still shown
        Effect.tapError(() => found.length === 0 ? Effect.void : print),
        Effect.zipRight(print)
      )
    })

/** Describes an outcome in a few words. @since 0.1.0 @category output */
export const summary = (outcome: CompletionOutcome): string =>
  outcome._tag === "Completed" ? brief(outcome.result.text) : brief(whyOf(outcome))
