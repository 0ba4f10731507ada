import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as IdGenLive from "../../layers/IdGenLive.js"
import type { Entry } from "../../layers/internal/entry.js"
import * as Entries from "../../layers/internal/entry.js"
import { conduct } from "../../layers/internal/guest.js"
import * as Spawn from "../../layers/internal/spawn.js"
import * as Transitions from "../../layers/internal/transitions.js"
import * as MachineAuthorityLive from "../../layers/MachineAuthorityLive.js"
import * as RuntimeStoreMemory from "../../layers/RuntimeStoreMemory.js"
import { MachineAuthority } from "../../services/MachineAuthority.js"
import type { UnregisterReport } from "../../services/MeerkatMachine.js"
import type { InterruptReason } from "../../services/RuntimeLoop.js"
import type { RuntimeDriverError } from "../../src/domain/Errors.js"
import { SessionId } from "../../src/domain/Ids.js"
import { destroy } from "../../src/kernel/commands/lifecycle.js"
import { runId } from "../support/inputs.js"

const authorities = MachineAuthorityLive.layer.pipe(
  Layer.provideMerge(IdGenLive.layer),
  Layer.provideMerge(RuntimeStoreMemory.layer)
)

const sessionId = SessionId.make("s")

const fresh = Effect.gen(function*() {
  const { open } = yield* MachineAuthority
  return Entries.make(sessionId, yield* open(sessionId), yield* Scope.make())
})

/** Why work is interrupted that becomes known when this has happened to its session. */
const interruptedAfter = (happened: (entry: Entry) => Effect.Effect<unknown, unknown>) =>
  Effect.gen(function*() {
    const entry = yield* fresh
    yield* happened(entry)
    const reasons: Array<InterruptReason> = []
    const interrupt = (reason: InterruptReason) => Effect.sync(() => void reasons.push(reason))
    const end = Effect.sync(() => assert.isNotNull(entry.state.unsafeGet().guest))
    const spawner = yield* Spawn.make
    yield* conduct({ spawner }, entry, (effect) => effect, { runId: runId(1), interrupt, end }, () => Effect.void)
    assert.isNull(entry.state.unsafeGet().guest)
    return reasons
  }).pipe(Effect.scoped, Effect.provide(authorities))

describe("work that becomes known after it was to be ended", () => {
  it.live("is interrupted at once when its session is being unregistered", () =>
    Effect.gen(function*() {
      const leaving = (entry: Entry) =>
        Effect.map(Deferred.make<UnregisterReport, RuntimeDriverError>(), (closing) => {
          entry.state.unsafeModify(Transitions.beginClose(closing))
        })
      assert.deepStrictEqual(yield* interruptedAfter(leaving), ["requeue"])
    }))

  it.live("is interrupted at once when its session was destroyed", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* interruptedAfter(({ authority }) => authority.submit(destroy)), ["destroyed"])
    }))

  it.live("goes on when nothing has happened", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* interruptedAfter(() => Effect.void), [])
    }))
})
