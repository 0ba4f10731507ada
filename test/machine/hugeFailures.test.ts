// @effect-diagnostics nodeBuiltinImport:off
/** Failures of 20 MiB on a file. The stored outcome is bounded, and the inputs behind it run, also after a restart. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import { Buffer } from "node:buffer"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as CoreExecutorCommand from "../../layers/CoreExecutorCommand.js"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import * as RuntimeStoreSqlite from "../../layers/RuntimeStoreSqlite.js"
import type { CoreExecutor, Turn as RunTurn } from "../../services/CoreExecutor.js"
import { make } from "../../services/CoreExecutor.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import * as MeerkatMachineConfig from "../../services/MeerkatMachineConfig.js"
import * as Turn from "../../services/Turn.js"
import type { CompletionOutcome } from "../../src/domain/Completion.js"
import {
  ApplyFailed,
  ControlFailed,
  type ExecutorError,
  ExecutorFault,
  ExecutorStopped,
  TerminalFailure
} from "../../src/domain/Errors.js"
import { type InputId, OperationId, SessionId } from "../../src/domain/Ids.js"

const id = SessionId.make("huge")
const mebi = 1024 * 1024
/** A text of 20 MiB whose first and last words survive when the middle is left out. */
const huge = `BEGIN${"😀".repeat(5 * mebi)}END`
/** The limit of such texts, plus the length of the sentence around them. */
const most = 17 * 1024

/** Returns the size of a stored outcome in bytes. */
const sizeOf = (outcome: unknown): number => Buffer.byteLength(JSON.stringify(outcome))

interface Small {
  readonly maxCommitBytes?: number
  readonly maxAttempts?: number
}

/** Runs the body in one process on the file. */
const inProcess = <A, E>(
  filename: string,
  { maxAttempts = 1, maxCommitBytes }: Small,
  body: Effect.Effect<A, E, MeerkatMachine>
) => {
  const limits = maxCommitBytes === undefined ? {} : { maxCommitBytes }
  return body.pipe(
    Effect.provide(
      Layer.fresh(MeerkatMachineLive.layer.pipe(
        Layer.provide(RuntimeStoreSqlite.layer({ filename, ...limits })),
        Layer.provide(MeerkatMachineConfig.layer({ maxAttempts, ...limits }))
      ))
    ),
    Effect.provide(Logger.remove(Logger.defaultLogger))
  )
}

const inFile = <A, E>(body: (filename: string) => Effect.Effect<A, E>) =>
  Effect.acquireUseRelease(
    Effect.sync(() => fs.mkdtempSync(join(tmpdir(), "meerkat-huge-"))),
    (folder) => body(join(folder, "s.db")),
    (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true, force: true }))
  )

/** An executor that fails for the first input and answers the others. */
const failingFirst = (fail: (turn: RunTurn) => Effect.Effect<never, ExecutorError>) =>
  make((turn) =>
    turn.inputs.some((input) => input._tag === "Prompt" && input.text === "first")
      ? fail(turn)
      : Effect.succeed(Turn.reply("answered"))
  )

const reasonOf = (outcome: CompletionOutcome | undefined): string =>
  outcome !== undefined && "reason" in outcome ? outcome.reason : outcome?._tag ?? "nothing"

/** Sends two inputs, then restarts. Returns what the callers were told and what is stored. */
const scenario = (executor: Effect.Effect<CoreExecutor>, small: Small = {}) =>
  inFile((filename) =>
    Effect.gen(function*() {
      const sent = yield* inProcess(
        filename,
        small,
        Effect.gen(function*() {
          const machine = yield* MeerkatMachine
          yield* machine.ensureSessionWithExecutor(id, yield* executor)
          const first = yield* machine.session(id).prompt("first")
          const second = yield* machine.session(id).prompt("second")
          const told = yield* Effect.all([first.completion.wait, second.completion.wait])
          return { ids: [first.completion.inputId, second.completion.inputId] as const, told }
        })
      )
      const read = (inputId: InputId) => Effect.flatMap(MeerkatMachine, (machine) => machine.outcome(id, inputId))
      const stored = yield* inProcess(
        filename,
        small,
        Effect.gen(function*() {
          const machine = yield* MeerkatMachine
          yield* machine.ensureSessionWithExecutor(id, yield* executor)
          const third = yield* machine.session(id).ask("third", {})
          return [yield* read(sent.ids[0]), yield* read(sent.ids[1]), third.text] as const
        })
      )
      return { told: sent.told, stored }
    })
  )

