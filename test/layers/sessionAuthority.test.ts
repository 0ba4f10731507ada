import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as HandoverLive from "../../layers/HandoverLive.js"
import * as IdGenLive from "../../layers/IdGenLive.js"
import * as MachineAuthorityLive from "../../layers/MachineAuthorityLive.js"
import * as RuntimeStoreMemory from "../../layers/RuntimeStoreMemory.js"
import type { SessionAuthority } from "../../services/MachineAuthority.js"
import { MachineAuthority } from "../../services/MachineAuthority.js"
import type { Command } from "../../src/domain/Command.js"
import { SessionId } from "../../src/domain/Ids.js"
import { setSilentIntents } from "../../src/kernel/commands/queue.js"
import { FaultyStore } from "../../src/testkit/index.js"

const id = SessionId.make("s")

/** In a world of one seed nobody waits for the event loop. */
const memory = Layer.provide(RuntimeStoreMemory.layerNoDeps(), HandoverLive.layerYield)

const authorityOn = (faults: FaultyStore.FaultyStore) =>
  MachineAuthorityLive.layer.pipe(
    Layer.provideMerge(IdGenLive.layer),
    Layer.provideMerge(Layer.provide(FaultyStore.layer(faults), memory))
  )

interface Scene {
  readonly authority: SessionAuthority
  readonly faults: FaultyStore.FaultyStore
  readonly close: Effect.Effect<void>
}

const withAuthority = <A, E>(body: (scene: Scene) => Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const faults = yield* FaultyStore.make
    return yield* Effect.gen(function*() {
      const scope = yield* Scope.make()
      const authority = yield* Scope.extend(Effect.flatMap(MachineAuthority, ({ open }) => open(id)), scope)
      return yield* Effect.ensuring(
        body({ authority, faults, close: Scope.close(scope, Exit.void) }),
        Effect.zipRight(faults.heal, Scope.close(scope, Exit.void))
      )
    }).pipe(Effect.provide(authorityOn(faults)))
  })

const defective: Command<void> = {
  name: "defective",
  decide: () => {
    throw new Error("a mistake in a rule")
  }
}

/** Lets everybody go on that can. */
const turns = Effect.repeatN(Effect.sleep(0), 20)

const isDone = <A, E>(fiber: Fiber.RuntimeFiber<A, E>) => fiber.unsafePoll() !== null

describe("the owner of a session's state", () => {
  it.live("who waits for another state than an old one need not wait", () =>
    withAuthority(({ authority }) =>
      Effect.gen(function*() {
        const old = authority.unsafeState()
        yield* authority.submit(setSilentIntents(["hush"]))
        const told = yield* Effect.timeoutOption(authority.changedFrom(old), "5 seconds")
        assert.isTrue(Option.isSome(told))
      })
    ))

  it.live("who follows looks again when the watches close", () =>
    withAuthority(({ authority }) =>
      Effect.gen(function*() {
        const waiting = yield* Effect.fork(authority.changedFrom(authority.unsafeState()))
        yield* turns
        assert.isFalse(isDone(waiting))
        yield* authority.closeWatches("over")
        assert.isTrue(Option.isSome(yield* Effect.timeoutOption(Fiber.join(waiting), "5 seconds")))
      })
    ))

  it.live("its shutdown waits for the commit that is under way; what is queued behind it, or comes, is refused", () =>
    withAuthority(({ authority, faults }) =>
      Effect.gen(function*() {
        const held = faults.park("commit")
        const first = yield* Effect.fork(authority.submit(setSilentIntents(["one"])))
        yield* held.reached
        const second = yield* Effect.fork(Effect.flip(authority.submit(setSilentIntents(["two"]))))
        yield* turns
        const ending = yield* Effect.fork(authority.shutdown)
        const refused = yield* Effect.timeoutOption(Fiber.join(second), "5 seconds")
        assert.deepStrictEqual(refused, Option.some({ _tag: "Closed" }))
        assert.deepStrictEqual(yield* Effect.flip(authority.submit(setSilentIntents(["three"]))), { _tag: "Closed" })
        yield* turns
        assert.isFalse(isDone(ending))
        yield* held.release
        yield* Fiber.join(ending)
        assert.isTrue(isDone(first))
      })
    ))

  it.live("the end of the session waits for the commit that is under way, and who handed it in is told that it happened", () =>
    withAuthority(({ authority, close, faults }) =>
      Effect.gen(function*() {
        const held = faults.park("commit")
        const asked = yield* Effect.fork(authority.submit(setSilentIntents(["one"])))
        yield* held.reached
        const closing = yield* Effect.fork(close)
        yield* turns
        assert.isFalse(isDone(closing))
        yield* held.release
        yield* Fiber.join(closing)
        assert.isTrue(Exit.isSuccess(yield* Fiber.await(asked)))
      })
    ))

  // found by simulation, seed 9005498: the end of the session cut the lookup off, and the caller waited for ever
  it.live("who waits for a commit whose outcome is being looked up is told when the session ends meanwhile", () =>
    withAuthority(({ authority, close, faults }) =>
      Effect.gen(function*() {
        faults.loseAck()
        const lookup = faults.park("witness")
        const asked = yield* Effect.fork(Effect.flip(authority.submit(setSilentIntents(["one"]))))
        yield* lookup.reached
        const closing = yield* Effect.fork(close)
        const told = yield* Effect.timeoutOption(Fiber.join(asked), "5 seconds")
        assert.deepStrictEqual(Option.map(told, ({ _tag }) => _tag), Option.some("ReloadRequired"))
        yield* Fiber.join(closing)
      })
    ))

  it.live("a defect of one command is told to all of its round, and the session must be opened anew", () =>
    withAuthority(({ authority, faults }) =>
      Effect.gen(function*() {
        const held = faults.park("commit")
        yield* Effect.fork(authority.submit(setSilentIntents(["one"])))
        yield* held.reached
        const two = yield* Effect.fork(Effect.flip(authority.submit(setSilentIntents(["two"]))))
        const three = yield* Effect.fork(Effect.flip(authority.submit(defective)))
        yield* turns
        yield* held.release
        const told = yield* Effect.timeoutOption(Fiber.join(Fiber.zip(two, three)), "5 seconds")
        assert.deepStrictEqual(
          Option.map(told, (errors) => errors.map(({ _tag }) => _tag)),
          Option.some([
            "ReloadRequired",
            "ReloadRequired"
          ])
        )
        assert.strictEqual((yield* authority.health)._tag, "ReloadRequired")
      })
    ))
})
