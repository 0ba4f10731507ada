/** Sessions on a store that can be full or busy for as long as a test wants, under the test's clock. */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import type { MeerkatMachineService } from "../../services/MeerkatMachine.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import type { MeerkatMachineOptions } from "../../services/MeerkatMachineConfig.js"
import * as MeerkatMachineConfig from "../../services/MeerkatMachineConfig.js"
import { RuntimeStore } from "../../services/RuntimeStore.js"
import { SessionId } from "../../src/domain/Ids.js"
import { StoreBusy, StoreFull } from "../../src/domain/StoreErrors.js"
import { FaultyStore } from "../../src/testkit/index.js"
import { memory } from "./layers.js"

export const id = SessionId.make("s")
export const full = new StoreFull({ operation: "commit", detail: "no space left on device" })
export const busy = new StoreBusy({ operation: "commit", waitedMs: 5_000 })

export interface Scene {
  readonly machine: MeerkatMachineService
  readonly faults: FaultyStore.FaultyStore
  /** The store itself, without the faults. */
  readonly store: RuntimeStore["Type"]
  /** The lines of the log so far. */
  readonly lines: ReadonlyArray<string>
  /** Closes the machine's layer; the store stays open. */
  readonly close: Effect.Effect<void>
  /** Builds another machine on the same store. */
  readonly reopen: Effect.Effect<MeerkatMachineService>
}

/** Runs everything that can run without a change of the clock. */
export const settled = Effect.repeatN(Effect.yieldNow(), 200)

/** Advances the clock, and runs everything that can run then. */
export const later = (duration: Duration.DurationInput): Effect.Effect<void> =>
  Effect.zipRight(settled, Effect.zipRight(TestClock.adjust(duration), settled))

/** Fails when the effect does not end within a minute of the test's clock. */
export const soon = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(effect)
    for (let tries = 0; tries < 120; tries++) {
      yield* settled
      const exit = fiber.unsafePoll()
      if (exit !== null) return yield* exit
      yield* TestClock.adjust("500 millis")
    }
    yield* Fiber.interruptFork(fiber)
    return yield* Effect.dieMessage("it did not end within a minute")
  })

export const scene = <A, E>(
  test: (scene: Scene) => Effect.Effect<A, E, Scope.Scope>,
  config: Partial<MeerkatMachineOptions> = {}
): Effect.Effect<A, E> =>
  Effect.gen(function*() {
    const faults = yield* FaultyStore.make
    const lines: Array<string> = []
    const logger = Logger.make(({ message }) => void lines.push(String(message)))
    const store = yield* RuntimeStore
    const build = Effect.gen(function*() {
      const scope = yield* Scope.make()
      const context = yield* MeerkatMachineLive.layer.pipe(
        Layer.provide(Layer.succeed(RuntimeStore, faults.decorate(store))),
        Layer.provide(MeerkatMachineConfig.layer(config)),
        Layer.provide(Logger.replace(Logger.defaultLogger, logger)),
        Layer.buildWithScope(scope)
      )
      const machine = yield* Effect.provide(MeerkatMachine, context)
      return { machine, close: Scope.close(scope, Exit.void) }
    })
    const first = yield* build
    const machines = [first]
    const reopen = Effect.map(build, (next) => {
      machines.push(next)
      return next.machine
    })
    const result = yield* Effect.scoped(test({ ...first, faults, store, lines, reopen }))
    yield* faults.heal
    for (const { close, machine } of machines) {
      yield* soon(close)
      if ((yield* machine.fiberCount) !== 0) yield* Effect.dieMessage("fibers are left behind")
    }
    return result
  }).pipe(Effect.provide(memory))