const bounded = (
  { stored, told }: Effect.Effect.Success<ReturnType<typeof scenario>>,
  words: ReadonlyArray<string>
) => {
  const [first, second, third] = stored
  assert.deepStrictEqual(Option.getOrUndefined(first), told[0])
  for (const word of words) assert.include(reasonOf(told[0]), word)
  assert.isBelow(sizeOf(told[0]), 2 * most + 1024)
  assert.isBelow(Buffer.byteLength(reasonOf(told[0])), most)
  assert.strictEqual(Option.getOrUndefined(second)?._tag, "Completed")
  assert.strictEqual(third, "answered")
}

const errors: Record<string, () => ExecutorError> = {
  ApplyFailed: () => new ApplyFailed({ cause: "RuntimeTurn", detail: huge }),
  TerminalFailure: () => new TerminalFailure({ outcome: "failed", causeKind: "llm_failure", detail: huge }),
  ControlFailed: () => new ControlFailed({ detail: huge }),
  ExecutorStopped: () => new ExecutorStopped({ detail: huge }),
  ExecutorFault: () => new ExecutorFault({ detail: huge })
}

describe("a session whose executor fails with 20 MiB", () => {
  for (const [tag, error] of Object.entries(errors)) {
    it.live(
      `stores a bounded outcome and runs the inputs behind it when the error is ${tag}`,
      () =>
        Effect.gen(function*() {
          bounded(yield* scenario(failingFirst(() => Effect.fail(error()))), [
            "apply failed: BEGIN",
            "END",
            "bytes left out"
          ])
        }),
      60_000
    )
  }

  it.live(
    "stores a bounded outcome when it dies of an error with a message of that size",
    () =>
      Effect.gen(function*() {
        bounded(yield* scenario(failingFirst(() => Effect.die(new Error(huge)))), ["the executor died", "BEGIN"])
      }),
    60_000
  )

  it.live("stores a bounded outcome when it dies of a value of that size", () =>
    Effect.gen(function*() {
      bounded(yield* scenario(failingFirst(() => Effect.die({ huge }))), ["the executor died"])
    }), 60_000)

  it.live("stores a bounded outcome when retries use up the attempts", () =>
    Effect.gen(function*() {
      bounded(
        yield* scenario(failingFirst(() => Effect.fail(new ApplyFailed({ cause: "RuntimeTurn", detail: huge }))), {
          maxAttempts: 2
        }),
        ["END"]
      )
    }), 60_000)

  it.live("stores a bounded outcome when the commit limit is very small", () =>
    Effect.gen(function*() {
      bounded(
        yield* scenario(failingFirst(() => Effect.fail(new ApplyFailed({ cause: "RuntimeTurn", detail: huge }))), {
          maxCommitBytes: 2048
        }),
        ["END"]
      )
    }), 60_000)

  it.live("stores the end of standard error when a program writes 20 MiB of it", () =>
    Effect.gen(function*() {
      const shell =
        `read line; case "$line" in first) head -c 20971520 /dev/zero | tr '\\0' x >&2; echo THE END >&2; exit 3;; *) printf answered;; esac`
      bounded(yield* scenario(Effect.succeed(CoreExecutorCommand.make({ command: { shell } }))), ["code 3", "THE END"])
    }), 60_000)
})

