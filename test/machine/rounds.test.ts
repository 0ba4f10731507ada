// Commands that arrive while a commit is under way. The authority folds them into one round.
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as TestClock from "effect/TestClock"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import { make } from "../../services/CoreExecutor.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import type { MeerkatMachineOptions } from "../../services/MeerkatMachineConfig.js"
import * as MeerkatMachineConfig from "../../services/MeerkatMachineConfig.js"
import { SessionId } from "../../src/domain/Ids.js"
import type { Input } from "../../src/domain/Input.js"
import type { OperationEnd } from "../../src/domain/Operation.js"
import { InputConflict } from "../../src/domain/StoreErrors.js"
import { FaultyStore } from "../../src/testkit/index.js"
import { inputId, operation, peer, progress, prompt } from "../support/inputs.js"
import { memory } from "../support/layers.js"
import { opId } from "../support/operations.js"

const id = SessionId.make("s")

interface Scene {
  readonly machine: MeerkatMachine["Type"]
  readonly faults: FaultyStore.FaultyStore
  readonly accept: (input: Input) => Effect.Effect<string>
}

/** A registered session whose commits the test can hold. */
const registered = <A, E>(
  test: (scene: Scene) => Effect.Effect<A, E>,
  config: Partial<MeerkatMachineOptions> = {}
) =>
  Effect.gen(function*() {
    const faults = yield* FaultyStore.make
    const store = Layer.provide(FaultyStore.layer(faults), memory)
    return yield* Effect.gen(function*() {
      const machine = yield* MeerkatMachine
      yield* machine.registerSession(id)
      const accept = (input: Input) =>
        Effect.match(machine.acceptInput(id, input), {
          onFailure: (error) => `${error._tag}: ${error.message}`,
          onSuccess: ({ _tag }) => _tag
        })
      return yield* test({ machine, faults, accept })
    }).pipe(Effect.provide(Layer.provide(MeerkatMachineLive.layer, [store, MeerkatMachineConfig.layer(config)])))
  })

const turns = Effect.repeatN(Effect.yieldNow(), 20)

/** Submits the calls one after the other while a commit is held, so that they share the next round. */
const queued = ({ faults, machine }: Scene, calls: ReadonlyArray<Effect.Effect<string>>) =>
  Effect.gen(function*() {
    const held = faults.park("commit")
    yield* Effect.fork(machine.acceptInput(id, prompt(99)))
    yield* held.reached
    const fibers: Array<Fiber.RuntimeFiber<string>> = []
    for (const call of calls) {
      fibers.push(yield* Effect.fork(call))
      yield* turns
    }
    return { fibers, go: Effect.zipRight(held.release, turns) }
  })

/** Returns the answer of each call of one round, or "still waits" where a call has none yet. */
const together = (scene: Scene, ...calls: ReadonlyArray<Effect.Effect<string>>) =>
  Effect.gen(function*() {
    const { fibers, go } = yield* queued(scene, calls)
    yield* go
    return yield* Effect.forEach(fibers, (fiber) =>
      Effect.flatMap(fiber.poll, Option.getOrElse(() => Exit.succeed("still waits"))))
  })

const retract = ({ machine }: Scene, n: number) =>
  Effect.match(machine.retractInput(id, inputId(n)), {
    onFailure: ({ _tag }): string => _tag,
    onSuccess: () => "Retracted"
  })

describe("an input that ends in the round in which it arrived, and arrives again in that round,", () => {
  it.effect("is deduplicated when it was retracted", () =>
    registered((scene) =>
      Effect.gen(function*() {
        const { accept, machine } = scene
        const told = yield* together(scene, accept(prompt(1)), retract(scene, 1), accept(prompt(1)))
        assert.deepStrictEqual(told, ["Accepted", "Retracted", "Deduplicated"])
        assert.deepStrictEqual(yield* machine.listActiveInputs(id), [inputId(99)])
      })
    ))

  it.effect("is deduplicated when a newer input superseded it", () =>
    registered((scene) =>
      Effect.gen(function*() {
        const { accept, machine } = scene
        const report = (n: number) => peer(n, progress, undefined, { supersessionKey: "k" })
        const told = yield* together(scene, accept(report(1)), accept(report(2)), accept(report(1)))
        assert.deepStrictEqual(told, ["Accepted", "Accepted", "Deduplicated"])
        assert.deepStrictEqual(yield* machine.listActiveInputs(id), [inputId(99), inputId(2)])
      })
    ))

  it.effect("is deduplicated when it was consumed at once", () =>
    registered((scene) =>
      Effect.gen(function*() {
        const { accept } = scene
        const told = yield* together(scene, accept(operation(1)), accept(operation(1)))
        assert.deepStrictEqual(told, ["Accepted", "Deduplicated"])
      })
    ))

  it.effect("does not keep later inputs from being admitted", () =>
    registered((scene) =>
      Effect.gen(function*() {
        const { accept, machine } = scene
        yield* together(scene, accept(prompt(1)), retract(scene, 1), accept(prompt(1)))
        yield* retract(scene, 99)
        yield* machine.ensureSessionWithExecutor(id, yield* make(() => Effect.never))
        yield* turns
        assert.strictEqual(yield* accept(prompt(2)), "Accepted")
      })
    ))
})

