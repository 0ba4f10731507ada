/**
 * An executor for tests whose turns can be held. `apply` announces its start, waits for a latch, and ends with a
 * scripted exit. It counts each call and remembers each turn.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import { LatchedExecutor } from "effect-meerkat/testkit"
 *
 * const program = Effect.gen(function*() {
 *   const latched = yield* LatchedExecutor.make({ held: true })
 *   // attach `latched.executor` and accept an input, then
 *   const turn = yield* latched.started(1)
 *   yield* latched.open
 *   return turn.inputs
 * })
 * ```
 *
 * @since 0.1.0
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import type { ControlRequest, CoreExecutor, Turn, TurnOutput } from "../../services/CoreExecutor.js"
import { reply } from "../../services/Turn.js"
import type { ControlFailed, ExecutorError } from "../domain/Errors.js"

/** Options of `make`. @since 0.1.0 @category models */
export interface LatchedOptions {
  /** true: turns wait for `open`; false if absent */
  readonly held?: boolean
  /** exits of the first turns; later turns answer with `answer <n>` */
  readonly script?: ReadonlyArray<Exit.Exit<TurnOutput, ExecutorError>>
  /** true: turns cannot be interrupted while they wait */
  readonly stubborn?: boolean
  /** runs in each turn before it waits */
  readonly begin?: (turn: Turn) => Effect.Effect<void, ExecutorError>
  /** the effect of the interrupt handle; without it the executor has no such handle */
  readonly hardCancel?: (request: ControlRequest) => Effect.Effect<void, ControlFailed>
  readonly stop?: Effect.Effect<void, ControlFailed>
  readonly cleanup?: Effect.Effect<void, ControlFailed>
}

/** Calls so far. @since 0.1.0 @category models */
export interface LatchedCounts {
  readonly apply: number
  /** turns that were interrupted */
  readonly interrupted: number
  readonly cancelBoundary: number
  readonly hardCancel: number
  readonly stop: number
  readonly cleanup: number
}

/** An executor and the controls of its turns. @since 0.1.0 @category models */
export interface LatchedExecutor {
  readonly executor: CoreExecutor
  /** the turns in the order of their starts */
  readonly turns: () => ReadonlyArray<Turn>
  readonly counts: () => LatchedCounts
  /** waits for the start of the n-th turn, counted from 1, and returns it */
  readonly started: (n: number) => Effect.Effect<Turn>
  /** releases waiting turns and all later ones */
  readonly open: Effect.Effect<void>
  /** holds later turns */
  readonly close: Effect.Effect<void>
}

/** Makes a latched executor. @since 0.1.0 @category constructors */
export const make = (options: LatchedOptions = {}): Effect.Effect<LatchedExecutor> =>
  Effect.sync(() => {
    const latch = Effect.unsafeMakeLatch(options.held !== true)
    const counts = { apply: 0, interrupted: 0, cancelBoundary: 0, hardCancel: 0, stop: 0, cleanup: 0 }
    const turns: Array<Turn> = []
    const starts = new Map<number, Deferred.Deferred<Turn>>()
    const startOf = (n: number): Deferred.Deferred<Turn> => {
      const known = starts.get(n)
      if (known !== undefined) return known
      const fresh = Deferred.unsafeMake<Turn>(FiberId.none)
      starts.set(n, fresh)
      return fresh
    }
    const count = (name: keyof LatchedCounts): Effect.Effect<void> =>
      Effect.sync(() => {
        counts[name]++
      })
    const apply = (turn: Turn): Effect.Effect<TurnOutput, ExecutorError> =>
      Effect.suspend(() => {
        const n = ++counts.apply
        turns.push(turn)
        Deferred.unsafeDone(startOf(n), Exit.succeed(turn))
        const wait = options.stubborn === true ? Effect.uninterruptible(latch.await) : latch.await
        const begun = options.begin === undefined ? wait : Effect.zipRight(options.begin(turn), wait)
        return Effect.zipRight(
          Effect.onInterrupt(begun, () => count("interrupted")),
          options.script?.[n - 1] ?? Effect.succeed(reply(`answer ${n}`))
        )
      })
    const { cleanup = Effect.void, hardCancel, stop = Effect.void } = options
    return {
      executor: {
        apply,
        cancelAfterBoundary: () => count("cancelBoundary"),
        ...(hardCancel === undefined
          ? {}
          : { hardCancel: (request: ControlRequest) => Effect.zipRight(count("hardCancel"), hardCancel(request)) }),
        stop: () => Effect.zipRight(count("stop"), stop),
        cleanupAfterStop: Effect.zipRight(count("cleanup"), cleanup)
      },
      turns: () => turns.slice(),
      counts: () => ({ ...counts }),
      started: (n) => Deferred.await(startOf(n)),
      open: Effect.asVoid(latch.open),
      close: Effect.asVoid(latch.close)
    }
  })
