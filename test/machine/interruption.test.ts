/**
 * Interrupts every public operation at every step of the world between its start and its end.
 *
 * After the interruption the invariants hold. The session equals the session before the call or after the complete call.
 * The repeated call ends like a first call or like a second call. Another process can open the store.
 *
 * The test reads the list of operations from the machine and its handles: it fails for a new operation without an entry.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { MeerkatMachineService, SessionHandle } from "../../services/MeerkatMachine.js"
import type { Lab } from "../conformance/driver.js"
import { A, failing, nothing, simulate, snapshotOf, stateOf, storedPhases } from "../conformance/driver.js"
import { isFull } from "../support/worlds.js"
import { calls } from "./interruptionCalls.js"
import type { Call, Stage } from "./interruptionCalls.js"
import { enter } from "./interruptionCalls.js"

/** Seeds per rate of preemption. `INTERRUPTION_SEEDS` tests every step; a full run tests some, a short run one. */
const thorough = process.env["INTERRUPTION_SEEDS"]
const seeds = Number(thorough ?? 1)

/** Returns the steps at which to interrupt a call: all of them, or some that differ from call to call. */
const cutsOf = (steps: number, salt: number): ReadonlyArray<number> =>
  Array.from({ length: steps }, (_, n) => n + 1).filter((step) =>
    thorough !== undefined || step === 1 || (isFull && (step + salt) % Math.ceil(steps / 3) === 0)
  )

interface Story {
  /** The result of each call that was not interrupted. */
  readonly ends: ReadonlyArray<string>
  /** The state of the session after all work has ended. */
  readonly left: string
  /** The number of steps that the first call took. */
  readonly steps: number
}

const kindOf = (exit: Exit.Exit<unknown, unknown>): string => {
  if (Exit.isSuccess(exit)) return "success"
  const failure = Cause.failureOption(exit.cause)
  if (Option.isNone(failure)) return Cause.pretty(exit.cause)
  const error = failure.value
  return typeof error === "object" && error !== null && "_tag" in error ? String(error._tag) : String(error)
}

const leftOf = (lab: Lab): Effect.Effect<string> =>
  Effect.gen(function*() {
    const { machine } = lab
    const parts = {
      state: yield* stateOf(lab, A),
      executor: yield* machine.sessionHasExecutor(A),
      phases: yield* storedPhases(lab, A),
      silent: (yield* machine.containsSession(A)) ? (yield* snapshotOf(lab, A)).silentIntents : [],
      // counts only: each call generates new ids
      waiters: (yield* machine.containsSession(A)) ? (yield* snapshotOf(lab, A)).waiters.map(({ count }) => count) : []
    }
    return JSON.stringify(parts)
  })

/** Runs the call once per entry of `cuts`: interrupts it at that step, or lets it end if the entry is null. */
const tell = (
  stage: Stage,
  { call, config, wakes }: Call,
  cuts: ReadonlyArray<number | null>,
  seed: number,
  preempt: number
) => {
  const ends: Array<string> = []
  let left = ""
  let steps = 0
  let target: Fiber.RuntimeFiber<unknown, unknown> | null = null
  let cut: number | null = null
  let passed = 0
  const check = () => {
    if (target === null || target.unsafePoll() !== null) return null
    if (++passed === cut) target.unsafeInterruptAsFork(FiberId.none)
    return null
  }
  const once = (lab: Lab, open: Effect.Effect<void>, at: number | null) =>
    Effect.gen(function*() {
      cut = at
      passed = 0
      target = yield* Effect.fork(call(lab, open))
      const exit = yield* Fiber.await(target)
      target = null
      steps ||= passed
      if (!Exit.isInterrupted(exit)) ends.push(kindOf(exit))
    })
  const result = simulate(
    {
      given: (lab) => Effect.tap(enter(lab, stage), lab.settle),
      when: (lab, { open }) => Effect.forEach(cuts, (at) => once(lab, open, at), { discard: true }),
      then: (lab, _, { open }) =>
        Effect.gen(function*() {
          yield* open
          yield* lab.advance("1 hour")
          if (wakes !== true) left = yield* leftOf(lab)
          yield* lab.close
          const next = yield* lab.boot
          assert.include(["success", "Destroyed"], yield* failing(next.machine.registerSession(A)))
        })
    },
    { seed, preempt, check, maxSteps: 100_000 },
    config === undefined ? {} : { config }
  )
  if (result.exit === null || Exit.isFailure(result.exit)) {
    const why = result.exit === null ? result.end : Cause.pretty(result.exit.cause)
    assert.fail(`seed ${seed}, preempt ${preempt}, cut at ${JSON.stringify(cuts)}: ${why}`)
  }
  const story: Story = { ends, left, steps }
  return story
}

