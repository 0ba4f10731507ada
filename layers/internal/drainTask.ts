/**
 * The task that drains a peer's inbox into a session.
 *
 * It takes one input after another. Each input is admitted, refused, or left in the inbox; then the inbox is told. Only waiting
 * can be interrupted, so an input is either untouched or its fate is reported.
 *
 * Callers: the comms surface starts a task.
 *
 * Invariants:
 * - Two tasks of a session never drain at the same time, so the order of inputs is kept.
 * - A task that another one has replaced admits nothing more and reports nothing.
 *
 * @since 0.1.0
 */
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
import * as DrainCell from "./drainCell.js"
import type { Entry } from "./entry.js"
import type { AnyFiber } from "./joining.js"
import { interruptAll } from "./joining.js"
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
  readonly cell: DrainCell.DrainCell
  readonly id: number
}

type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/** Whether this is the session's current task. */
const owns = ({ cell, id }: Drain): boolean => cell.unsafeGet().task?.id === id

/**
 * Admits one input. A progress report asks no question, so it gets no completion. Storing media can be interrupted, because
 * it calls code of users and nothing is admitted yet.
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

/** Whether the session is gone, must be reloaded, or has lost its store. The input then stays in the inbox for the next drain. */
const isOver = ({ entry }: Drain, error: RuntimeDriverError): boolean =>
  error._tag === "Destroyed" || (error._tag === "NotReady" && error.state === "destroyed") ||
  (error._tag === "Internal" && error.cause instanceof StoreClosed) ||
  entry.authority.unsafeHealth()._tag === "ReloadRequired"

/** Pauses before the next try of an input that the store refuses for the moment. Later inputs wait, to keep the order. */
const waits = (drain: Drain, input: Input, error: RuntimeDriverError, tries: number): Effect.Effect<void> => {
  const { config } = drain.parts
  const said = tries === config.commitRetryTimes
    ? Effect.logWarning(`input ${input.header.id} of a peer waits: ${error.message}`)
    : Effect.void
  return Effect.zipRight(said, Effect.sleep(beforeRetry(config, tries)))
}

/** Retries an input until its fate is decided; none when the session is over. Only pauses can be interrupted. */
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

/** Marks a call of the inbox as one of the session's drain. */
const asDrain = ({ entry }: Drain) => <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  effect.pipe(
    Effect.provideService(CurrentSession, { sessionId: entry.sessionId, runId: null, role: "drain" }),
    Effect.annotateLogs({ module: "CommsDrain", session: entry.sessionId })
  )

/**
 * Confirms an input to the inbox, within `hookTimeout`. The call has a fiber of its own in the session's scope: an inbox that
 * ignores its interruption delays the end of the drain, and not the next input.
 */
const confirm = (drain: Drain, input: Input, receipt: CommsReceipt): Effect.Effect<void, CommsFailed> =>
  Effect.suspend(() => {
    const { cell, entry, parts, runtime } = drain
    const call = asDrain(drain)(Effect.suspend(() => runtime.confirm(input, receipt)))
    const fiber = DrainCell.keep(cell, parts.spawner.spawn(entry.scope, call))
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

/** Feeds one input to the session; true when the session is over. The inbox is told once the input's fate is decided. */
const feed = (drain: Drain, input: Input, restore: Restore): Effect.Effect<boolean, CommsFailed> =>
  Effect.flatMap(
    admit(drain, input, restore),
    Option.match({
      onNone: () => Effect.succeed(true),
      onSome: (receipt) => Effect.as(owns(drain) ? confirm(drain, input, receipt) : Effect.void, false)
    })
  )

/** Begins the stop of a dismissed session. It does not wait, because it is called from inside the session (D7). */
const stop = ({ entry, parts }: Drain): Effect.Effect<void> =>
  Effect.catchAll(
    Effect.asVoid(Lifecycle.stop(parts.attachments, entry, "peer DISMISS")),
    (error) => Effect.logWarning(`a dismissed session could not be stopped: ${error._tag}: ${error.message}`)
  )

/** Takes one input after another. Only waiting can be interrupted: an input is either untouched or its fate is reported. */
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

/** Reports how the task ended, unless another caller ended it. */
const settle = (drain: Drain, reason: DrainExitReason): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (!owns(drain)) return Effect.void
    drain.cell.unsafeModify(DrainCell.vacate({ _tag: "Exited", reason }))
    return drain.entry.authority.publish({ _tag: "DrainExited", reason })
  }).pipe(Effect.uninterruptible)

/** Drains after every earlier task has ended. */
const body = (drain: Drain, before: ReadonlyArray<AnyFiber>): Effect.Effect<void> =>
  DrainCell.joined(drain.parts.attachments, [drain.cell], before).pipe(
    Effect.zipRight(Effect.sync(() => {
      if (owns(drain)) drain.cell.unsafeModify(DrainCell.fire({ _tag: "Spawned" }))
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
          ? Effect.zipRight(Effect.logWarning("a drain was interrupted from outside"), settle(drain, "failed"))
          : Effect.void
      )
    ),
    asDrain(drain)
  )

/** A task that ends without a report, because its scope was closed before it began, still vacates its slot. */
const watch = (drain: Drain, fiber: Fiber.RuntimeFiber<void>): void =>
  fiber.addObserver(() => {
    if (owns(drain)) drain.cell.unsafeModify(DrainCell.vacate({ _tag: "Exited", reason: "failed" }))
  })

/** A task that was spawned in a step of the drain; it runs after that step. */
export interface Spawned {
  readonly drain: Drain
  readonly fiber: Fiber.RuntimeFiber<void>
}

/**
 * Gives the session's slot to a new task in the session's scope, and interrupts what drained before. It is part of the one
 * step of the drain that decides it, under the drain's permit: the task is spawned there and runs later.
 */
export const spawn = (
  parts: MachineParts,
  entry: Entry,
  runtime: CommsRuntime,
  event: Extract<DrainEvent, { readonly _tag: "Begin" | "Rebind" }>,
  facts: DrainCell.DrainFacts
): readonly [Spawned, DrainCell.DrainFacts] => {
  const [before, released] = DrainCell.release(event)(facts)
  interruptAll(before)
  const id = facts.tasks + 1
  const drain: Drain = { parts, entry, runtime, mode: event.mode, cell: DrainCell.of(entry), id }
  const fiber = parts.spawner.spawn(entry.scope, body(drain, before))
  const [, claimed] = before.length === 0 ? DrainCell.fire({ _tag: "Spawned" })(released) : [false, released]
  const fibers = new Set(claimed.fibers).add(fiber)
  return [{ drain, fiber }, { ...claimed, tasks: id, task: { id, fiber }, fibers }]
}

/** Follows the end of a spawned task; called after the step that spawned it. */
export const follow = ({ drain, fiber }: Spawned): void => {
  DrainCell.dropAtEnd(drain.cell, fiber)
  watch(drain, fiber)
}
