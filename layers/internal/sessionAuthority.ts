/**
 * The authority of one session: it owns the published state, the queue of commands, and every waiter.
 *
 * The published state is a `Ref`. Only a round of the commit worker writes it (`publish`), after its commit is durable;
 * everything else reads it. A publication of an equal state wakes the fibers that wait for a change.
 *
 * Callers: `MachineAuthorityLive` makes one per incarnation; every command of the session goes through `submit`.
 *
 * Invariants:
 * - Callers see no state that is not durable.
 * - At most one round runs at a time. The worker exists only while the queue holds a command.
 * - Every submitter gets exactly one answer.
 * - A callback that throws stops neither the worker nor another callback.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import type { Kept, SessionAuthority, SubmitError, SubmitOptions } from "../../services/MachineAuthority.js"
import type { Command, Emit } from "../../src/domain/Command.js"
import type { CompletionOutcome } from "../../src/domain/Completion.js"
import type { InputId } from "../../src/domain/Ids.js"
import type { RunId } from "../../src/domain/Ids.js"
import type { SessionState } from "../../src/domain/SessionState.js"
import { flushDirty } from "../../src/kernel/commands/flush.js"
import type { Remembered } from "../../src/kernel/opening.js"
import { isDirty } from "../../src/kernel/softFacts.js"
import * as Cells from "./cell.js"
import type { Pending } from "./commitRound.js"
import { pending } from "./commitRound.js"
import { runRound } from "./commitWorker.js"
import type { Cell, WorkerDeps } from "./commitWrite.js"
import * as EventHub from "./eventHub.js"
import * as Metrics from "./metrics.js"
import * as Watches from "./operations/watches.js"
import type { Budget } from "./remembered.js"
import { leftBy, runsOf } from "./remembered.js"
import { logWarning, pretty } from "./rendering.js"
import type { Spawner } from "./spawn.js"
import * as Waiters from "./waiters.js"

export interface AuthorityOptions {
  readonly deps: WorkerDeps
  readonly spawner: Spawner
  readonly scope: Scope.Scope
  readonly state: SessionState
  readonly incarnation: number
  readonly revision: number
  readonly stageFlushMs: number
  readonly eventBuffer: number
  /** epoch milliseconds */
  readonly now: () => number
  /** of the machine: bytes of results that wait for the store */
  readonly budget: Budget
  /** told once, at the end, what this incarnation may leave staged */
  readonly remember: (remembered: Remembered) => void
}

type Listener = (state: SessionState) => void
/** Calls a callback; a thrown defect goes to the log. */
type Guard = <A>(call: () => A) => Either.Either<A, unknown>

/** Callbacks at each publication; few per session, and none while nobody listens. */
class Listeners {
  private all: Set<Listener> | null = null

  add(listener: Listener): () => void {
    const all = this.all ??= new Set()
    all.add(listener)
    return () => void all.delete(listener)
  }
  call(state: SessionState, guard: Guard): void {
    if (this.all === null) return
    for (const listener of Array.from(this.all)) guard(() => listener(state))
  }
}

/** How long soft facts wait once more when the store has refused them. */
const refusedPauseMs = 1000

const closedOutcome: CompletionOutcome = { _tag: "RuntimeTerminated", reason: "the session was closed" }

const endOf = (cause: Cause.Cause<never>): string =>
  Cause.isInterruptedOnly(cause) ? "it is being closed" : `its commit worker died: ${pretty(cause)}`

