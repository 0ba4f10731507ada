/** Steps that rows of several tables share. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type { CompletionOutcome } from "../../src/domain/Completion.js"
import type { Input, InputHeader } from "../../src/domain/Input.js"
import { StoreIo } from "../../src/domain/StoreErrors.js"
import type { LatchedExecutor } from "../../src/testkit/index.js"
import { prompt } from "../support/inputs.js"
import type { Lab } from "./driver.js"
import { A } from "./driver.js"

export const ioError = new StoreIo({ operation: "commit", code: "EIO", detail: "the medium failed" })

export const ensure = (lab: Lab, { executor }: LatchedExecutor.LatchedExecutor) =>
  lab.machine.ensureSessionWithExecutor(A, executor)

/** Accepts an input, and forks a fiber that waits for its outcome. */
export const waiting = (lab: Lab, input: Input) =>
  Effect.gen(function*() {
    const { completion } = yield* lab.machine.acceptInputWithCompletion(A, input)
    const { wait } = Option.getOrThrow(completion)
    return yield* Effect.forkScoped(wait)
  })

/** Registers a session without a loop, with a waiter for each of these inputs. */
export const idleWith = (...inputs: ReadonlyArray<Input>) => (lab: Lab) =>
  Effect.zipRight(lab.machine.registerSession(A), Effect.forEach(inputs, (input) => waiting(lab, input)))

/** A session whose first run waits for its latch. The other inputs are queued behind it. */
export const runningWith =
  (inputs: ReadonlyArray<Input> = [prompt(1)], options: LatchedExecutor.LatchedOptions = {}) => (lab: Lab) =>
    Effect.gen(function*() {
      const executor = yield* lab.executor({ held: true, ...options })
      yield* ensure(lab, executor)
      const waiters = yield* Effect.forEach(inputs, (input) => waiting(lab, input))
      yield* executor.started(1)
      return { executor, waiters }
    })

/** The outcomes of all waiters, in the order of the waiters. */
export const everybody = (waiters: ReadonlyArray<Fiber.Fiber<CompletionOutcome>>) =>
  Effect.map(Fiber.join(Fiber.all(waiters)), (outcomes) => Array.from(outcomes))

export const pendingOf = (waiters: ReadonlyArray<Fiber.RuntimeFiber<CompletionOutcome>>): number =>
  waiters.filter((waiter) => waiter.unsafePoll() === null).length

export const terminated = (reason: string): CompletionOutcome => ({ _tag: "RuntimeTerminated", reason })

export const terminalOf = (lab: Lab, inputId: InputHeader["id"]) =>
  Effect.map(
    lab.machine.inputState(A, inputId),
    Option.match({ onNone: () => undefined, onSome: ({ terminal }) => terminal })
  )
