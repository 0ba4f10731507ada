// @effect-diagnostics nodeBuiltinImport:off
/** Half of a surrogate pair in a call of the machine: names are refused, texts are repaired. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as CommsRuntimeMailbox from "../../layers/CommsRuntimeMailbox.js"
import * as Rendering from "../../layers/internal/rendering.js"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import * as RuntimeStoreSqlite from "../../layers/RuntimeStoreSqlite.js"
import type { CommsReceipt } from "../../services/CommsRuntime.js"
import type { CoreExecutor, TurnOutput } from "../../services/CoreExecutor.js"
import type { MeerkatMachineService, SessionHandle } from "../../services/MeerkatMachine.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import type { SessionOperations } from "../../services/SessionOperations.js"
import * as Turn from "../../services/Turn.js"
import { describe as describeOutcome } from "../../src/domain/Completion.js"
import { ApplyFailed } from "../../src/domain/Errors.js"
import { SessionId } from "../../src/domain/Ids.js"
import * as Message from "../../src/domain/Message.js"
import * as ToolVisibility from "../../src/domain/ToolVisibility.js"
import * as Inputs from "../support/inputs.js"

const id = SessionId.make("s")
const half = "k\ud83d"
const whole = "k\ufffd"

const test = (name: string, body: (machine: MeerkatMachineService) => Effect.Effect<void, unknown>) =>
  it.effect(name, () => Effect.flatMap(MeerkatMachine, body).pipe(Effect.provide(MeerkatMachineLive.layerEphemeral)))

const isHalf = (text: string) => /\p{Surrogate}/u.test(text)

/** Asserts that no string and no key of a value contains half of a pair. */
const isClean = (value: unknown): boolean =>
  !/\\ud[89a-f]/.test(JSON.stringify(value)) && !isHalf(JSON.stringify(value))

describe("a name with half of a character", () => {
  const asked: Record<string, (session: SessionHandle) => Effect.Effect<unknown, unknown>> = {
    idempotencyKey: (session) => session.prompt("x", { idempotencyKey: half }),
    supersessionKey: (session) => session.prompt("x", { supersessionKey: half }),
    correlationId: (session) => session.ask("x", { correlationId: half }),
    mediaType: (session) =>
      session.prompt("x", { blocks: [{ type: "image", mediaType: half, data: { type: "inline", base64: "AAAA" } }] }),
    blobId: (session) =>
      session.prompt("x", {
        blocks: [{ type: "image", mediaType: "image/png", data: { type: "blob", blobId: half } }]
      }),
    model: (session) => session.prompt("x", { metadata: { model: half } }),
    skillReferences: (session) => session.prompt("x", { metadata: { skillReferences: ["a", half] } })
  }
  for (const [field, ask] of Object.entries(asked)) {
    test(`prompt fails with ValidationFailed when ${field} has one, and says what to do`, (machine) =>
      Effect.gen(function*() {
        yield* machine.registerSession(id)
        const refused = yield* Effect.flip(ask(machine.session(id)))
        assert.deepInclude(refused, { _tag: "ValidationFailed" })
        const message = refused instanceof Error ? refused.message : ""
        assert.include(message, field)
        assert.include(message, "half of a surrogate pair; send whole characters")
        assert.isFalse(isHalf(message))
        assert.deepStrictEqual(yield* machine.listActiveInputs(id), [])
      }))
  }

  const inputs = {
    peerId: Inputs.peer(1, { type: "message" }, undefined, { source: { type: "peer", peerId: half } }),
    requestId: Inputs.peer(1, { type: "request", requestId: half, intent: "a" }),
    intent: Inputs.peer(1, { type: "request", requestId: Inputs.requestId, intent: half }),
    flowId: Inputs.flowStep(1, undefined, { source: { type: "flow", flowId: half, stepIndex: 0 } }),
    sourceName: Inputs.event(1, "queue", undefined, { source: { type: "external", sourceName: half } })
  }
  for (const [field, input] of Object.entries(inputs)) {
    test(`acceptInput fails with ValidationFailed when ${field} has one`, (machine) =>
      Effect.gen(function*() {
        yield* machine.registerSession(id)
        const refused = yield* Effect.flip(machine.acceptInput(id, input))
        assert.strictEqual(refused._tag, "ValidationFailed")
        assert.include(refused.message, field)
      }))
  }

  test("registerSession fails with ValidationFailed when the session's id has one", (machine) =>
    Effect.gen(function*() {
      const refused = yield* Effect.flip(machine.sessionScoped(half, { apply: () => Effect.succeed(Turn.consume) }))
      assert.deepInclude(refused, { _tag: "ValidationFailed" })
      assert.isBelow(refused.message.length, 250)
    }).pipe(Effect.scoped))

  const operations: Record<string, (operations: SessionOperations) => Effect.Effect<unknown, unknown>> = {
    displayName: (_) => _.external({ displayName: half }),
    sourceLabel: (_) => _.external({ displayName: "x", sourceLabel: half })
  }
  for (const [field, begin] of Object.entries(operations)) {
    test(`an operation is refused when its ${field} has one`, (machine) =>
      Effect.gen(function*() {
        yield* machine.registerSession(id)
        assert.deepInclude(yield* Effect.flip(begin(machine.session(id).operations)), { _tag: "OpInvalid" })
      }))
  }

  const builtin = ToolVisibility.witnessOf({ kind: "builtin", sourceId: "a" })
  const tools: Record<string, (session: SessionHandle) => Effect.Effect<unknown, unknown>> = {
    "a filter": ({ tools }) => tools.stageFilter(ToolVisibility.allow(half), {}),
    "a witness": ({ tools }) => tools.stageFilter(ToolVisibility.all, { [half]: builtin }),
    "a deferred tool": ({ tools }) => tools.requestDeferred([{ name: half, witness: builtin }]),
    "a catalogue": ({ tools }) => tools.replaceCatalogs({ deferred: {}, filter: { [half]: builtin } })
  }
  for (const [what, give] of Object.entries(tools)) {
    test(`${what} of tools is refused when it has one`, (machine) =>
      Effect.gen(function*() {
        yield* machine.registerSession(id)
        const refused = yield* Effect.flip(give(machine.session(id)))
        assert.deepInclude(refused, { _tag: "ValidationFailed" })
      }))
  }

  test("setSessionSilentIntents fails with ValidationFailed when an intent has one", (machine) =>
    Effect.gen(function*() {
      yield* machine.registerSession(id)
      const refused = yield* Effect.flip(machine.setSessionSilentIntents(id, [half]))
      assert.strictEqual(refused._tag, "ValidationFailed")
    }))

  test("an inbox is told that its input was refused, and the next one is admitted", (machine) =>
    Effect.gen(function*() {
      const receipts: Array<CommsReceipt["_tag"]> = []
      const mailbox = yield* CommsRuntimeMailbox.make({
        onReceipt: (_, receipt) => Effect.sync(() => void receipts.push(receipt._tag))
      })
      yield* machine.registerSession(id)
      yield* machine.session(id).comms.attach(mailbox)
      yield* mailbox.send(Inputs.prompt(1, undefined, { idempotencyKey: half }))
      yield* mailbox.send(Inputs.prompt(2, undefined, { idempotencyKey: "k" }))
      yield* Effect.yieldNow().pipe(Effect.repeat({ until: () => receipts.length === 2 }))
      assert.deepStrictEqual(receipts, ["Refused", "Admitted"])
    }))
})

