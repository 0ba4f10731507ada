/**
 * One commit of a session, and the cell that it moves on.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type { Health } from "../../services/MachineAuthority.js"
import type { RuntimeStore } from "../../services/RuntimeStore.js"
import type { Emit } from "../../src/domain/Command.js"
import type { InputId, RequestId, RuntimeId } from "../../src/domain/Ids.js"
import type { RuntimeCommit } from "../../src/domain/RuntimeCommit.js"
import type { KernelLimits, SessionState } from "../../src/domain/SessionState.js"
import type { CommitError } from "../../src/domain/StoreErrors.js"
import { StoreIo } from "../../src/domain/StoreErrors.js"
import * as Rounds from "../../src/kernel/round.js"
import { inputIdOf } from "../../src/kernel/validateCommit.js"
import type { Pending } from "./commitRound.js"
import type { FreshIds } from "./freshIds.js"
import { within } from "./race.js"
import { pretty, textOf } from "./rendering.js"

/** The cell that a worker writes: the published state, the revision it stands at, and who is to be told. */
export interface Cell {
  /** the published state; only `publish` replaces it */
  readonly state: SessionState
  revision: number
  health: Health
  readonly incarnation: number
  readonly publish: (state: SessionState) => void
  readonly tell: (emit: Emit, at: number) => void
  /** `lost` is the commit whose outcome is not known, or that was refused along with the session */
  readonly reload: (reason: string, members: ReadonlyArray<Pending>, lost?: RuntimeCommit) => void
}

export interface WorkerDeps {
  readonly store: RuntimeStore["Type"]
  readonly ids: FreshIds
  readonly limits: KernelLimits
  readonly retainTerminal: number | null
  readonly resolveTimeout: Duration.Duration
}

/** What became of a commit. */
export type Written =
  | { readonly _tag: "Written"; readonly revision: number }
  | { readonly _tag: "Refused"; readonly error: CommitError }
  | { readonly _tag: "Lost"; readonly reason: string }

/** Whether a commit brings a new input of this id; else it changes one that the session takes for stored. */
const brings = ({ inputs }: RuntimeCommit, id: InputId): boolean =>
  inputs.some((put) => (put._tag === "Insert" || put._tag === "InsertTerminal") && inputIdOf(put) === id)

/** Errors after which this incarnation cannot know where it stands, or was replaced. */
const losesSession = (commit: RuntimeCommit, error: CommitError, mayBeRefused: boolean): boolean => {
  switch (error._tag) {
    case "InputConflict":
      return !brings(commit, error.inputId)
    case "CommitRefused":
      return !mayBeRefused
    case "RuntimeFenced":
    case "WriterFenced":
    case "RevisionConflict":
    case "ReceiptConflict":
    case "StoreCorrupt":
    case "StoreLost":
      return true
    default:
      return false
  }
}

const lost = "LOST"

/** The outcome is known now: nothing was written, and the same may be tried again. */
const didNotHappen = (error: CommitError): CommitError =>
  new StoreIo({ operation: "commit", code: lost, detail: "the commit did not happen", cause: error })

/** Errors of which no member of a round can be the culprit: each alone would wait as long, to hear the same. */
export const isNobodys = (error: CommitError): boolean =>
  error._tag === "StoreBusy" || error._tag === "StoreClosed" || (error._tag === "StoreIo" && error.code === lost)

const cutOff = (cause: Cause.Cause<never>): string =>
  Cause.isInterruptedOnly(cause)
    ? "it ended while the outcome of a commit was looked up"
    : `the store died: ${pretty(cause)}`

/**
 * Looks an unknown outcome up (D21): the commit's own request id in the store means that it happened, the old revision
 * that it did not. Repeated until the store answers or the time is up; the end of the session cuts it short, and then
 * too those who wait are told.
 */
const resolveUnknown = (deps: WorkerDeps, runtimeId: RuntimeId, commit: RuntimeCommit, error: CommitError) =>
  deps.store.witness(runtimeId).pipe(
    Effect.retry(Schedule.spaced("50 millis")),
    Effect.option,
    Effect.map(Option.flatten),
    within(deps.resolveTimeout),
    Effect.interruptible,
    Effect.map(Option.flatten),
    Effect.exit,
    Effect.map((looked): Written => {
      if (Exit.isFailure(looked)) return { _tag: "Lost", reason: cutOff(looked.cause) }
      const witness = looked.value
      if (Option.isNone(witness)) return { _tag: "Lost", reason: "the outcome of a commit stayed unknown" }
      const { incarnation, lastRequestId, revision } = witness.value
      if (lastRequestId === commit.requestId) return { _tag: "Written", revision }
      return incarnation === commit.incarnation && revision === commit.basis
        ? { _tag: "Refused", error: didNotHappen(error) }
        : { _tag: "Lost", reason: "the store moved on without this session" }
    })
  )

/**
 * Writes a commit. Its outcome is known afterwards, or the session is lost. A command that may be refused hears
 * `CommitRefused` as its answer; any other command loses the session by it.
 */
export const write = (deps: WorkerDeps, commit: RuntimeCommit, mayBeRefused = false): Effect.Effect<Written> =>
  Effect.matchCauseEffect(deps.store.commit(commit), {
    onSuccess: (ack) => Effect.succeed<Written>({ _tag: "Written", revision: ack.revision }),
    onFailure: (cause) => {
      const failure = Cause.failureOrCause(cause)
      if (Either.isRight(failure)) {
        return Effect.succeed<Written>({ _tag: "Lost", reason: `the store died: ${pretty(cause)}` })
      }
      const error = failure.left
      if (error._tag === "StoreOutcomeUnknown") return resolveUnknown(deps, commit.runtimeId, commit, error)
      return Effect.succeed<Written>(
        losesSession(commit, error, mayBeRefused)
          ? { _tag: "Lost", reason: `${error._tag}: ${textOf(error)}` }
          : { _tag: "Refused", error }
      )
    }
  })

/** What a commit of this cell is built on. */
const baseOf = (deps: WorkerDeps, cell: Cell, requestId: RequestId, at: number): Rounds.CommitBase => ({
  requestId,
  incarnation: cell.incarnation,
  basis: cell.revision,
  at,
  ...(deps.retainTerminal === null ? {} : { retainTerminal: deps.retainTerminal })
})

/** The commit of these emits and of the soft facts that the state still owes, and the state that owes nothing any more. */
export const commitOf = (
  deps: WorkerDeps,
  cell: Cell,
  { emits, state }: { readonly state: SessionState; readonly emits: ReadonlyArray<Emit> },
  at: number
): Effect.Effect<{ readonly commit: RuntimeCommit; readonly state: SessionState }> =>
  Effect.map(deps.ids.request, (requestId) => {
    const dirty = Rounds.foldDirty(state)
    const commit = Rounds.toCommit(baseOf(deps, cell, requestId, at), dirty.state, [...dirty.emits, ...emits])
    return { commit, state: dirty.state }
  })