describe("an expired idempotency key that a new input of the same round took, and whose input has ended,", () => {
  const keyed = (n: number) => prompt(n, undefined, { idempotencyKey: "k" })

  it.effect("is not reassigned by a call that read it as expired", () =>
    registered((scene) =>
      Effect.gen(function*() {
        const { accept } = scene
        yield* accept(keyed(1))
        yield* retract(scene, 1)
        yield* TestClock.adjust("2 seconds")
        const told = yield* together(scene, accept(keyed(2)), retract(scene, 2), accept(keyed(3)))
        assert.deepStrictEqual(told, ["Accepted", "Retracted", "Deduplicated"])
      }), { keyRetention: Option.some(Duration.seconds(1)) }))
})

const endsOf = (ends: ReadonlyArray<OperationEnd>) =>
  ends.map(([, end]) => end._tag === "Completed" ? end.result.content : end._tag).join(", ")

/** Two external operations, of which the first has ended. */
const begun = ({ machine }: Scene) =>
  Effect.gen(function*() {
    const { operations } = machine.session(id)
    for (const n of [1, 2]) yield* operations.external({ displayName: `op ${n}`, id: opId(n) })
    yield* operations.complete(opId(1), "one")
    return {
      operations,
      waiting: Effect.orDie(Effect.map(operations.waitAll([opId(1), opId(2)]), endsOf)),
      ending: Effect.orDie(Effect.as(operations.complete(opId(2), "two"), "ended")),
      collecting: Effect.orDie(Effect.map(operations.collectCompleted, endsOf))
    }
  })

describe("a caller that waits for several operations", () => {
  it.effect("receives every end when some are collected in the round of the last end", () =>
    registered((scene) =>
      Effect.gen(function*() {
        const { collecting, ending, waiting } = yield* begun(scene)
        const told = yield* together(scene, waiting, ending, collecting)
        assert.deepStrictEqual(told, ["one, two", "ended", "one, two"])
      })
    ))

  it.effect("receives every end when the last end evicts an earlier one", () =>
    registered((scene) =>
      Effect.gen(function*() {
        const { ending, waiting } = yield* begun(scene)
        assert.deepStrictEqual(yield* together(scene, waiting, ending), ["one, two", "ended"])
      }), { maxCompletedOperations: 1 }))

  it.effect("is no longer counted as a watcher when it is interrupted while the wait is committed", () =>
    registered((scene) =>
      Effect.gen(function*() {
        const { operations, waiting } = yield* begun(scene)
        const { fibers: [wait], go } = yield* queued(scene, [waiting, scene.accept(prompt(1))])
        const beginning = scene.faults.park("commit")
        yield* go
        yield* beginning.reached
        assert.isDefined(wait)
        const leaving = yield* Effect.fork(Fiber.interrupt(wait))
        yield* turns
        yield* beginning.release
        yield* Fiber.join(leaving)
        const left = yield* operations.get(opId(2))
        assert.strictEqual(Option.getOrThrow(left).watcherCount, 0)
      })
    ))
})

describe("a change of an input that the store does not know", () => {
  it.effect("fails, and requires the session to be registered again before it takes commands", () =>
    registered((scene) =>
      Effect.gen(function*() {
        const { accept, faults, machine } = scene
        yield* accept(prompt(1))
        faults.failCommit(new InputConflict({ inputId: inputId(1), detail: "no such input is open" }))
        assert.strictEqual(yield* retract(scene, 1), "Internal")
        assert.include(yield* accept(prompt(2)), "must be registered again")
        yield* machine.registerSession(id)
        assert.strictEqual(yield* retract(scene, 1), "Retracted")
      })
    ))
})
