// @effect-diagnostics nodeBuiltinImport:off
/** The limit of inputs and answers counts the UTF-8 bytes of each text once. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import { Buffer } from "node:buffer"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import * as RuntimeStoreSqlite from "../../layers/RuntimeStoreSqlite.js"
import { make } from "../../services/CoreExecutor.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import * as MeerkatMachineConfig from "../../services/MeerkatMachineConfig.js"
import * as Turn from "../../services/Turn.js"
import { maxNameBytes } from "../../src/domain/BoundedText.js"
import { SessionId } from "../../src/domain/Ids.js"
import { textOf as wordsOf } from "../../src/domain/Message.js"
import { prompt } from "../support/inputs.js"

const id = SessionId.make("sizes")

/** A text of exactly `bytes` bytes in UTF-8, made of `character` and filled up with "x". */
const textOf = (bytes: number, character: string): string => {
  const one = Buffer.byteLength(character)
  return character.repeat(Math.floor(bytes / one)) + "x".repeat(bytes % one)
}

const inFolder = <A, E>(body: (filename: string) => Effect.Effect<A, E>) =>
  Effect.acquireUseRelease(
    Effect.sync(() => fs.mkdtempSync(join(tmpdir(), "meerkat-sizes-"))),
    (folder) => body(join(folder, "s.db")),
    (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true, force: true }))
  )

/** A machine and a store on a file, both with the same limit. */
const within = <A, E>(limit: number | null, body: Effect.Effect<A, E, MeerkatMachine>) => {
  const limits = limit === null ? {} : { maxCommitBytes: limit }
  return inFolder((filename) =>
    body.pipe(
      Effect.provide(MeerkatMachineLive.layer.pipe(
        Layer.provide(RuntimeStoreSqlite.layer({ filename, ...limits })),
        Layer.provide(MeerkatMachineConfig.layer({ maxAttempts: 1, ...limits }))
      )),
      Effect.provide(Logger.remove(Logger.defaultLogger))
    )
  )
}

/** Sends the prompt `said` to an executor that answers `answered`, and returns the outcome. */
const turnOf = (said: string, answered: string) =>
  Effect.gen(function*() {
    const machine = yield* MeerkatMachine
    yield* machine.ensureSessionWithExecutor(id, yield* make(() => Effect.succeed(Turn.reply(answered))))
    const { completion } = yield* machine.session(id).prompt(said)
    return yield* completion.wait
  })

const tooLarge = (error: { readonly _tag: string; readonly detail?: unknown }) =>
  error._tag === "ValidationFailed" ? error.detail : error._tag

const characters = ["x", "é", "語", "😀", "a\n", "\"", "\u0001"]

describe("a turn whose texts are counted in UTF-8", () => {
  for (const limit of [1_000, 70_001]) {
    for (const character of characters) {
      it.live(`is stored up to ${limit} bytes of ${JSON.stringify(character)} and refused with one byte more`, () =>
        within(
          limit,
          Effect.gen(function*() {
            const fits = textOf(limit, character)
            const over = textOf(limit + 1, character)
            const told = yield* turnOf(fits, fits)
            assert.strictEqual(told._tag === "Completed" ? told.result.text : told._tag, fits)
            assert.deepStrictEqual(tooLarge(yield* Effect.flip(turnOf(over, "no"))), {
              _tag: "TooLarge",
              bytes: limit + 1,
              limit
            })
          })
        ))

      it.live(`is abandoned with its size as the reason when the answer exceeds ${limit} bytes of ${JSON.stringify(character)}`, () =>
        within(
          limit,
          Effect.gen(function*() {
            const told = yield* turnOf("hello", textOf(limit + 1, character))
            const reason = `the turn comes to ${limit + 1} bytes, the limit is ${limit}`
            assert.include(told._tag === "Abandoned" ? told.reason : told._tag, reason)
          })
        ))
    }
  }
})

