// what meets in one round of a session's commands: everything that comes while a commit is under way
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

/** A registered session whose commits can be held. */
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

/** Calls that come one after the other while a commit is held: they make the next round. */
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

/** What the calls of one round are told, as far as they are. */
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

describe("an input that ends in the round in which it came, and is delivered again in it,", () => {
  it.effect("is the one that ended, when it was taken back", () =>
    registered((scene) =>
      Effect.gen(function*() {
        const { accept, machine } = scene
        const told = yield* together(scene, accept(prompt(1)), retract(scene, 1), accept(prompt(1)))
        assert.deepStrictEqual(told, ["Accepted", "Retracted", "Deduplicated"])
        assert.deepStrictEqual(yield* machine.listActiveInputs(id), [inputId(99)])
      })
    ))

  it.effect("is the one that ended, when another took its place", () =>
    registered((scene) =>
      Effect.gen(function*() {
        const { accept, machine } = scene
        const report = (n: number) => peer(n, progress, undefined, { supersessionKey: "k" })
        const told = yield* together(scene, accept(report(1)), accept(report(2)), accept(report(1)))
        assert.deepStrictEqual(told, ["Accepted", "Accepted", "Deduplicated"])
        assert.deepStrictEqual(yield* machine.listActiveInputs(id), [inputId(99), inputId(2)])
      })
    ))

  it.effect("is the one that ended, when it was consumed at once", () =>
    registered((scene) =>
      Effect.gen(function*() {
        const { accept } = scene
        const told = yield* together(scene, accept(operation(1)), accept(operation(1)))
        assert.deepStrictEqual(told, ["Accepted", "Deduplicated"])
      })
    ))

  it.effect("costs nobody else an input", () =>
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

describe("an expired key that found its new input, which has ended,", () => {
  const keyed = (n: number) => prompt(n, undefined, { idempotencyKey: "k" })

  it.effect("is not given away again by who saw it expired", () =>
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

/** Two operations, the first of which has ended. */
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

describe("who waits for several operations", () => {
  it.effect("is told all ends, also those that are collected in the round that brings the last one", () =>
    registered((scene) =>
      Effect.gen(function*() {
        const { collecting, ending, waiting } = yield* begun(scene)
        const told = yield* together(scene, waiting, ending, collecting)
        assert.deepStrictEqual(told, ["one, two", "ended", "one, two"])
      })
    ))

  it.effect("is told all ends, also those that the last one pushes out", () =>
    registered((scene) =>
      Effect.gen(function*() {
        const { ending, waiting } = yield* begun(scene)
        assert.deepStrictEqual(yield* together(scene, waiting, ending), ["one, two", "ended"])
      }), { maxCompletedOperations: 1 }))

  it.effect("and leaves while the wait is being begun is no watcher any more", () =>
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
  it.effect("says that memory is not what is stored: the session must be registered again, and goes on then", () =>
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
