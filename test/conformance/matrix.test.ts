/**
 * The outcome matrix of the catalogue (conformance 0.1): every operation in every phase, also for unknown and
 * destroyed sessions. A cell says how the call ends. After an arrow, it gives the state of the session once
 * nothing is under way.
 */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Turns from "../../services/Turn.js"
import { LlmHost } from "../../src/testkit/index.js"
import { inputId, prompt } from "../support/inputs.js"
import type { Lab } from "./driver.js"
import { A, failing, rid, row, stateOf } from "./driver.js"

type Failure = { readonly _tag: string }

const phases = ["unknown", "idle", "attached", "running", "retired", "stopped", "destroyed"] as const
type Phase = typeof phases[number]

/** Brings the session into a phase. `release` lets a held run end. */
const enter = (lab: Lab, phase: Phase): Effect.Effect<{ readonly release: Effect.Effect<void> }, Failure> =>
  Effect.gen(function*() {
    const latched = yield* lab.executor({ held: phase === "running" })
    const { machine } = lab
    if (phase === "unknown") return { release: Effect.void }
    if (phase === "attached" || phase === "running") yield* machine.ensureSessionWithExecutor(A, latched.executor)
    else yield* machine.registerSession(A)
    if (phase === "running") {
      yield* machine.acceptInput(A, prompt(1))
      yield* latched.started(1)
    }
    if (phase === "retired") yield* machine.retireRuntime(A)
    if (phase === "stopped") yield* machine.stopRuntimeExecutor(A, "enough")
    if (phase === "destroyed") yield* machine.destroyRuntime(A)
    return { release: latched.open }
  })

/** Returns how a call ends and the state of the session afterwards. */
const outcome = (lab: Lab, call: Effect.Effect<unknown, Failure>, release: Effect.Effect<void>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(failing(call))
    yield* lab.settle
    yield* release
    const ended = yield* Fiber.join(fiber)
    yield* lab.settle
    return { ended: ended === "success" ? "ok" : ended, state: (yield* stateOf(lab, A)) ?? "unknown" }
  })

type Cells = { readonly [P in Phase]: string }

const operation = (name: string, call: (lab: Lab) => Effect.Effect<unknown, Failure>, cells: Cells): void => {
  for (const phase of phases) {
    row(`matrix: ${name} of a session that is ${phase}: ${cells[phase]}`, {
      given: (lab) => enter(lab, phase),
      when: (lab, { release }) => outcome(lab, call(lab), release),
      then: (_, { ended, state }) =>
        Effect.sync(() => {
          const [expected, after] = cells[phase].split(" -> ")
          assert.strictEqual(ended, expected)
          if (after !== undefined) assert.strictEqual(state, after)
        })
    }, { seeds: 1 })
  }
}

const unchanged = (cells: Partial<Cells>): Cells => ({
  unknown: "NotReady{destroyed} -> unknown",
  idle: "ok -> idle",
  attached: "ok -> attached",
  running: "ok -> attached",
  retired: "ok -> retired",
  stopped: "ok -> stopped",
  destroyed: "Destroyed -> destroyed",
  ...cells
})

/** The same cells for calls that are addressed by runtime id. */
const controlled = (cells: Partial<Cells>): Cells =>
  unchanged({ unknown: "NotFound -> unknown", destroyed: "InvalidState{destroyed} -> destroyed", ...cells })

operation("registerSession", ({ machine }) => machine.registerSession(A), unchanged({ unknown: "ok -> idle" }))

operation(
  "ensureSessionWithExecutor",
  (lab) => Effect.flatMap(lab.executor(), ({ executor }) => lab.machine.ensureSessionWithExecutor(A, executor)),
  // A retired session with pending inputs gets a drain-only loop (D5). This session has no pending inputs (ENS-11).
  unchanged({
    unknown: "ok -> attached",
    idle: "ok -> attached",
    retired: "NotReady{retired} -> retired",
    stopped: "NotReady{stopped} -> stopped"
  })
)

operation("unregisterSession", ({ machine }) => machine.unregisterSession(A), {
  unknown: "NotReady{destroyed} -> unknown",
  idle: "ok -> unknown",
  attached: "ok -> unknown",
  running: "ok -> unknown",
  retired: "ok -> unknown",
  stopped: "ok -> unknown",
  destroyed: "ok -> unknown"
})

// A call of prepareBindings writes the binding and leaves the phase alone (D26).
operation("prepareBindings", ({ machine }) => machine.prepareBindings(A), unchanged({ unknown: "ok -> idle" }))
operation(
  "prepareLocalSessionBindings",
  ({ machine }) => machine.prepareLocalSessionBindings(A),
  unchanged({ unknown: "ok -> idle" })
)

