// @effect-diagnostics nodeBuiltinImport:off
/** What is acknowledged can be read back for ever: a value that could not is refused, whatever types it came with. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Function from "effect/Function"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import * as RuntimeStoreSqlite from "../../layers/RuntimeStoreSqlite.js"
import type { TurnOutput } from "../../services/CoreExecutor.js"
import type { MeerkatMachineService, PromptOptions, SessionHandle } from "../../services/MeerkatMachine.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import type { SessionOperations } from "../../services/SessionOperations.js"
import * as Turn from "../../services/Turn.js"
import { SessionId } from "../../src/domain/Ids.js"
import { textOf } from "../../src/domain/Message.js"
import { prompt } from "../support/inputs.js"

const id = SessionId.make("s")

/** A value as it comes out of a library without types. */
const untyped: (value: unknown) => never = Function.unsafeCoerce

const test = (name: string, body: (machine: MeerkatMachineService) => Effect.Effect<void, unknown>) =>
  it.effect(name, () => Effect.flatMap(MeerkatMachine, body).pipe(Effect.provide(MeerkatMachineLive.layerEphemeral)))

const video = (durationMs: number): PromptOptions => ({
  blocks: [{ type: "video", mediaType: "video/mp4", durationMs, data: { type: "inline", base64: "AAAA" } }]
})

/** A machine of its own on a file, closed at the end. */
const process_ = <A, E>(filename: string, body: (machine: MeerkatMachineService) => Effect.Effect<A, E>) =>
  Effect.flatMap(MeerkatMachine, body).pipe(
    Effect.provide(Layer.fresh(Layer.provide(MeerkatMachineLive.layer, RuntimeStoreSqlite.layer({ filename }))))
  )

describe("an input that could not be read back is refused", () => {
  const given: Record<string, (session: SessionHandle) => Effect.Effect<unknown, unknown>> = {
    "a length in fractions of a millisecond": (session) => session.prompt("x", video(1234.5)),
    "a time to live in fractions of a second": (session) =>
      session.steer("x", { metadata: { keepAlive: { ttlSeconds: 0.5, policy: "pinned" } } }),
    "an endless number": (session) =>
      session.ask("x", { metadata: { providerParams: { type: "set", value: Infinity } } }),
    "no text": (session) => session.prompt(untyped(undefined)),
    "a key that is no text": (session) => session.prompt("x", { idempotencyKey: untyped(5) })
  }
  for (const [what, ask] of Object.entries(given)) {
    test(what, (machine) =>
      Effect.gen(function*() {
        yield* machine.registerSession(id)
        const refused = yield* Effect.flip(ask(machine.session(id)))
        assert.deepInclude(refused, { _tag: "ValidationFailed" })
        assert.deepStrictEqual(yield* machine.listActiveInputs(id), [])
        yield* machine.session(id).prompt("sound")
      }))
  }

  test("a time that is no number", (machine) =>
    Effect.gen(function*() {
      yield* machine.registerSession(id)
      const input = prompt(1)
      const odd = { ...input, header: { ...input.header, timestamp: NaN } }
      assert.strictEqual((yield* Effect.flip(machine.acceptInput(id, odd)))._tag, "ValidationFailed")
    }))

  test("and the message says what is wrong in a few words", (machine) =>
    Effect.gen(function*() {
      yield* machine.registerSession(id)
      const refused = yield* Effect.flip(machine.session(id).prompt("x".repeat(1_000), video(0.5)))
      assert.include(refused.message, "durationMs")
      assert.isBelow(refused.message.length, 700)
    }))
})

