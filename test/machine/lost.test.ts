// @effect-diagnostics nodeBuiltinImport:off
/** A store whose file is removed: every session reports the loss, also a session without a write. */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import * as RuntimeStoreSqlite from "../../layers/RuntimeStoreSqlite.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import { SessionId } from "../../src/domain/Ids.js"

const filename = join(fs.mkdtempSync(join(tmpdir(), "meerkat-lost-")), "s.db")
const machineLayer = MeerkatMachineLive.layer.pipe(Layer.provide(RuntimeStoreSqlite.layer({ filename })))

it.live("every waiter and every later call gets a typed error when one session detects the loss of the store", () =>
  Effect.gen(function*() {
    const machine = yield* MeerkatMachine
    const [idle, writing] = [SessionId.make("idle"), SessionId.make("writing")]
    yield* machine.registerSession(idle)
    yield* machine.registerSession(writing)
    const { completion } = yield* machine.session(idle).prompt("nothing runs this")
    const waiting = yield* Effect.fork(completion.wait)
    fs.rmSync(filename)
    const refused = yield* Effect.flip(machine.session(writing).prompt("this finds the loss"))
    assert.isTrue(refused._tag === "Internal" && !refused.retryable, String(refused))
    const outcome = yield* Fiber.join(waiting)
    assert.isTrue(outcome._tag === "RuntimeTerminated" && outcome.reason.includes("StoreLost"), JSON.stringify(outcome))
    for (const session of [idle, writing]) {
      const error = yield* Effect.flip(machine.session(session).prompt("later"))
      assert.isTrue(error._tag === "Internal" && error.message.includes("rescued-1"), String(error))
    }
    const unopened = yield* Effect.flip(machine.registerSession(SessionId.make("new")))
    assert.isTrue(unopened._tag === "Internal" && unopened.message.includes("StoreLost"), String(unopened))
  }).pipe(Effect.provide(machineLayer)))