operation(
  "acceptInputAndRun",
  ({ machine }) => machine.acceptInputAndRun(A, prompt(2), () => Effect.succeed([1, Turns.consume] as const)),
  // The call is refused beside a loop (D23).
  unchanged({
    attached: "NotReady{attached} -> attached",
    running: "NotReady{running} -> attached",
    retired: "NotReady{retired} -> retired",
    stopped: "NotReady{stopped} -> stopped"
  })
)

operation("setSessionSilentIntents", ({ machine }) => machine.setSessionSilentIntents(A, ["note"]), unchanged({}))

const refusing: Partial<Cells> = { retired: "NotReady{retired} -> retired", stopped: "NotReady{stopped} -> stopped" }

operation("acceptInput", ({ machine }) => machine.acceptInput(A, prompt(2)), unchanged(refusing))
operation(
  "acceptInputWithCompletion",
  ({ machine }) => machine.acceptInputWithCompletion(A, prompt(2)),
  unchanged(refusing)
)
operation("acceptInputWithoutWake", ({ machine }) => machine.acceptInputWithoutWake(A, prompt(2)), unchanged(refusing))

operation(
  "ingest",
  ({ control }) => control.ingest(rid(A), prompt(2)),
  controlled({ retired: "InvalidState{retired} -> retired", stopped: "InvalidState{stopped} -> stopped" })
)

const needsRun: Partial<Cells> = {
  idle: "NotReady{idle} -> idle",
  attached: "NotReady{attached} -> attached",
  // A drain run can be cancelled (D17). This retired session has no drain run.
  ...refusing
}

operation("hardCancelCurrentRun", ({ machine }) => machine.hardCancelCurrentRun(A, "no"), unchanged(needsRun))
operation("cancelAfterBoundary", ({ machine }) => machine.cancelAfterBoundary(A, "yield"), unchanged(needsRun))

operation(
  "stopRuntimeExecutor",
  ({ machine }) => machine.stopRuntimeExecutor(A, "enough"),
  // Stopping a retired session ends its loop and abandons its queue; the session stays retired (D24).
  unchanged({
    idle: "ok -> stopped",
    attached: "ok -> stopped",
    running: "ok -> stopped",
    stopped: "ValidationFailed -> stopped"
  })
)

operation(
  "retire",
  ({ control }) => control.retire(rid(A)),
  controlled({
    idle: "ok -> retired",
    attached: "ok -> retired",
    running: "ok -> retired",
    stopped: "InvalidState{stopped} -> stopped"
  })
)

operation(
  "reset",
  ({ control }) => control.reset(rid(A)),
  // In place of "idle", the state is attached while a loop is live (D24).
  controlled({
    running: "InvalidState{running} -> attached",
    retired: "ok -> idle",
    stopped: "InvalidState{stopped} -> stopped"
  })
)

operation(
  "recycle",
  ({ control }) => control.recycle(rid(A)),
  controlled({
    running: "InvalidState{running} -> attached",
    retired: "ok -> idle",
    stopped: "InvalidState{stopped} -> stopped"
  })
)

operation(
  "recover",
  ({ control }) => control.recover(rid(A)),
  controlled({ running: "InvalidState{running} -> attached" })
)

operation(
  "destroy",
  ({ control }) => control.destroy(rid(A)),
  controlled({
    idle: "ok -> destroyed",
    attached: "ok -> destroyed",
    running: "ok -> destroyed",
    retired: "ok -> destroyed",
    stopped: "ok -> destroyed"
  })
)

/** Binds every session that can have a binding, since the row is about phases. */
const reconfigure = (lab: Lab) =>
  Effect.gen(function*() {
    const mock = yield* LlmHost.make()
    yield* lab.machine.setSessionLlmReconfigureHost(mock.host)
    const state = yield* stateOf(lab, A)
    if (state !== null && state !== "destroyed") yield* lab.machine.prepareBindings(A)
    return yield* lab.machine.reconfigureSessionLlmIdentity(A, { model: "blind", provider: "openai" })
  })

operation(
  "reconfigureSessionLlmIdentity",
  reconfigure,
  // The call is allowed in an idle session that has a binding (D26).
  unchanged(refusing)
)
operation(
  "resolvedSessionLlmCapabilities",
  ({ machine }) => machine.resolvedSessionLlmCapabilities(A),
  unchanged({ destroyed: "ok -> destroyed" })
)

operation("runtimeState", ({ machine }) => machine.runtimeState(A), unchanged({ destroyed: "ok -> destroyed" }))
operation(
  "inputState",
  ({ machine }) => machine.inputState(A, inputId(9)),
  unchanged({ destroyed: "ok -> destroyed" })
)
operation("listActiveInputs", ({ machine }) => machine.listActiveInputs(A), unchanged({ destroyed: "ok -> destroyed" }))
