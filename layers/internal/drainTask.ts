/** @since 0.1.0 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import type { CommsFailed, CommsReceipt, CommsRuntime } from "../../services/CommsRuntime.js"
import { CurrentSession } from "../../services/CoreExecutor.js"
import type { DrainExitReason, DrainMode } from "../../src/domain/DrainSlot.js"
import type { RuntimeDriverError } from "../../src/domain/Errors.js"
import type { Input } from "../../src/domain/Input.js"
import { kindOf } from "../../src/domain/Input.js"
import { StoreClosed } from "../../src/domain/StoreErrors.js"
import type { DrainEvent } from "../../src/kernel/drain.js"
import * as Admission from "./admission.js"
import type { DrainTask } from "./drainCell.js"
import * as DrainCell from "./drainCell.js"
import type { Entry } from "./entry.js"
import type { AnyFiber } from "./joining.js"
import * as Lifecycle from "./lifecycle.js"
import type { MachineParts } from "./machineParts.js"
import { beforeRetry } from "./pauses.js"
import { within } from "./race.js"
import { logWarning } from "./rendering.js"

interface Drain {
  readonly parts: MachineParts
  readonly entry: Entry
  readonly runtime: CommsRuntime
  readonly mode: DrainMode
  readonly task: DrainTask
}

type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

const owns = ({ entry, task }: Drain): boolean => entry.drain.task === task

/**
 * A progress report is nobody's question, so nobody waits for its end. While media are put aside nothing is admitted yet:
 * that is the users' code, and can be interrupted.
 */
const admitOnce = (
  { entry, parts }: Drain,
  input: Input,
  restore: Restore
): Effect.Effect<CommsReceipt, RuntimeDriverError> =>
  Effect.flatMap(restore(Effect.flatMap(Admission.checked(input), parts.blobs.ofInput)), (valid) =>
    Effect.map(
      Admission.admit(parts, entry, valid, {
        wake: true,
        completion: kindOf(valid) !== "peer_response_progress",
        fresh: false
      }),
      ({ completion, outcome }) => ({
        _tag: "Admitted",
        inputId: outcome._tag === "Accepted" ? outcome.inputId : outcome.existingId,
        duplicate: outcome._tag === "Deduplicated",
        completion: Option.map(completion, ({ wait }) => wait)
      })
    ))

/**
 * The session is gone, must be opened anew, or has no store any more: what it did not take stays in the inbox for whoever
 * drains it next.
 */
const isOver = ({ entry }: Drain, error: RuntimeDriverError): boolean =>
  error._tag === "Destroyed" || (error._tag === "NotReady" && error.state === "destroyed") ||
  (error._tag === "Internal" && error.cause instanceof StoreClosed) ||
  entry.authority.unsafeHealth()._tag === "ReloadRequired"

/** Nothing is decided about an input that the store refuses for the moment; what comes after it waits, to keep the order. */
const waits = (drain: Drain, input: Input, error: RuntimeDriverError, tries: number): Effect.Effect<void> => {
  const { config } = drain.parts
  const said = tries === config.commitRetryTimes
    ? Effect.logWarning(`input ${input.header.id} of a peer waits: ${error.message}`)
    : Effect.void
  return Effect.zipRight(said, Effect.sleep(beforeRetry(config, tries)))
}

/** Hands an input to the session until its fate is decided; none when the session is over. Only pauses can be interrupted. */
const admit = (
  drain: Drain,
  input: Input,
  restore: Restore,
  tries = 0
): Effect.Effect<Option.Option<CommsReceipt>> =>
  Effect.catchAll(Effect.asSome(admitOnce(drain, input, restore)), (error) => {
    if (isOver(drain, error)) return Effect.succeedNone
    if (error._tag === "Internal" && error.retryable) {
      return Effect.flatMap(
        restore(waits(drain, input, error, tries)),
        () => admit(drain, input, restore, tries + 1)
      )
    }
    return Effect.as(
      Effect.logWarning(`input ${input.header.id} of a peer was refused: ${error._tag}: ${error.message}`),
      Option.some<CommsReceipt>({ _tag: "Refused", error })
    )
  })

/** As a call of the inbox sees itself: it comes from the session's drain. */
const asDrain = ({ entry }: Drain) => <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  effect.pipe(
    Effect.provideService(CurrentSession, { sessionId: entry.sessionId, runId: null, role: "drain" }),
    Effect.annotateLogs({ module: "CommsDrain", session: entry.sessionId })
  )

/**
 * Takes an input off, within `hookTimeout`. An inbox that ignores its interruption does not hold up the next input, only
 * the end of the drain: so the call has a fiber of its own, which the session's scope owns.
 */
