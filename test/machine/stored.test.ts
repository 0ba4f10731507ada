// @effect-diagnostics nodeBuiltinImport:off
/** The machine accepts only values that the store can read back, whatever type the caller claims for them. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Function from "effect/Function"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Tracer from "effect/Tracer"
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
import type { CompletionOutcome } from "../../src/domain/Completion.js"
import { SessionId } from "../../src/domain/Ids.js"
import { textOf } from "../../src/domain/Message.js"
import * as ToolVisibility from "../../src/domain/ToolVisibility.js"
import { LlmHost } from "../../src/testkit/index.js"
import { prompt } from "../support/inputs.js"

const id = SessionId.make("s")

/** Gives a value any type, as a library without types does. */
const untyped: (value: unknown) => never = Function.unsafeCoerce

const test = (name: string, body: (machine: MeerkatMachineService) => Effect.Effect<void, unknown>) =>
  it.effect(name, () => Effect.flatMap(MeerkatMachine, body).pipe(Effect.provide(MeerkatMachineLive.layerEphemeral)))

const video = (durationMs: number): PromptOptions => ({
  blocks: [{ type: "video", mediaType: "video/mp4", durationMs, data: { type: "inline", base64: "AAAA" } }]
})

const fileOfItsOwn = (): string => join(fs.mkdtempSync(join(tmpdir(), "meerkat-stored-")), "s.db")

const builtin = ToolVisibility.witnessOf({ kind: "builtin", sourceId: "a" })
const peer = { peerName: "p", peerId: "p1", address: "here", publicKey: "k" }

/** Runs the body in a machine of its own on a file. The machine closes at the end. */
const process_ = <A, E>(filename: string, body: (machine: MeerkatMachineService) => Effect.Effect<A, E>) =>
  Effect.flatMap(MeerkatMachine, body).pipe(
    Effect.provide(Layer.fresh(Layer.provide(MeerkatMachineLive.layer, RuntimeStoreSqlite.layer({ filename }))))
  )