const examine = (stage: Stage, call: Call, seed: number, preempt: number, salt: number) =>
  Effect.gen(function*() {
    const once = tell(stage, call, [null], seed, preempt)
    const none = tell(stage, call, [], seed, preempt)
    const legal = [[once.ends[0], once.left].join(" ")]
    for (const step of cutsOf(once.steps, salt)) {
      const { ends, left } = tell(stage, call, [step, null], seed, preempt)
      const found = [ends.at(-1), left].join(" ")
      if (!legal.includes(found) && legal.length === 1) {
        const twice = tell(stage, call, [null, null], seed, preempt)
        legal.push([twice.ends[1], twice.left].join(" "))
      }
      assert.include(legal, found, `seed ${seed}, preempt ${preempt}, interrupted at step ${step} of ${once.steps}`)
      if (call.wakes !== true && call.inParts !== true) {
        const alone = tell(stage, call, [step], seed, preempt)
        const at = `seed ${seed}, preempt ${preempt}, interrupted at step ${step} of ${once.steps} and not repeated`
        assert.include([none.left, once.left], alone.left, at)
      }
      // a world runs synchronously: yield to the event loop between two worlds
      yield* Effect.sleep(0)
    }
  })

/** Returns the names of the operations of an object; an operation of a part is named by its path. */
const operationsOf = (what: object, prefix = ""): ReadonlyArray<string> =>
  Object.entries(what).flatMap(([name, value]: readonly [string, unknown]) => {
    const isPart = typeof value === "object" && value !== null && !Effect.isEffect(value) &&
      !(Stream.StreamTypeId in value)
    return isPart ? operationsOf(value, `${prefix}${name}.`) : [`${prefix}${name}`]
  })

describe("interruption", () => {
  it("has an entry for every operation", () => {
    let machine: MeerkatMachineService | undefined
    let session: SessionHandle | undefined
    simulate({
      given: nothing,
      when: (lab) =>
        Effect.sync(() => {
          machine = lab.machine
          session = lab.machine.session(A)
        }),
      then: nothing
    }, { seed: 0 })
    const names = [...operationsOf(machine ?? {}), ...operationsOf(session ?? {}).map((name) => `session.${name}`)]
    assert.isAbove(names.length, 60)
    assert.deepStrictEqual(names.filter((name) => !(name in calls)), [], "without an entry")
    assert.deepStrictEqual(Object.keys(calls).filter((name) => !names.includes(name)), [], "without an operation")
  })

  for (const [name, call] of Object.entries(calls)) {
    // a short run tests one stage per call, chosen by the name of the call
    const few = call.from.slice(name.length % call.from.length).slice(0, 1)
    for (const stage of isFull ? call.from : few) {
      it.live(`${name} can be interrupted and repeated when the session is ${stage}`, () =>
        Effect.gen(function*() {
          for (let seed = 0; seed < seeds; seed++) {
            for (const preempt of thorough === undefined ? [0.1] : [0, 0.1]) {
              yield* examine(stage, call, seed, preempt, name.length + stage.length)
            }
          }
        }), 600_000)
    }
  }
})