const fileOfItsOwn = () => join(fs.mkdtempSync(join(tmpdir(), "meerkat-halves-")), "s.db")

/** Runs a separate machine on a file and closes it at the end. */
const machineOn = <A, E>(filename: string, body: (machine: MeerkatMachineService) => Effect.Effect<A, E>) =>
  Effect.flatMap(MeerkatMachine, body).pipe(
    Effect.provide(Layer.fresh(Layer.provide(MeerkatMachineLive.layer, RuntimeStoreSqlite.layer({ filename }))))
  )

describe("a text with half of a character", () => {
  const answers: Record<string, TurnOutput> = {
    "a text": Turn.reply(half),
    "data": Turn.reply("x", { data: { [half]: [half, { [half]: half }] } }),
    "messages": {
      session: {
        _tag: "Append",
        messages: [{ ...Message.ofText("assistant", half), metadata: { [half]: half } }]
      },
      terminal: null
    }
  }
  for (const [what, answer] of Object.entries(answers)) {
    it.live(`an answer is stored and told well formed when it has one in ${what}, live and after a restart`, () =>
      Effect.gen(function*() {
        const filename = fileOfItsOwn()
        const seen: Array<unknown> = []
        const executor: CoreExecutor = {
          apply: (turn) =>
            Effect.map(Stream.runCollect(turn.history), (history) => {
              seen.push(Array.from(history), turn.appends, turn.inputs)
              return answer
            })
        }
        for (const key of ["one", "two"]) {
          yield* machineOn(filename, (machine) =>
            Effect.gen(function*() {
              yield* machine.ensureSessionWithExecutor(id, executor)
              const { completion } = yield* machine.session(id).prompt(half, {
                idempotencyKey: key,
                blocks: [Message.text(half)],
                metadata: {
                  providerParams: { type: "set", value: { [half]: half } },
                  additionalInstructions: [{ kind: "user", body: half }]
                }
              })
              seen.push(yield* completion.wait)
            }))
        }
        assert.isTrue(isClean(seen), JSON.stringify(seen))
        assert.include(JSON.stringify(seen), whole)
      }))
  }

  test("the outcome is well formed when an executor fails with one", (machine) =>
    Effect.gen(function*() {
      const error = new ApplyFailed({ cause: "RuntimeTurn", detail: half, retryable: false })
      yield* machine.ensureSessionWithExecutor(id, { apply: () => Effect.fail(error) })
      const { completion } = yield* machine.session(id).prompt("x")
      const outcome = yield* completion.wait
      assert.include(describeOutcome(outcome), whole)
      assert.isTrue(isClean(outcome))
    }))

  it("the words of a cause are well formed when its error, its defect or its value has one", () => {
    for (const cause of [Cause.fail(new Error(half)), Cause.die(new Error(half)), Cause.die(half), Cause.fail(half)]) {
      for (const words of [Rendering.pretty(cause), Rendering.messagesOf(cause)]) {
        assert.include(words, whole)
        assert.isFalse(isHalf(words))
      }
    }
    assert.strictEqual(Rendering.textOf(half), whole)
  })

  test("the end of an operation is well formed when its work answers or fails with one", (machine) =>
    Effect.gen(function*() {
      yield* machine.registerSession(id)
      const { operations } = machine.session(id)
      const ids = [
        yield* operations.run(Effect.succeed(half), { displayName: "a" }),
        yield* operations.run(Effect.fail(new Error(half)), { displayName: "b" }),
        yield* operations.external({ displayName: "c" })
      ]
      const [, , external] = ids
      if (external !== undefined) yield* operations.fail(external, half)
      yield* operations.waitAll(ids)
      const list = yield* operations.list
      assert.isTrue(isClean(list))
      assert.strictEqual(JSON.stringify(list).split(whole).length, 4)
    }))
})