/** Makes the authority. Everything here is synchronous except the worker and the flush timer. */
export const make = (options: AuthorityOptions): SessionAuthority => {
  const { deps, scope, spawner } = options
  const listeners = new Listeners()
  const inputs = Waiters.make<InputId, CompletionOutcome, never>()
  const watches = Watches.make()
  const published = new Cells.Cell(options.state)
  const hub = EventHub.make(options.state.sessionId, options.eventBuffer, () => published.unsafeGet())
  let arrivals: Array<Pending> = []
  let current: ReadonlyArray<Pending> = []
  let worker: Fiber.RuntimeFiber<void> | null = null
  let flusher: Fiber.RuntimeFiber<boolean> | null = null
  let closed = false
  let ended = false
  /** made for the first result that waits, and for the first commit that is lost: most sessions have neither */
  let kept: Set<Kept> | null = null
  let lostRuns: Set<RunId> | null = null

  /** A callback stops neither the worker nor another callback. */
  const guard: Guard = (call) =>
    Either.mapLeft(Either.try(call), (defect) => {
      spawner.spawn(scope, logWarning(`a callback of session "${options.state.sessionId}" died`, Cause.die(defect)))
      return defect
    })
  const tell = (emit: Emit, at: number): void => {
    switch (emit._tag) {
      case "Settle":
        return inputs.settle(emit.inputId, Exit.succeed(emit.outcome))
      case "SettleAll":
        return inputs.settleAll(Exit.succeed(emit.outcome))
      case "SettleOperation":
        return watches.settle(emit.id, Exit.succeed(emit.outcome))
      case "Event":
        return hub.offer(at, emit.event)
      default:
        return
    }
  }
  const cell: Cell = {
    get state() {
      return published.unsafeGet()
    },
    revision: options.revision,
    incarnation: options.incarnation,
    health: { _tag: "Ready" },
    tell,
    publish: (state) => {
      published.unsafeModify(() => [undefined, state])
      listeners.call(state, guard)
      if (isDirty(state)) scheduleFlush()
    },
    reload: (reason, members, lost) => {
      if (lost !== undefined) { for (const runId of runsOf(lost)) (lostRuns ??= new Set()).add(runId) }
      if (cell.health._tag === "Ready") {
        cell.health = { _tag: "ReloadRequired", reason }
        announce(reason)
      }
      for (const { onReload } of kept ?? []) settleWith(() => onReload(reason))
      for (const member of members) {
        settleWith(() => member.onReload(reason))
        member.fail({ _tag: "ReloadRequired", reason })
      }
      inputs.close(Exit.succeed({ _tag: "RuntimeTerminated", reason: `session must be reloaded: ${reason}` }))
      watches.close(`session must be reloaded: ${reason}`)
      cell.publish({ ...cell.state })
    }
  }
  /** A waiter is told by the first outcome that names its input. */
  const settleWith = (outcomes: () => ReadonlyArray<readonly [InputId, CompletionOutcome]>): void => {
    for (const [id, outcome] of Either.getOrElse(guard(outcomes), () => [])) inputs.settle(id, Exit.succeed(outcome))
  }
  /** The session says once that it must be reloaded: an event, a metric, a line in the log. */
  const announce = (reason: string): void => {
    hub.offer(options.now(), { _tag: "ReloadRequired", reason })
    Metrics.reloads.unsafeUpdate(1, [])
    spawner.spawn(
      scope,
      Effect.logWarning(`session "${options.state.sessionId}" must be registered again: ${reason}`)
    )
  }

  const drain: Effect.Effect<void> = Effect.suspend(() => {
    current = arrivals
    arrivals = []
    return current.length === 0 ? Effect.void : Effect.zipRight(runRound(deps, cell, current), drain)
  })
  /** The worker exists only while the queue holds something; what arrives during its last round is taken too. */
  const kick = (): void => {
    if (worker !== null || arrivals.length === 0) return
    const fiber = spawner.spawn(scope, Effect.uninterruptible(drain))
    worker = fiber
    fiber.addObserver((exit) => {
      worker = null
      // members of the round that were answered already get nothing of this
      if (Exit.isFailure(exit)) cell.reload(endOf(exit.cause), [...current, ...arrivals.splice(0)])
      else kick()
    })
  }
  const enqueue = (member: Pending): () => boolean => {
    arrivals.push(member)
    kick()
    return () => {
      const at = arrivals.indexOf(member)
      if (at < 0) return false
      arrivals.splice(at, 1)
      return true
    }
  }
  const submit = <A>(command: Command<A>, given?: SubmitOptions<A>): Effect.Effect<A, SubmitError> =>
    Effect.async<A, SubmitError>((resume) => {
      if (closed) return resume(Effect.fail({ _tag: "Closed" }))
      const remove = enqueue(pending(
        command,
        // the command took effect; a defect of the callback fails only its own submitter
        (reply) =>
          resume(Either.match(guard(() => given?.onSettled?.(reply)), {
            onLeft: Effect.die,
            onRight: () => Effect.succeed(reply)
          })),
        (error) => resume(Effect.fail(error)),
        given ?? {}
      ))
      return Effect.sync(() => {
        if (remove()) given?.onWithdrawn?.()
      })
    })

  /** Whether nothing was refused. */
  const flush = (): Effect.Effect<boolean> =>
    Effect.catchAll(
      Effect.as(isDirty(cell.state) ? submit(flushDirty) : Effect.void, true),
      (error) => Effect.as(Effect.logDebug("soft facts were not written yet", error._tag), false)
    )
  const scheduleFlush = (pauseMs = options.stageFlushMs): void => {
    if (flusher !== null || closed || cell.health._tag === "ReloadRequired") return
    const fiber = spawner.spawn(scope, Effect.zipRight(Effect.sleep(pauseMs), Effect.suspend(flush)))
    flusher = fiber
    fiber.addObserver((exit) => {
      flusher = null
      // an interruption is the end of the scope; else more soft facts may have come, so it looks again
      if (Exit.isFailure(exit) || !isDirty(cell.state)) return
      scheduleFlush(exit.value ? options.stageFlushMs : Math.max(options.stageFlushMs, refusedPauseMs))
    })
  }
  const end = (): void => {
    const left = ended ? null : leftBy(cell.state, lostRuns ?? [])
    ended = true
    if (left !== null) options.remember(left)
    inputs.close(Exit.succeed(closedOutcome))
    watches.close(closedOutcome.reason)
    hub.close()
    cell.publish({ ...cell.state })
  }

  return {
    sessionId: options.state.sessionId,
    incarnation: options.incarnation,
    // getters: effects that are rarely used are made at their use, not once per session
    get state() {
      return published.get
    },
    unsafeState: () => published.unsafeGet(),
    get health() {
      return Effect.sync(() => cell.health)
    },
    unsafeHealth: () => cell.health,
    submit,
    changedFrom: (seen) =>
      Effect.async<void>((resume) => {
        if (cell.state !== seen) return resume(Effect.void)
        const remove = listeners.add(() => {
          remove()
          resume(Effect.void)
        })
        return Effect.sync(remove)
      }),
    onPublish: (listener) => listeners.add(listener),
    awaitInput: (inputId) => inputs.register(inputId),
    waiters: () => inputs.keys(),
    watches,
    settleAll: (outcome) => Effect.sync(() => inputs.settleAll(Exit.succeed(outcome))),
    closeWatches: (reason) =>
      Effect.sync(() => {
        watches.close(reason)
        cell.publish({ ...cell.state })
      }),
    publish: (event) => Effect.map(Effect.clock, (clock) => hub.offer(clock.unsafeCurrentTimeMillis(), event)),
    get events() {
      return hub.stream()
    },
    requireReload: (reason, outcomes = []) =>
      Effect.sync(() => {
        settleWith(() => outcomes)
        cell.reload(reason, [])
      }),
    keep: (result) => {
      if (!options.budget.take(result.bytes)) return false
      ;(kept ??= new Set()).add(result)
      cell.publish({ ...cell.state })
      return true
    },
    letGo: (result) => {
      if (kept?.delete(result) !== true) return
      options.budget.give(result.bytes)
      if (kept.size === 0) kept = null
      cell.publish({ ...cell.state })
    },
    kept: () => kept === null ? [] : Array.from(kept),
    get nudge() {
      return Effect.sync(() => cell.publish({ ...cell.state }))
    },
    get shutdown() {
      return Effect.suspend(() => {
        closed = true
        for (const member of arrivals.splice(0)) member.fail({ _tag: "Closed" })
        return Effect.map(worker === null ? Effect.void : worker.await, end)
      })
    }
  }
}