const confirm = (drain: Drain, input: Input, receipt: CommsReceipt): Effect.Effect<void, CommsFailed> =>
  Effect.suspend(() => {
    const { entry, parts, runtime } = drain
    const call = asDrain(drain)(Effect.suspend(() => runtime.confirm(input, receipt)))
    const fiber = DrainCell.keep(entry.drain, parts.spawner.spawn(entry.scope, call))
    const giveUp = Effect.sync(() => fiber.unsafeInterruptAsFork(FiberId.none))
    return Fiber.await(fiber).pipe(
      within(parts.config.hookTimeout),
      Effect.interruptible,
      Effect.onInterrupt(() => giveUp),
      Effect.flatMap(Option.match({
        onNone: () =>
          Effect.zipRight(giveUp, Effect.logWarning(`an inbox did not confirm input ${input.header.id} in time`)),
        onSome: (exit) => exit
      }))
    )
  })

/** Hands one input to the session; true when the session is over. The input is taken off once its fate is decided. */
const feed = (drain: Drain, input: Input, restore: Restore): Effect.Effect<boolean, CommsFailed> =>
  Effect.flatMap(
    admit(drain, input, restore),
    Option.match({
      onNone: () => Effect.succeed(true),
      onSome: (receipt) => Effect.as(owns(drain) ? confirm(drain, input, receipt) : Effect.void, false)
    })
  )

/** A dismissed session is stopped; the call only begins it, since it comes from inside the session (D7). */
const stop = ({ entry, parts }: Drain): Effect.Effect<void> =>
  Effect.catchAll(
    Effect.asVoid(Lifecycle.stop(parts.attachments, entry, "peer DISMISS")),
    (error) => Effect.logWarning(`a dismissed session could not be stopped: ${error._tag}: ${error.message}`)
  )

/** Takes one input after another. Only waiting can be interrupted: an input is either untouched or its fate is told. */
const drainInbox = (drain: Drain): Effect.Effect<DrainExitReason, CommsFailed> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const { next } = drain.runtime
      const idle = drain.parts.config.drainIdleTimeout
      const head = drain.mode === "persistentHost" ? Effect.asSome(next) : within(idle)(next)
      while (true) {
        const found = yield* restore(head)
        if (!owns(drain)) return "aborted"
        if (Option.isNone(found)) return "idleTimeout"
        if (Option.isNone(found.value)) {
          yield* stop(drain)
          return "dismissed"
        }
        if (yield* feed(drain, found.value.value, restore)) return "sessionShutdown"
      }
    })
  )

/** The task says itself how it ended, unless somebody ended it. */
const settle = (drain: Drain, reason: DrainExitReason): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (!owns(drain)) return Effect.void
    DrainCell.vacate(drain.entry.drain, { _tag: "Exited", reason })
    return drain.entry.authority.publish({ _tag: "DrainExited", reason })
  }).pipe(Effect.uninterruptible)

/** Drains, once everything that drained before has ended: two never drain at a time, so that order is kept. */
const body = (drain: Drain, before: ReadonlyArray<AnyFiber>): Effect.Effect<void> =>
  DrainCell.joined(drain.parts.attachments, [drain.entry.drain], before).pipe(
    Effect.zipRight(Effect.sync(() => {
      if (owns(drain)) DrainCell.fire(drain.entry.drain, { _tag: "Spawned" })
    })),
    Effect.zipRight(drainInbox(drain)),
    Effect.catchAllCause((cause): Effect.Effect<DrainExitReason> =>
      Cause.isInterruptedOnly(cause)
        ? Effect.interrupt
        : Effect.as(logWarning("the drain of a peer's inbox failed", cause), "failed")
    ),
    Effect.flatMap((reason) => settle(drain, reason)),
    Effect.onInterrupt(() =>
      Effect.suspend(() =>
        owns(drain)
          ? Effect.zipRight(Effect.logWarning("a drain was interrupted by a stranger"), settle(drain, "failed"))
          : Effect.void
      )
    ),
    asDrain(drain)
  )

/**
 * Gives the session's slot to a task in the session's scope, in one step; what drained before is interrupted. A task that
 * dies without a word is noticed all the same.
 */
export const start = (
  parts: MachineParts,
  entry: Entry,
  runtime: CommsRuntime,
  event: Extract<DrainEvent, { readonly _tag: "Begin" | "Rebind" }>
): void => {
  const before = DrainCell.release(entry.drain, event)
  const task: DrainTask = { fiber: null }
  const drain: Drain = { parts, entry, runtime, mode: event.mode, task }
  entry.drain.task = task
  if (before.length === 0) DrainCell.fire(entry.drain, { _tag: "Spawned" })
  const fiber = DrainCell.keep(entry.drain, parts.spawner.spawn(entry.scope, body(drain, before)))
  task.fiber = fiber
  fiber.addObserver(() => {
    if (owns(drain)) DrainCell.vacate(entry.drain, { _tag: "Exited", reason: "failed" })
  })
}