describe("the default limit", () => {
  it.live("lets answers of 9 MB and of exactly 16 MiB through", () =>
    within(
      null,
      Effect.gen(function*() {
        const machine = yield* MeerkatMachine
        const executor = yield* make(({ appends: [said] }) =>
          Effect.sync(() => Turn.reply(textOf(Number(said === undefined ? 0 : wordsOf(said.blocks)), "x")))
        )
        yield* machine.ensureSessionWithExecutor(id, executor)
        for (const bytes of [9_000_000, 16 * 1024 * 1024]) {
          const { text } = yield* machine.session(id).ask(String(bytes), {})
          assert.strictEqual(text.length, bytes)
        }
      })
    ), 120_000)

  it.live("lets an input of exactly 16 MiB through with an answer of the same size", () =>
    within(
      null,
      Effect.gen(function*() {
        const text = textOf(16 * 1024 * 1024, "語")
        const told = yield* turnOf(text, text)
        assert.strictEqual(told._tag, "Completed")
      })
    ), 120_000)
})

describe("the same limit", () => {
  const limit = 2_000
  const fits = textOf(limit, "語")
  const over = textOf(limit + 1, "語")
  const refusal = { _tag: "TooLarge", bytes: limit + 1, limit }

  it.live("holds for acceptInputAndRun", () =>
    within(
      limit,
      Effect.gen(function*() {
        const machine = yield* MeerkatMachine
        yield* machine.registerSession(id)
        const run = (n: number, answer: string) =>
          machine.acceptInputAndRun(id, prompt(n), () => Effect.succeed([answer, Turn.reply(answer)]))
        assert.strictEqual(yield* run(1, fits), fits)
        assert.deepStrictEqual(tooLarge(yield* Effect.flip(run(2, over))), refusal)
      })
    ))

  it.live("holds for service turns", () =>
    within(
      limit,
      Effect.gen(function*() {
        const machine = yield* MeerkatMachine
        yield* machine.registerSession(id)
        const { turn } = yield* machine.session(id).bindings
        yield* turn.begin()
        assert.deepStrictEqual(tooLarge(yield* Effect.flip(turn.complete(Turn.reply(over)))), refusal)
        yield* turn.complete(Turn.reply(fits))
      })
    ))

  it.live("holds for the result of an operation", () =>
    within(
      limit,
      Effect.gen(function*() {
        const machine = yield* MeerkatMachine
        yield* machine.registerSession(id)
        const { operations } = machine.session(id)
        const one = yield* operations.run(Effect.succeed(fits), { displayName: "fits" })
        assert.strictEqual((yield* operations.watch(one))._tag, "Completed")
        const two = yield* operations.run(Effect.succeed(over), { displayName: "over" })
        const told = yield* operations.watch(two)
        assert.include(told._tag === "Failed" ? told.error : told._tag, "it has 2001 bytes, the limit is 2000")
        const external = yield* operations.external({ displayName: "external" })
        assert.strictEqual((yield* Effect.flip(operations.complete(external, over)))._tag, "OpInvalid")
        yield* operations.complete(external, fits)
      })
    ))

  it.live("holds for silent intents and requests for deferred tools", () =>
    within(
      limit,
      Effect.gen(function*() {
        const machine = yield* MeerkatMachine
        yield* machine.registerSession(id)
        const names = [textOf(limit, "x")]
        const expected = { _tag: "TooLarge", bytes: limit + 4, limit }
        assert.deepStrictEqual(tooLarge(yield* Effect.flip(machine.setSessionSilentIntents(id, names))), expected)
        const { tools } = machine.session(id)
        assert.deepStrictEqual(tooLarge(yield* Effect.flip(tools.stageRequestedDeferredNames(names))), expected)
      })
    ))
})

describe("the idempotency key of an input", () => {
  it.live("is refused when it exceeds 16 KiB", () =>
    within(
      null,
      Effect.gen(function*() {
        const machine = yield* MeerkatMachine
        yield* machine.registerSession(id)
        const ask = (idempotencyKey: string) => machine.session(id).prompt("hello", { idempotencyKey })
        const { outcome } = yield* ask(textOf(maxNameBytes, "é"))
        assert.strictEqual(outcome._tag, "Accepted")
        assert.deepStrictEqual(tooLarge(yield* Effect.flip(ask(textOf(maxNameBytes + 1, "é")))), {
          _tag: "TooLarge",
          bytes: maxNameBytes + 1,
          limit: maxNameBytes
        })
        assert.isTrue(Option.isNone(yield* machine.outcome(id, prompt(1).header.id)))
      })
    ))
})