/** The ends of these inputs together exceed a MiB of rows. */
describe("many inputs that fail at once with 20 MiB", () => {
  it.live("all end when they share a turn and the commit limit is small", () =>
    inFile((filename) =>
      inProcess(
        filename,
        { maxCommitBytes: 4096 },
        Effect.gen(function*() {
          const machine = yield* MeerkatMachine
          yield* machine.registerSession(id)
          const prompts = yield* Effect.forEach(
            Array.from({ length: 300 }, (_, n) => `steer ${n}`),
            (text) => machine.session(id).steer(text)
          )
          const executor = yield* make(() => Effect.fail(new ApplyFailed({ cause: "HookDenied", detail: huge })))
          yield* machine.ensureSessionWithExecutor(id, executor)
          const told = yield* Effect.forEach(prompts, ({ completion }) => completion.wait)
          assert.deepStrictEqual(new Set(told.map(({ _tag }) => _tag)), new Set(["Abandoned"]))
          assert.isBelow(Math.max(...told.map((outcome) => sizeOf(outcome))), most)
        })
      )
    ), 60_000)

  it.live("all end when their session stops and the commit limit is small", () =>
    inFile((filename) =>
      inProcess(
        filename,
        { maxCommitBytes: 256 },
        Effect.gen(function*() {
          const machine = yield* MeerkatMachine
          yield* machine.registerSession(id)
          const key = "k".repeat(15_000)
          yield* Effect.forEach(
            Array.from({ length: 100 }, (_, n) => `${key}${n}`),
            (idempotencyKey) => machine.session(id).prompt("hello", { idempotencyKey }),
            { discard: true }
          )
          const { inputsAbandoned } = yield* machine.session(id).stop(huge)
          assert.strictEqual(inputsAbandoned, 100)
        })
      )
    ), 60_000)
})

describe("an operation that fails with 20 MiB", () => {
  const operation = OperationId.make("00000000-0000-4000-8000-000000000001")
  const ends = {
    "its work fails": (machine: MeerkatMachine["Type"]) =>
      machine.session(id).operations.run(Effect.fail(new Error(huge)), { id: operation, displayName: "work" }),
    "its work dies": (machine: MeerkatMachine["Type"]) =>
      machine.session(id).operations.run(Effect.die(huge), { id: operation, displayName: "work" }),
    "its owner fails it": (machine: MeerkatMachine["Type"]) =>
      Effect.zipRight(
        machine.session(id).operations.external({ id: operation, displayName: "work" }),
        machine.session(id).operations.fail(operation, huge)
      ),
    "its owner cancels it": (machine: MeerkatMachine["Type"]) =>
      Effect.zipRight(
        machine.session(id).operations.external({ id: operation, displayName: "work" }),
        machine.session(id).operations.cancel(operation, huge)
      ),
    "its owner terminates everything": (machine: MeerkatMachine["Type"]) =>
      Effect.zipRight(
        machine.session(id).operations.external({ id: operation, displayName: "work" }),
        machine.session(id).operations.terminateOwner(huge)
      )
  }
  for (const [when, end] of Object.entries(ends)) {
    it.live(
      `stores a bounded outcome that survives a restart when ${when}`,
      () =>
        inFile((filename) =>
          Effect.gen(function*() {
            const watched = yield* inProcess(
              filename,
              {},
              Effect.gen(function*() {
                const machine = yield* MeerkatMachine
                yield* machine.registerSession(id)
                yield* end(machine)
                return yield* machine.session(id).operations.watch(operation)
              })
            )
            assert.isBelow(sizeOf(watched), most)
            const kept = yield* inProcess(
              filename,
              {},
              Effect.gen(function*() {
                const machine = yield* MeerkatMachine
                yield* machine.registerSession(id)
                return yield* machine.session(id).operations.get(operation)
              })
            )
            assert.deepStrictEqual(Option.getOrUndefined(kept)?.outcome, watched)
          })
        ),
      60_000
    )
  }
})