describe("an input that could not be read back is refused", () => {
  const given: Record<string, (session: SessionHandle) => Effect.Effect<unknown, unknown>> = {
    "a length in fractions of a millisecond": (session) => session.prompt("x", video(1234.5)),
    "a time to live in fractions of a second": (session) =>
      session.steer("x", { metadata: { keepAlive: { ttlSeconds: 0.5, policy: "pinned" } } }),
    "a number that is infinite": (session) =>
      session.ask("x", { metadata: { providerParams: { type: "set", value: Infinity } } }),
    "a text that is undefined": (session) => session.prompt(untyped(undefined)),
    "a key that is a number": (session) => session.prompt("x", { idempotencyKey: untyped(5) })
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

  test("an input with a timestamp that is NaN is refused", (machine) =>
    Effect.gen(function*() {
      yield* machine.registerSession(id)
      const input = prompt(1)
      const odd = { ...input, header: { ...input.header, timestamp: NaN } }
      assert.strictEqual((yield* Effect.flip(machine.acceptInput(id, odd)))._tag, "ValidationFailed")
    }))

  test("the refusal of an input names the faulty field in a short message", (machine) =>
    Effect.gen(function*() {
      yield* machine.registerSession(id)
      const refused = yield* Effect.flip(machine.session(id).prompt("x".repeat(1_000), video(0.5)))
      assert.include(refused.message, "durationMs")
      assert.isBelow(refused.message.length, 700)
    }))
})

describe("a turn whose output could not be read back fails once", () => {
  const outputs: Record<string, TurnOutput> = {
    "costs that are NaN": Turn.reply("x", { usage: { costUsd: NaN } }),
    "data with an infinite number": Turn.reply("x", { data: { a: Infinity } }),
    "a text that is undefined": Turn.reply(untyped(undefined)),
    "a message count that is NaN": {
      session: { _tag: "Opaque", bytes: new Uint8Array(3), messageCount: NaN },
      terminal: null
    },
    "a fractional message count": {
      session: { _tag: "Opaque", bytes: new Uint8Array(3), messageCount: 1.5 },
      terminal: null
    },
    "no output at all": untyped(undefined)
  }
  for (const [what, output] of Object.entries(outputs)) {
    test(`and the next turn runs, with ${what}`, (machine) =>
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

    test(`in an inline run, and tells the caller, with ${what}`, (machine) =>
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
    "with an invalid id": (operations) => operations.external({ ...named, id: untyped("mine") }),
    "with a token count that is NaN": (operations) =>
      Effect.flatMap(operations.external(named), (op) => operations.complete(op, { content: "x", tokensUsed: NaN })),
    "with a duration that is NaN": (operations) =>
      Effect.flatMap(operations.external(named), (op) => operations.complete(op, { content: "x", durationMs: NaN })),
    "with an undefined result": (operations) =>
      Effect.flatMap(operations.external(named), (op) => operations.complete(op, untyped(undefined))),
    "with an error that is an object": (operations) =>
      Effect.flatMap(operations.external(named), (op) => operations.fail(op, untyped({ code: 1 }))),
    "with an undefined error": (operations) =>
      Effect.flatMap(operations.external(named), (op) => operations.fail(op, untyped(undefined))),
    "with an undefined error of its provisioning": (operations) =>
      Effect.flatMap(operations.external(named), (op) => operations.provisioningFailed(op, untyped(undefined))),
    "with an undefined reason of its owner": (operations) =>
      Effect.zipRight(operations.external(named), operations.terminateOwner(untyped(undefined))),
    "with an empty object as its peer": (operations) =>
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

  test("an operation is stored with a duration of 0 when the clock was set back", (machine) =>
    Effect.gen(function*() {
      yield* machine.registerSession(id)
      yield* TestClock.setTime(1_000)
      const { operations } = machine.session(id)
      const op = yield* operations.external(named)
      yield* TestClock.setTime(0)
      yield* operations.complete(op, "done")
      const outcome = yield* operations.watch(op)
      assert.strictEqual(outcome._tag === "Completed" ? outcome.result.durationMs : outcome._tag, 0)
    }))

  for (const answer of [5, { content: "x", tokensUsed: 0.5 }, undefined]) {
    test(`an operation fails when its work answers ${JSON.stringify(answer)}`, (machine) =>
      Effect.gen(function*() {
        yield* machine.registerSession(id)
        const { operations } = machine.session(id)
        const op = yield* operations.run(Effect.succeed(untyped(answer)), named)
        const outcome = yield* operations.watch(op)
        assert.include(outcome._tag === "Failed" ? outcome.error : outcome._tag, "its answer cannot be stored")
      }))
  }
})

describe("other values that could not be read back are refused", () => {
  const odd = untyped({ ...ToolVisibility.initial, stagedRevision: 0.5 })
  const given: Record<
    string,
    (session: SessionHandle, machine: MeerkatMachineService) => Effect.Effect<unknown, unknown>
  > = {
    "a silent intent that is a number": (_, machine) => machine.setSessionSilentIntents(id, [untyped(42)]),
    "a silent intent that is a bigint": (_, machine) => machine.setSessionSilentIntents(id, [untyped(10n)]),
    "a filter with an unknown tag": ({ tools }) => tools.stageFilter(untyped({ _tag: "Some", names: [] }), {}),
    "a filter whose names are a number": ({ tools }) =>
      tools.stageFilter(ToolVisibility.deny(untyped(42)), untyped({ 42: builtin })),
    "an invalid witness of a filtered tool": (_, machine) =>
      machine.stagePersistentFilter(id, ToolVisibility.deny("a"), { a: untyped({ ...builtin, stableOwnerKey: 42 }) }),
    "a request for a tool whose witness has no source": ({ tools }) =>
      tools.requestDeferred([{ name: "a", witness: untyped({ lastSeenProvenance: { kind: "mcp" } }) }]),
    "undefined as the names of requested tools": ({ tools }) => tools.stageRequestedDeferredNames(untyped(undefined)),
    "a fractional revision in a published visibility": ({ tools }) => tools.publish(odd),
    "a fractional revision in an installed visibility": ({ tools }) => tools.replace(odd),
    "an invalid witness in a tool catalogue": ({ tools }) =>
      tools.replaceCatalogs({ deferred: { a: untyped({ stableOwnerKey: 42 }) }, filter: {} }),
    "an invalid run id of a turn": ({ bindings }) =>
      Effect.flatMap(bindings, ({ turn }) => turn.begin(untyped("mine"))),
    "a session id that is empty": (_, machine) => machine.registerSession(untyped("")),
    "a session id that is a number": (_, machine) => machine.registerSession(untyped(42)),
    "a session id that is a URL object": (_, machine) => machine.registerSession(untyped(new URL("http://127.0.0.1/")))
  }
  for (const [what, call] of Object.entries(given)) {
    test(what, (machine) =>
      Effect.gen(function*() {
        yield* machine.registerSession(id)
        const refused = yield* Effect.flip(call(machine.session(id), machine))
        assert.deepInclude(refused, { _tag: "ValidationFailed" })
        assert.strictEqual(yield* machine.runtimeState(id), "idle")
      }))
  }

  test("a destroyed session reports Destroyed before it checks the value", (machine) =>
    Effect.gen(function*() {
      yield* machine.registerSession(id)
      yield* machine.destroyRuntime(id)
      const refused = yield* Effect.flip(machine.setSessionSilentIntents(id, [untyped(42)]))
      assert.strictEqual(refused._tag, "Destroyed")
    }))

  test("a visibility from the model host is refused if it could not be read back", (machine) =>
    Effect.gen(function*() {
      const { host } = yield* LlmHost.make({
        initial: { identity: { model: "seeing", provider: "anthropic" }, visibility: Option.some(odd) }
      })
      yield* machine.setSessionLlmReconfigureHost(host)
      yield* machine.registerSession(id)
      yield* machine.session(id).bindings
      const refused = yield* Effect.flip(machine.session(id).llm.reconfigure({ model: "blind" }))
      assert.include(refused.message, "cannot be installed")
    }))
})

describe("fields that the schema does not declare are not stored", () => {
  const extra = { extra: 10n }

  it.live("in an input, an answer, a filter and a peer, before and after a restart", () =>
    Effect.gen(function*() {
      const filename = fileOfItsOwn()
      const op = yield* process_(filename, (machine) =>
        Effect.gen(function*() {
          const reply = Turn.reply("x", { usage: { ...extra, inputTokens: 1 } })
          yield* machine.ensureSessionWithExecutor(id, { apply: () => Effect.succeed({ ...reply, ...extra }) })
          const session = machine.session(id)
          assert.deepStrictEqual(
            yield* session.ask("hello", { metadata: { ...extra, model: "m" } }),
            { text: "x", usage: { inputTokens: 1 } }
          )
          const { completion } = yield* session.prompt("later", { metadata: { ...extra, model: "m" }, hold: true })
          const child = { displayName: "child", kind: "mob_member_child", expectPeerChannel: true } as const
          const started = yield* session.operations.external(child)
          yield* session.operations.peerReady(started, { ...peer, ...extra })
          yield* session.tools.stageFilter({ ...extra, ...ToolVisibility.deny("a") }, { a: { ...extra, ...builtin } })
          return { started, held: completion.inputId }
        }))
      yield* process_(filename, (machine) =>
        Effect.gen(function*() {
          yield* machine.registerSession(id)
          assert.deepStrictEqual(yield* machine.listActiveInputs(id), [op.held])
          const record = yield* machine.session(id).operations.get(op.started)
          assert.deepStrictEqual(Option.flatMapNullable(record, (known) => known.peer), Option.some(peer))
          assert.deepStrictEqual(
            (yield* machine.session(id).tools.state).stagedFilter,
            ToolVisibility.deny("a")
          )
        }))
    }))

  it.live("in a trace, when the tracer of the caller makes invalid spans", () =>
    Effect.gen(function*() {
      const filename = fileOfItsOwn()
      const odd = Tracer.make({
        context: (run) => run(),
        span: (name, parent, context, links, startTime, kind) =>
          Object.assign(
            untyped(
              Effect.runSync(
                Effect.map(Effect.tracer, (native) => native.span(name, parent, context, links, startTime, kind))
              )
            ),
            { traceId: undefined }
          )
      })
      yield* process_(filename, (machine) =>
        Effect.gen(function*() {
          yield* machine.registerSession(id)
          yield* Effect.withTracer(machine.session(id).prompt("hello"), odd)
        }))
      yield* process_(filename, (machine) =>
        Effect.gen(function*() {
          yield* machine.registerSession(id)
          assert.strictEqual((yield* machine.listActiveInputs(id)).length, 1)
        }))
    }))
})

describe("an executor error that does not match its schema counts as a defect", () => {
  const errors = {
    "an unknown cause": { _tag: "TerminalFailure", causeKind: "rate_limited", outcome: "failed", detail: "d" },
    "an unknown outcome": { _tag: "TerminalFailure", causeKind: "llm_failure", outcome: "odd", detail: "d" },
    "a detail that is a number": { _tag: "TerminalFailure", causeKind: "llm_failure", outcome: "failed", detail: 42 },
    "a detail that is a bigint": { _tag: "ApplyFailed", cause: "RuntimeTurn", detail: 10n },
    "a missing detail": { _tag: "ExecutorStopped" },
    "no error object": null
  }
  for (const [what, error] of Object.entries(errors)) {
    it.live(`and every caller receives the same outcome, with ${what}`, () =>
      process_(fileOfItsOwn(), (machine) =>
        Effect.gen(function*() {
          yield* machine.ensureSessionWithExecutor(id, { apply: () => Effect.fail(untyped(error)) })
          const session = machine.session(id)
          const { completion } = yield* session.prompt("hello", { idempotencyKey: "k" })
          const told = yield* completion.wait
          assert.strictEqual(told._tag, "AbandonedWithError")
          assert.deepStrictEqual(yield* session.outcome(completion.inputId), Option.some(told))
          const again = yield* session.prompt("hello", { idempotencyKey: "k" })
          assert.deepStrictEqual(yield* again.completion.wait, told)
        })))
  }
})

describe("undefined fields are absent and dates are texts, as in JSON,", () => {
  it.live("in an input and in an answer, before and after a restart", () =>
    Effect.gen(function*() {
      const data = { a: 1, c: "1970-01-01T00:00:00.000Z" }
      const answer: CompletionOutcome = { _tag: "Completed", result: { text: "x", data } }
      const filename = fileOfItsOwn()
      const inputId = yield* process_(filename, (machine) =>
        Effect.gen(function*() {
          yield* machine.ensureSessionWithExecutor(id, {
            apply: () =>
              Effect.succeed(
                Turn.reply("x", untyped({ data: { a: 1, b: undefined, c: new Date(0) }, usage: undefined }))
              )
          })
          const metadata = untyped({ model: undefined })
          const { completion } = yield* machine.session(id).prompt("hello", { metadata })
          assert.deepStrictEqual(yield* completion.wait, answer)
          return completion.inputId
        }))
      yield* process_(filename, (machine) =>
        Effect.gen(function*() {
          yield* machine.registerSession(id)
          assert.deepStrictEqual(
            yield* machine.outcome(id, inputId),
            Option.some(answer)
          )
          const history = yield* Stream.runCollect(machine.history(id))
          assert.deepStrictEqual(Array.from(history, ({ blocks }) => textOf(blocks)), ["hello", "x"])
        }))
    }))
})
