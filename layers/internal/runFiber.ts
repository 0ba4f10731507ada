/**
 * The fiber of one run: it calls the executor, watches for yield requests and tells how the run ended. The loop starts
 * it and commits its end.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import type { CoreExecutor, Turn, TurnOutput } from "../../services/CoreExecutor.js"
import { CurrentSession } from "../../services/CoreExecutor.js"
import type { SessionAuthority } from "../../services/MachineAuthority.js"
import type { InterruptReason } from "../../services/RuntimeLoop.js"
import type { RuntimeStore } from "../../services/RuntimeStore.js"
import type { SessionOperations } from "../../services/SessionOperations.js"
import type { StagedRun } from "../../src/domain/Command.js"
import type { ExecutorError } from "../../src/domain/Errors.js"
import { ExecutorFault } from "../../src/domain/Errors.js"
import type { RunId } from "../../src/domain/Ids.js"
import type { SessionState } from "../../src/domain/SessionState.js"
import { primitive as toPrimitive } from "../../src/kernel/primitive.js"
import { visibilityOf } from "../../src/kernel/toolVisibility.js"
import type { Blobs } from "./blobs.js"
import type { Failure } from "./runFailure.js"
import { isCancelled, ofCause, ofError } from "./runFailure.js"

/** How a run ended; the loop commits it. */
export type RunEnd =
  | { readonly _tag: "Output"; readonly output: TurnOutput }
  | { readonly _tag: "Failed"; readonly failure: Failure }
  | { readonly _tag: "Interrupted"; readonly reason: InterruptReason }

/** A run in progress. */
export interface RunFiber {
  readonly runId: RunId
  readonly turn: Turn
  readonly end: Effect.Effect<RunEnd>
  readonly interrupt: (reason: InterruptReason) => Effect.Effect<void>
}

/** What a run needs of its session. */
export interface RunDeps {
  readonly authority: SessionAuthority
  readonly store: RuntimeStore["Type"]
  readonly executor: CoreExecutor
  readonly operations: SessionOperations
  readonly blobs: Blobs
  /** false once the session is being unregistered: inputs staged by then are requeued */
  readonly mayStart: () => boolean
}

const requestOf = (state: SessionState, runId: RunId) =>
  state.lifecycle._tag === "Running" && state.lifecycle.runId === runId ? state.lifecycle : null

/**
 * Watches the state for a yield request of this run and reports it once. The state holds the request; the listener only
 * forwards it. A request ends with its run, because another run has another id (D16).
 */
const watchRequests = (deps: RunDeps, runId: RunId, onYield: (reason: string) => void) => {
  let seen = false
  const look = (state: SessionState) => {
    const running = requestOf(state, runId)
    if (seen || running === null || running.yieldRequest === null) return
    seen = true
    onYield(running.yieldRequest.reason)
  }
  look(deps.authority.unsafeState())
  return deps.authority.onPublish(look)
}

const history = (deps: RunDeps): Turn["history"] =>
  Stream.mapError(
    deps.store.history(deps.authority.unsafeState().runtimeId),
    (error) => new ExecutorFault({ detail: `the history could not be read: ${error._tag}`, retryable: true })
  )

const makeTurn = (
  deps: RunDeps,
  staged: StagedRun,
  boundary: Deferred.Deferred<void>,
  finish: Turn["finish"]
): Turn => {
  const state = deps.authority.unsafeState()
  const primitive = toPrimitive(staged.records)
  return {
    sessionId: state.sessionId,
    runId: staged.runId,
    attempt: staged.attempt,
    inputs: staged.records.map((record) => record.input),
    appends: primitive.appends,
    contexts: primitive.contexts,
    metadata: primitive.metadata,
    boundary: primitive.boundary,
    executionKind: primitive.executionKind,
    completions: staged.completions,
    history: history(deps),
    head: state.head,
    visibility: visibilityOf(state),
    media: deps.blobs.media,
    boundaryRequested: Deferred.await(boundary),
    operations: deps.operations,
    finish
  }
}

/** Derives the end of a run: a finished output wins, else the reason of the interruption decides (D17). */
const endOf = (
  exit: Exit.Exit<TurnOutput, ExecutorError>,
  finished: TurnOutput | null,
  reason: InterruptReason | null
): RunEnd => {
  if (Exit.isSuccess(exit)) return { _tag: "Output", output: finished ?? exit.value }
  if (finished !== null) return { _tag: "Output", output: finished }
  const failure = Cause.failureOrCause(exit.cause)
  if (Either.isLeft(failure) && isCancelled(failure.left)) {
    return { _tag: "Interrupted", reason: reason ?? "cancelled" }
  }
  if (reason !== null) return { _tag: "Interrupted", reason }
  return { _tag: "Failed", failure: Either.isLeft(failure) ? ofError(failure.left) : ofCause(failure.right) }
}

/** Links the spans of the calls that accepted the run's inputs: they caused it, but none of them is its parent. */
const linksOf = (staged: StagedRun): ReadonlyArray<Tracer.SpanLink> =>
  staged.records.flatMap(({ inputId, trace }) =>
    trace === undefined ? [] : [{ _tag: "SpanLink", span: Tracer.externalSpan(trace), attributes: { inputId } }]
  )

/**
 * Starts a run as a child of the loop's fiber. The fork is interruptible on purpose: a fork inside an uninterruptible
 * region could never be ended.
 */
export const start = (
  deps: RunDeps,
  staged: StagedRun,
  onYield: (runId: RunId, reason: string) => void
): Effect.Effect<RunFiber> =>
  Effect.gen(function*() {
    const boundary = yield* Deferred.make<void>()
    let finished: TurnOutput | null = null
    let reason: InterruptReason | null = null
    const turn = makeTurn(deps, staged, boundary, (output) =>
      Effect.sync(() => {
        finished ??= output
      }))
    const { sessionId } = turn
    const fiber = yield* Effect.fork(Effect.interruptible(
      Effect.suspend(() => {
        if (deps.mayStart()) return deps.executor.apply(turn)
        reason ??= "requeue"
        return Effect.interrupt
      }).pipe(
        Effect.provideService(CurrentSession, { sessionId, runId: staged.runId, role: "run" }),
        Effect.withSpan("MeerkatMachine.run", {
          attributes: { sessionId, runId: staged.runId },
          links: linksOf(staged)
        })
      )
    ))
    // a request that exists already is forwarded to an executor that has its turn
    const unwatch = watchRequests(deps, staged.runId, (why) => {
      Deferred.unsafeDone(boundary, Exit.void)
      onYield(staged.runId, why)
    })
    return {
      runId: staged.runId,
      turn,
      end: Effect.map(Fiber.await(fiber), (exit) => {
        unwatch()
        return endOf(exit, finished, reason)
      }),
      interrupt: (why) =>
        Effect.suspend(() => {
          reason ??= why
          return Fiber.interruptFork(fiber)
        })
    }
  })
