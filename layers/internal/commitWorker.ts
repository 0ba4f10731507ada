/** @since 0.1.0 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type { Health, SubmitError } from "../../services/MachineAuthority.js"
import type { RuntimeStore } from "../../services/RuntimeStore.js"
import type { Emit } from "../../src/domain/Command.js"
import type { RequestId, RuntimeId } from "../../src/domain/Ids.js"
import type { RuntimeCommit } from "../../src/domain/RuntimeCommit.js"
import type { Env, KernelLimits, SessionState } from "../../src/domain/SessionState.js"
import type { CommitError } from "../../src/domain/StoreErrors.js"
import { StoreIo } from "../../src/domain/StoreErrors.js"
import * as Rounds from "../../src/kernel/round.js"
import type { Pending, Round } from "./commitRound.js"
import { fold } from "./commitRound.js"
import type { FreshIds } from "./freshIds.js"
import { within } from "./race.js"
import { pretty } from "./rendering.js"

/** The cell that a worker writes: the published state, the revision it stands at, and who is to be told. */
export interface Cell {
  state: SessionState
  revision: number
  health: Health
  readonly incarnation: number
  readonly publish: (state: SessionState) => void
  readonly tell: (emit: Emit, at: number) => void
  readonly reload: (reason: string, members: ReadonlyArray<Pending>) => void
}

export interface WorkerDeps {
  readonly store: RuntimeStore["Type"]
  readonly ids: FreshIds
  readonly limits: KernelLimits
  readonly retainTerminal: number | null
  readonly resolveTimeout: Duration.Duration
}

type Written =
  | { readonly _tag: "Written"; readonly revision: number }
  | { readonly _tag: "Refused"; readonly error: CommitError }
  | { readonly _tag: "Lost"; readonly reason: string }

/** Errors after which this incarnation cannot know where it stands, or was replaced. */
const losesSession = (error: CommitError): boolean => {
  switch (error._tag) {
    case "RuntimeFenced":
    case "WriterFenced":
    case "RevisionConflict":
    case "CommitRefused":
    case "ReceiptConflict":
    case "StoreCorrupt":
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
const isNobodys = (error: CommitError): boolean =>
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

const write = (deps: WorkerDeps, commit: RuntimeCommit): Effect.Effect<Written> =>
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
        losesSession(error) ? { _tag: "Lost", reason: `${error._tag}: ${error.message}` } : { _tag: "Refused", error }
      )
    }
  })

/** Steps 4 and 5: nobody sees what is not durable; then everyone is told, in arrival order. */
const settle = (cell: Cell, round: Round, at: number): void => {
  cell.publish(round.state)
  for (const member of round.members) {
    if (member._tag === "Rejected") {
      member.pending.fail({ _tag: "Rejected", rejection: member.rejection })
      continue
    }
    for (const emit of member.step.emits) cell.tell(emit, at)
    member.step.settle()
  }
  for (const emit of round.closing) cell.tell(emit, at)
}

const commitOf = (deps: WorkerDeps, cell: Cell, round: Round, requestId: RequestId, at: number) => {
  const dirty = Rounds.foldDirty(round.state)
  const commit = Rounds.toCommit(
    {
      requestId,
      incarnation: cell.incarnation,
      basis: cell.revision,
      at,
      ...(deps.retainTerminal === null ? {} : { retainTerminal: deps.retainTerminal })
    },
    dirty.state,
    [...dirty.emits, ...round.emits]
  )
  return { commit, round: { ...round, state: dirty.state } }
}

const envOf = ({ ids, limits }: WorkerDeps, now: number): Effect.Effect<Env> =>
  Effect.map(ids.input, (continuationId) => ({ now, continuationId, limits }))

/** Answers each member without the store: who has something to write hears this error, the others go on. */
const unwritten = (deps: WorkerDeps, cell: Cell, members: ReadonlyArray<Pending>, error: CommitError, now: number) =>
  Effect.forEach(members, (member) =>
    Effect.map(envOf(deps, now), (env) => {
      const alone = fold(cell.state, [member], env)
      if (Rounds.isHard(alone.emits)) member.fail({ _tag: "CommitFailed", error })
      else settle(cell, alone, now)
    }), { discard: true })

/** A refused round is repeated command by command, so that only the culprit fails, if there can be one. */
const refused = (deps: WorkerDeps, cell: Cell, members: ReadonlyArray<Pending>, error: CommitError, now: number) =>
  members.length === 1 || isNobodys(error)
    ? unwritten(deps, cell, members, error, now)
    : Effect.forEach(members, (member) => runRound(deps, cell, [member]), { discard: true })

/** Writes a folded round and tells its members. */
const commitRound = (deps: WorkerDeps, cell: Cell, folded: Round, now: number): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { commit, round } = commitOf(deps, cell, folded, yield* deps.ids.request, now)
    const written = yield* write(deps, commit)
    const members = folded.members.map((member) => member.pending)
    switch (written._tag) {
      case "Written":
        cell.revision = written.revision
        return settle(cell, round, now)
      case "Lost":
        return cell.reload(written.reason, members)
      case "Refused":
        return yield* refused(deps, cell, members, written.error, now)
    }
  })

/** Steps 2 to 5 (docs/design.md) for what has arrived, in a fiber that cannot be interrupted; the store bounds how long. */
export const runRound = (
  deps: WorkerDeps,
  cell: Cell,
  members: ReadonlyArray<Pending>
): Effect.Effect<void> =>
  Effect.gen(function*() {
    if (cell.health._tag === "ReloadRequired") {
      const error: SubmitError = { _tag: "ReloadRequired", reason: cell.health.reason }
      for (const member of members) member.fail(error)
      return
    }
    const now = yield* Clock.currentTimeMillis
    const folded = fold(cell.state, members, yield* envOf(deps, now))
    if (Rounds.isHard(folded.emits)) yield* commitRound(deps, cell, folded, now)
    else settle(cell, folded, now)
    if (folded.rest.length > 0) yield* runRound(deps, cell, folded.rest)
  })
