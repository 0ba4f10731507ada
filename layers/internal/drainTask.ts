/** @since 0.1.0 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type { CommsFailed, CommsReceipt, CommsRuntime } from "../../services/CommsRuntime.js"
import { CurrentSession } from "../../services/CoreExecutor.js"
import type { DrainExitReason, DrainMode } from "../../src/domain/DrainSlot.js"
import type { RuntimeDriverError } from "../../src/domain/Errors.js"
import type { Input } from "../../src/domain/Input.js"
import { kindOf } from "../../src/domain/Input.js"
import * as Admission from "./admission.js"
import type { DrainTask } from "./drainCell.js"
import * as DrainCell from "./drainCell.js"
import type { Entry } from "./entry.js"
import * as Lifecycle from "./lifecycle.js"
import type { MachineParts } from "./machineParts.js"
import { logWarning } from "./rendering.js"
import { endsWithin } from "./spawn.js"

interface Drain {
  readonly parts: MachineParts
  readonly entry: Entry
  readonly runtime: CommsRuntime
  readonly mode: DrainMode
  readonly task: DrainTask
}

type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

const owns = ({ entry, task }: Drain): boolean => entry.drain.task === task

/** A progress report is nobody's question, so nobody waits for its end. */
const admitOnce = ({ entry, parts }: Drain, input: Input): Effect.Effect<CommsReceipt, RuntimeDriverError> =>
  Effect.flatMap(Admission.checked(input), (valid) =>
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

/** What the store refused for the moment is offered again, with pauses that can be interrupted. */
const admit = (
  drain: Drain,
  input: Input,
  restore: Restore,
  tries = 0
): Effect.Effect<CommsReceipt, RuntimeDriverError> =>
  Effect.catchAll(admitOnce(drain, input), (error) => {
    const { commitRetryBase, commitRetryTimes } = drain.parts.config
    return error._tag === "Internal" && error.retryable && tries < commitRetryTimes
      ? Effect.zipRight(
        restore(Effect.sleep(Duration.times(commitRetryBase, 2 ** tries))),
        admit(drain, input, restore, tries + 1)
      )
      : Effect.fail(error)
  })

/** The session is gone, or must be opened anew: what it did not take stays in the inbox for whoever drains it next. */
const isOver = ({ entry }: Drain, error: RuntimeDriverError): Effect.Effect<boolean> =>
  error._tag === "Destroyed" || (error._tag === "NotReady" && error.state === "destroyed")
    ? Effect.succeed(true)
    : Effect.map(entry.authority.health, (health) => health._tag === "ReloadRequired")

/** Hands one input to the session; true when the session is over. The input is taken off once its fate is decided. */
const feed = (drain: Drain, input: Input, restore: Restore): Effect.Effect<boolean, CommsFailed> => {
  const confirm = (receipt: CommsReceipt) =>
    drain.runtime.confirm(input, receipt).pipe(
      Effect.disconnect,
      Effect.timeoutOption(drain.parts.config.hookTimeout),
      Effect.interruptible,
      Effect.flatMap(Option.match({
        onNone: () => Effect.logWarning(`an inbox did not confirm input ${input.header.id} in time`),
        onSome: () => Effect.void
      })),
      Effect.as(false)
    )
  return Effect.matchEffect(admit(drain, input, restore), {
    onSuccess: confirm,
    onFailure: (error) =>
      Effect.flatMap(isOver(drain, error), (over) =>
        over
          ? Effect.succeed(true)
          : Effect.zipRight(
            Effect.logWarning(`input ${input.header.id} of a peer was refused: ${error._tag}: ${error.message}`),
            confirm({ _tag: "Refused", error })
          ))
  })
}

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
      const head = drain.mode === "persistentHost" ? Effect.asSome(next) : Effect.timeoutOption(next, idle)
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
    DrainCell.release(drain.entry.drain, { _tag: "Exited", reason })
    return drain.entry.authority.publish({ _tag: "DrainExited", reason })
  })

/** Waits for the task that this one replaces: two never drain at a time, so that order is kept. */
const takeOver = (drain: Drain, previous: Fiber.RuntimeFiber<void> | null): Effect.Effect<void> =>
  previous === null ? Effect.void : Effect.flatMap(
    endsWithin(previous, Duration.toMillis(drain.parts.config.teardownTimeout)),
    (ended) => ended ? Effect.void : DrainCell.leftBehind(drain.parts.attachments)
  )

const body = (drain: Drain, previous: Fiber.RuntimeFiber<void> | null): Effect.Effect<void> =>
  takeOver(drain, previous).pipe(
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
    Effect.provideService(CurrentSession, { sessionId: drain.entry.sessionId, runId: null, role: "drain" }),
    Effect.annotateLogs({ module: "CommsDrain", session: drain.entry.sessionId })
  )

/**
 * Starts a task in the session's scope. The slot was claimed by the caller, in the same step; `previous` is the task it
 * replaces, interrupted already. A task that dies without a word is noticed all the same.
 */
export const start = (
  parts: MachineParts,
  entry: Entry,
  runtime: CommsRuntime,
  mode: DrainMode,
  previous: Fiber.RuntimeFiber<void> | null
): void => {
  const task: DrainTask = { fiber: null }
  const drain: Drain = { parts, entry, runtime, mode, task }
  entry.drain.task = task
  if (previous === null) DrainCell.fire(entry.drain, { _tag: "Spawned" })
  const fiber = parts.spawner.spawn(entry.scope, body(drain, previous))
  task.fiber = fiber
  fiber.addObserver(() => {
    if (owns(drain)) DrainCell.release(entry.drain, { _tag: "Exited", reason: "failed" })
  })
}