describe("a turn whose output could not be read back has failed, once", () => {
  const outputs: Record<string, TurnOutput> = {
    "costs that are no number": Turn.reply("x", { usage: { costUsd: NaN } }),
    "data that are no number": Turn.reply("x", { data: { a: Infinity } }),
    "no text": Turn.reply(untyped(undefined)),
    "a count that is no number": {
      session: { _tag: "Opaque", bytes: new Uint8Array(3), messageCount: NaN },
      terminal: null
    },
    "half a message": { session: { _tag: "Opaque", bytes: new Uint8Array(3), messageCount: 1.5 }, terminal: null },
    "nothing at all": untyped(undefined)
  }
  for (const [what, output] of Object.entries(outputs)) {
    test(`${what}; the next one goes on`, (machine) =>
      Effect.gen(function*() {
        const runs = { count: 0 }
        yield* machine.ensureSessionWithExecutor(id, {
          apply: ({ history }) => Effect.as(Stream.runDrain(history), runs.count++ === 0 ? output : Turn.reply("sound"))
        })
        const { completion } = yield* machine.session(id).prompt("hello")
        const told = yield* completion.wait
        assert.include(told._tag === "Abandoned" ? told.reason : told._tag, "cannot be stored")
        assert.deepStrictEqual(yield* machine.session(id).ask("again"), { text: "sound" })
        assert.strictEqual(runs.count, 2)
      }))

    test(`${what}, of a caller's own turn: the caller is told`, (machine) =>
      Effect.gen(function*() {
        yield* machine.registerSession(id)
        const op = () => Effect.succeed([1, output] as const)
        const told = yield* Effect.flip(machine.acceptInputAndRun(id, prompt(1), op))
        assert.strictEqual(told._tag, "ValidationFailed")
        assert.strictEqual(yield* machine.runtimeState(id), "idle")
      }))
  }
})

describe("an operation that could not be read back is refused", () => {
  const named = { displayName: "x" }
  const given: Record<string, (operations: SessionOperations) => Effect.Effect<unknown, unknown>> = {
    "without a name": (operations) => operations.external(untyped({})),
    "of an id that is none": (operations) => operations.external({ ...named, id: untyped("mine") }),
    "that used no number of tokens": (operations) =>
      Effect.flatMap(operations.external(named), (op) => operations.complete(op, { content: "x", tokensUsed: NaN })),
    "that took no number of milliseconds": (operations) =>
      Effect.flatMap(operations.external(named), (op) => operations.complete(op, { content: "x", durationMs: NaN })),
    "that answered nothing": (operations) =>
      Effect.flatMap(operations.external(named), (op) => operations.complete(op, untyped(undefined))),
    "that failed of what is no text": (operations) =>
      Effect.flatMap(operations.external(named), (op) => operations.fail(op, untyped({ code: 1 }))),
    "whose peer is none": (operations) =>
      Effect.flatMap(
        operations.external({ ...named, kind: "mob_member_child", expectPeerChannel: true }),
        (op) => operations.peerReady(op, untyped({}))
      )
  }
  for (const [what, call] of Object.entries(given)) {
    test(what, (machine) =>
      Effect.gen(function*() {
        yield* machine.registerSession(id)
        const { operations } = machine.session(id)
        assert.deepInclude(yield* Effect.flip(call(operations)), { _tag: "OpInvalid" })
        for (const { status } of yield* operations.list) assert.strictEqual(status, "running")
      }))
  }

  for (const answer of [5, { content: "x", tokensUsed: 0.5 }, undefined]) {
    test(`and ends as failed when its work answers ${JSON.stringify(answer)}`, (machine) =>
      Effect.gen(function*() {
        yield* machine.registerSession(id)
        const { operations } = machine.session(id)
        const op = yield* operations.run(Effect.succeed(untyped(answer)), named)
        const outcome = yield* operations.watch(op)
        assert.include(outcome._tag === "Failed" ? outcome.error : outcome._tag, "its answer cannot be stored")
      }))
  }
})

describe("what is undefined is absent, as in JSON", () => {
  it.live("of an input and of an answer, now and after a restart", () =>
    Effect.gen(function*() {
      const filename = join(fs.mkdtempSync(join(tmpdir(), "meerkat-stored-")), "s.db")
      const inputId = yield* process_(filename, (machine) =>
        Effect.gen(function*() {
          yield* machine.ensureSessionWithExecutor(id, {
            apply: () => Effect.succeed(Turn.reply("x", untyped({ data: { a: 1, b: undefined }, usage: undefined })))
          })
          const metadata = untyped({ model: undefined })
          const { completion } = yield* machine.session(id).prompt("hello", { metadata })
          yield* completion.wait
          return completion.inputId
        }))
      yield* process_(filename, (machine) =>
        Effect.gen(function*() {
          yield* machine.registerSession(id)
          assert.deepStrictEqual(
            yield* machine.outcome(id, inputId),
            Option.some({ _tag: "Completed", result: { text: "x", data: { a: 1 } } } as const)
          )
          const history = yield* Stream.runCollect(machine.history(id))
          assert.deepStrictEqual(Array.from(history, ({ blocks }) => textOf(blocks)), ["hello", "x"])
        }))
    }))
})
