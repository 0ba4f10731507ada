/** LLM: changing the model of a session through its host, with rollback when a step fails. */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import type { SessionLlmReconfigureHostService } from "../../services/SessionLlmReconfigureHost.js"
import type { RuntimeDriverError } from "../../src/domain/Errors.js"
import { Internal } from "../../src/domain/Errors.js"
import type { SessionId } from "../../src/domain/Ids.js"
import type { SessionLlmIdentity } from "../../src/domain/LlmIdentity.js"
import { noCapabilities } from "../../src/domain/LlmIdentity.js"
import { StoreIo } from "../../src/domain/StoreErrors.js"
import { all, deny, initial, witnessOf } from "../../src/domain/ToolVisibility.js"
import { LlmHost } from "../../src/testkit/index.js"
import { prompt } from "../support/inputs.js"
import type { Lab } from "./driver.js"
import { A, B, failing, row, snapshotOf, stateOf } from "./driver.js"

type Call = keyof SessionLlmReconfigureHostService

const seeing: SessionLlmIdentity = { model: "seeing", provider: "anthropic" }
const blind: SessionLlmIdentity = { model: "blind", provider: "openai" }
const toBlind = { model: "blind", provider: "openai" }

const inOrder: ReadonlyArray<Call> = [
  "hydrateSessionLlmState",
  "resolveTargetSessionLlmIdentity",
  "applyLiveSessionLlmIdentity",
  "applyLiveSessionToolVisibilityState",
  "persistLiveSession"
]

const refusal = (detail: string) => new Internal({ detail, retryable: false })

/** Binds a session to a model that sees, at a host that keeps the visibility of its tools. */
const bound = (lab: Lab, sessionId: SessionId = A) =>
  Effect.gen(function*() {
    const mock = yield* LlmHost.make({ initial: { identity: seeing, visibility: Option.some(initial) } })
    yield* lab.machine.setSessionLlmReconfigureHost(mock.host)
    yield* lab.machine.registerSession(sessionId)
    yield* lab.machine.prepareBindings(sessionId)
    return mock
  })

const change = (lab: Lab, sessionId = A, request = toBlind) =>
  lab.machine.reconfigureSessionLlmIdentity(sessionId, request)

const errorOf = <A>(effect: Effect.Effect<A, RuntimeDriverError>) =>
  Effect.map(Effect.either(effect), (either) => Either.getOrThrow(Either.flip(either)))

const toolsOf = (lab: Lab, sessionId = A) => lab.machine.session(sessionId).tools.state

/** Checks that a change took effect completely or not at all: in the session and at the host, live and stored. */
const whole = (lab: Lab, mock: LlmHost.LlmHost, expected: SessionLlmIdentity) =>
  Effect.gen(function*() {
    const tools = yield* toolsOf(lab)
    const live = mock.live(A)
    assert.deepStrictEqual(live.identity, expected)
    assert.deepStrictEqual(mock.stored(A).identity, expected)
    const filter = expected === blind ? deny("view_image") : all
    assert.deepStrictEqual(tools.capabilityBaseFilter, filter)
    assert.deepStrictEqual(Option.getOrThrow(live.visibility), tools)
    assert.deepStrictEqual(Option.getOrNull(yield* lab.machine.session(A).llm.identity), expected)
  })

const surfaceOf = (model: string) =>
  LlmHost.defaultRegistry.find((entry) => entry.model === model)?.capabilities ?? noCapabilities

row("LLM-01 a change is refused when the machine has no host", {
  given: (lab) => Effect.zipRight(lab.machine.registerSession(A), lab.machine.prepareBindings(A)),
  when: (lab) => errorOf(change(lab)),
  then: (_, error) =>
    Effect.sync(() => {
      assert.strictEqual(error._tag, "Internal")
      assert.include(error.message, "not configured")
    })
}, { seeds: 1 })

row("LLM-03 a change of an attached session calls the host in order, and its report lists the changes", {
  given: (lab) =>
    Effect.gen(function*() {
      const { executor } = yield* lab.executor()
      const mock = yield* bound(lab)
      yield* lab.machine.ensureSessionWithExecutor(A, executor)
      return mock
    }),
  when: (lab) => change(lab),
  then: (lab, report, mock) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(mock.names(), inOrder)
      assert.deepStrictEqual(report, {
        previousIdentity: seeing,
        newIdentity: blind,
        capabilityDelta: { previous: surfaceOf("seeing"), current: surfaceOf("blind"), changed: true },
        toolVisibilityDelta: {
          previousCapabilityBaseFilter: all,
          currentCapabilityBaseFilter: deny("view_image"),
          committedVisibleSetChanged: true,
          revisionBumped: true
        },
        rollbackOccurred: false
      })
      assert.strictEqual(yield* stateOf(lab, A), "attached")
      assert.strictEqual((yield* toolsOf(lab)).activeRevision, 1)
      assert.deepStrictEqual(
        Option.getOrThrow(yield* lab.machine.resolvedSessionLlmCapabilities(A)),
        surfaceOf("blind")
      )
      yield* whole(lab, mock, blind)
    })
})

row("LLM-04 a change of a running session leaves the run alone", {
  given: (lab) =>
    Effect.gen(function*() {
      const latched = yield* lab.executor({ held: true })
      const mock = yield* bound(lab)
      yield* lab.machine.ensureSessionWithExecutor(A, latched.executor)
      yield* lab.machine.acceptInput(A, prompt(1))
      const { runId } = yield* latched.started(1)
      return { mock, runId, latched }
    }),
  when: (lab) => change(lab),
  then: (lab, report, { latched, mock, runId }) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(mock.names(), inOrder)
      assert.deepStrictEqual(report.newIdentity, blind)
      const { currentRunId, state } = yield* snapshotOf(lab, A)
      assert.deepStrictEqual([state, currentRunId], ["running", runId])
      yield* whole(lab, mock, blind)
      yield* latched.open
      yield* lab.settle
      assert.strictEqual(latched.counts().apply, 1)
      assert.deepStrictEqual((yield* toolsOf(lab)).capabilityBaseFilter, deny("view_image"))
    })
})

for (const failed of ["applyLiveSessionToolVisibilityState", "persistLiveSession"] as const) {
  row(`LLM-07 identity and visibility are restored and the host's error is returned when ${failed} fails`, {
    given: (lab) =>
      Effect.gen(function*() {
        const mock = yield* bound(lab)
        yield* change(lab, A, { model: "seeing", provider: "anthropic" })
        let left = 1
        mock.script({ before: ({ name }) => name === failed && left-- > 0 ? refusal("no space") : Effect.void })
        return { mock, tools: yield* toolsOf(lab) }
      }),
    when: (lab, { mock }) =>
      Effect.map(errorOf(change(lab)), (error) => ({ error, calls: mock.names().slice(inOrder.length) })),
    then: (lab, { calls, error }, { mock, tools }) =>
      Effect.gen(function*() {
        assert.strictEqual(error.message, "no space")
        const told = inOrder.slice(0, inOrder.indexOf(failed) + 1)
        assert.deepStrictEqual(calls, [
          ...told,
          "applyLiveSessionLlmIdentity",
          "applyLiveSessionToolVisibilityState"
        ])
        assert.deepStrictEqual(yield* toolsOf(lab), tools)
        assert.deepStrictEqual(
          Option.getOrThrow(yield* lab.machine.resolvedSessionLlmCapabilities(A)),
          surfaceOf("seeing")
        )
        yield* whole(lab, mock, seeing)
      })
  })
}

row("LLM-08 the live session is discarded once and its model is unknown when the rollback fails too", {
  given: (lab) =>
    Effect.tap(bound(lab), (mock) =>
      Effect.sync(() => {
        mock.script({
          before: ({ n, name }) =>
            name === "persistLiveSession" ? refusal("no space") : n > 5 && name !== "discardLiveSession"
              ? refusal("gone away")
              : Effect.void
        })
      })),
  when: (lab) => errorOf(change(lab)),
  then: (lab, error, mock) =>
    Effect.gen(function*() {
      assert.strictEqual(error._tag, "Internal")
      assert.include(error.message, "no space")
      assert.include(error.message, "gone away")
      assert.strictEqual(mock.discarded(A), 1)
      assert.isTrue(Option.isNone(yield* lab.machine.resolvedSessionLlmCapabilities(A)))
      assert.isTrue(Option.isNone(yield* lab.machine.session(A).llm.identity))
      assert.deepStrictEqual((yield* toolsOf(lab)).capabilityBaseFilter, all)
    })
})

/** Holds the host in a call, before or after the work of that call. `reached` completes once the host is there. */
const holding = (lab: Lab, mock: LlmHost.LlmHost, name: Call, when: "before" | "after") =>
  Effect.gen(function*() {
    const latch = yield* lab.latch
    const reached = yield* Effect.makeLatch(false)
    let held = false
    mock.script({
      [when]: (call: LlmHost.HostCall) => {
        if (call.name !== name || held) return Effect.void
        held = true
        return Effect.zipRight(reached.open, latch.await)
      }
    })
    return { reached: reached.await, open: latch.open }
  })

for (const call of inOrder) {
  for (const when of ["before", "after"] as const) {
    row(`LLM-10 a change applies completely or not at all when its caller is interrupted ${when} the work of ${call}`, {
      given: (lab) =>
        Effect.gen(function*() {
          const mock = yield* bound(lab)
          return { mock, held: yield* holding(lab, mock, call, when) }
        }),
      when: (lab, { held }) =>
        Effect.gen(function*() {
          const caller = yield* Effect.fork(change(lab))
          yield* held.reached
          // The interruption does not wait for the host.
          yield* Fiber.interrupt(caller)
          yield* held.open
          yield* lab.settle
        }),
      then: (lab, _, { mock }) =>
        Effect.gen(function*() {
          assert.deepStrictEqual(mock.active(), [])
          const begun = mock.names().includes("applyLiveSessionLlmIdentity")
          assert.strictEqual(begun, inOrder.indexOf(call) >= 2)
          if (begun) yield* whole(lab, mock, blind)
          else assert.deepStrictEqual(mock.live(A).identity, seeing)
          // A repeated call succeeds.
          assert.deepStrictEqual((yield* change(lab)).newIdentity, blind)
          yield* whole(lab, mock, blind)
        })
    }, { seeds: 5 })
  }
}

row("a change is not applied at the host when the session is retired before that", {
  given: (lab) =>
    Effect.gen(function*() {
      const mock = yield* bound(lab)
      return { mock, held: yield* holding(lab, mock, "resolveTargetSessionLlmIdentity", "after") }
    }),
  when: (lab, { held }) =>
    Effect.gen(function*() {
      const caller = yield* Effect.fork(failing(change(lab)))
      yield* held.reached
      yield* lab.machine.retireRuntime(A)
      yield* held.open
      return yield* Fiber.join(caller)
    }),
  then: (_, told, { mock }) =>
    Effect.sync(() => {
      assert.strictEqual(told, "NotReady{retired}")
      assert.deepStrictEqual(mock.names(), inOrder.slice(0, 2))
    })
})

row("a change finishes at its host when that host is replaced meanwhile", {
  given: (lab) =>
    Effect.gen(function*() {
      const mock = yield* bound(lab)
      return { mock, other: yield* LlmHost.make(), held: yield* holding(lab, mock, "hydrateSessionLlmState", "after") }
    }),
  when: (lab, { held, other }) =>
    Effect.gen(function*() {
      const caller = yield* Effect.fork(change(lab))
      yield* held.reached
      yield* lab.machine.setSessionLlmReconfigureHost(other.host)
      yield* held.open
      return yield* Fiber.join(caller)
    }),
  then: (lab, _, { mock, other }) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(mock.names(), inOrder)
      assert.deepStrictEqual(other.names(), [])
      yield* whole(lab, mock, blind)
    })
})

// ---------------------------------------------------------------------------------------------------------------------
// beyond the catalogue
// ---------------------------------------------------------------------------------------------------------------------

row("D26 a change is refused when the session has no binding or is retired", {
  given: (lab) =>
    Effect.gen(function*() {
      const mock = yield* bound(lab, B)
      yield* lab.machine.registerSession(A)
      return mock
    }),
  when: (lab) =>
    Effect.gen(function*() {
      const unbound = yield* errorOf(change(lab))
      yield* lab.machine.retireRuntime(B)
      return { unbound, retired: yield* failing(change(lab, B)) }
    }),
  then: (_, { retired, unbound }, mock) =>
    Effect.sync(() => {
      assert.strictEqual(unbound._tag === "ValidationFailed" && unbound.detail._tag, "NoBinding")
      assert.strictEqual(retired, "NotReady{retired}")
      assert.deepStrictEqual(mock.names(), [])
    })
})

row("changes of one session run one after another, changes of two sessions run side by side", {
  given: (lab) =>
    Effect.gen(function*() {
      const mock = yield* bound(lab)
      yield* lab.machine.registerSession(B)
      yield* lab.machine.prepareBindings(B)
      return { mock, held: yield* holding(lab, mock, "hydrateSessionLlmState", "before") }
    }),
  when: (lab, { held, mock }) =>
    Effect.gen(function*() {
      const first = yield* Effect.fork(change(lab))
      yield* held.reached
      const second = yield* Effect.fork(change(lab, A, { model: "seeing", provider: "anthropic" }))
      const other = yield* change(lab, B)
      yield* lab.settle
      const meanwhile = mock.calls().filter(({ sessionId }) => sessionId === A).length
      yield* held.open
      return { meanwhile, other, reports: [yield* Fiber.join(first), yield* Fiber.join(second)] }
    }),
  then: (lab, { meanwhile, other, reports }, { mock }) =>
    Effect.gen(function*() {
      assert.strictEqual(meanwhile, 1)
      assert.deepStrictEqual(other.newIdentity, blind)
      // The second change saw the result of the first.
      assert.deepStrictEqual(reports.map(({ previousIdentity }) => previousIdentity), [seeing, blind])
      assert.deepStrictEqual(reports.map(({ newIdentity }) => newIdentity), [blind, seeing])
      yield* whole(lab, mock, seeing)
      assert.strictEqual((yield* toolsOf(lab)).activeRevision, 2)
    })
})

row("a queued change is withdrawn when its caller is interrupted", {
  given: (lab) =>
    Effect.gen(function*() {
      const mock = yield* bound(lab)
      return { mock, held: yield* holding(lab, mock, "persistLiveSession", "before") }
    }),
  when: (lab, { held }) =>
    Effect.gen(function*() {
      const first = yield* Effect.fork(change(lab))
      yield* held.reached
      const second = yield* Effect.fork(change(lab, A, { model: "seeing", provider: "anthropic" }))
      yield* lab.settle
      yield* Fiber.interrupt(second)
      yield* held.open
      yield* Fiber.join(first)
      yield* lab.settle
    }),
  then: (lab, _, { mock }) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(mock.names(), inOrder)
      yield* whole(lab, mock, blind)
    })
})

for (const end of ["unregisterSession", "destroyRuntime"] as const) {
  for (const call of inOrder) {
    row(`${end} during ${call} of the host undoes the change and leaves nothing behind`, {
      given: (lab) =>
        Effect.gen(function*() {
          const mock = yield* bound(lab)
          return { mock, held: yield* holding(lab, mock, call, "after") }
        }),
      when: (lab, { held }) =>
        Effect.gen(function*() {
          const caller = yield* Effect.fork(failing(change(lab)))
          yield* held.reached
          const report = yield* lab.machine[end](A)
          const told = yield* Fiber.join(caller)
          // The fiber that reports the end finishes a few steps after it.
          yield* lab.settle
          return { report, told, active: yield* lab.machine.fiberCount }
        }),
      then: (_, { active, report, told }, { mock }) =>
        Effect.sync(() => {
          assert.isTrue(report.joined)
          if ("forced" in report) assert.isFalse(report.forced)
          assert.strictEqual(told, end === "destroyRuntime" ? "Destroyed" : "NotReady{destroyed}")
          assert.deepStrictEqual(mock.active(), [])
          assert.deepStrictEqual(mock.live(A).identity, seeing)
          assert.deepStrictEqual(mock.stored(A).identity, seeing)
          assert.strictEqual(mock.discarded(A), 0)
          assert.strictEqual(active, 0)
        })
    }, { seeds: 5 })
  }
}

const faults = {
  fails: () => refusal("no"),
  dies: () => Effect.dieMessage("boom"),
  hangs: () => Effect.never
} as const

for (const [how, fault] of Object.entries(faults)) {
  for (const call of inOrder) {
    for (const when of ["before", "after"] as const) {
      // A call that fails has changed nothing by contract, so a failure after the work is not tested.
      if (how === "fails" && when === "after") continue
      row(`nothing is changed when the host ${how} ${when} the work of ${call}`, {
        given: (lab) =>
          Effect.tap(bound(lab), (mock) =>
            Effect.sync(() => {
              let left = 1
              mock.script({
                [when]: ({ name }: LlmHost.HostCall) => name === call && left-- > 0 ? fault() : Effect.void
              })
            })),
        when: (lab) =>
          Effect.gen(function*() {
            const caller = yield* Effect.fork(errorOf(change(lab)))
            yield* lab.settle
            yield* lab.advance("31 seconds")
            return yield* Fiber.join(caller)
          }),
        then: (lab, error, mock) =>
          Effect.gen(function*() {
            assert.strictEqual(error._tag, "Internal")
            assert.include(error.message, how === "fails" ? "no" : call)
            assert.deepStrictEqual(mock.active(), [])
            assert.deepStrictEqual(mock.live(A).identity, seeing)
            assert.deepStrictEqual(mock.stored(A).identity, seeing)
            assert.strictEqual(mock.discarded(A), 0)
            assert.deepStrictEqual((yield* toolsOf(lab)).capabilityBaseFilter, all)
            yield* change(lab)
            yield* whole(lab, mock, blind)
          })
      }, { seeds: 2 })
    }
  }
}

const refusedByMedium = new StoreIo({ operation: "commit", code: "EIO", detail: "the medium failed" })

row("the host is rolled back, live and stored, when the store refuses the visibility", {
  given: (lab) => bound(lab),
  when: (lab, mock) =>
    Effect.gen(function*() {
      mock.script({
        after: ({ name }) =>
          Effect.sync(() => {
            if (name === "persistLiveSession") lab.faults.failCommit(refusedByMedium)
          })
      })
      const error = yield* errorOf(change(lab))
      mock.script({})
      return error
    }),
  then: (lab, error, mock) =>
    Effect.gen(function*() {
      assert.strictEqual(error._tag, "Internal")
      assert.deepStrictEqual(mock.names().slice(5), inOrder.slice(2))
      yield* whole(lab, mock, seeing)
    })
})

row("the host is called again when the tools change during the change", {
  given: (lab) => bound(lab),
  when: (lab, mock) =>
    Effect.gen(function*() {
      const witness = witnessOf({ kind: "builtin", sourceId: "shell" })
      let left = 2
      mock.script({
        after: ({ name }) =>
          name === "persistLiveSession" && left-- > 0
            ? Effect.asVoid(lab.machine.stagePersistentFilter(A, deny("shell"), { shell: witness }))
            : Effect.void
      })
      return yield* change(lab)
    }),
  then: (lab, report, mock) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(mock.names().slice(2), [
        "applyLiveSessionLlmIdentity",
        "applyLiveSessionToolVisibilityState",
        "persistLiveSession",
        "applyLiveSessionToolVisibilityState",
        "persistLiveSession",
        "applyLiveSessionToolVisibilityState",
        "persistLiveSession"
      ])
      assert.isTrue(report.toolVisibilityDelta.revisionBumped)
      const tools = yield* toolsOf(lab)
      assert.deepStrictEqual([tools.stagedRevision, tools.activeRevision], [2, 3])
      yield* whole(lab, mock, blind)
    })
})

row("a host that changes the session it is already changing is refused with a deadlock error", {
  given: (lab) =>
    Effect.gen(function*() {
      const mock = yield* bound(lab)
      const answers: Array<string> = []
      mock.script({
        before: ({ name }) =>
          name === "applyLiveSessionLlmIdentity"
            ? Effect.map(failing(change(lab)), (answer) => void answers.push(answer))
            : Effect.void
      })
      return { mock, answers }
    }),
  when: (lab) => change(lab),
  then: (lab, _, { answers, mock }) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(answers, ["ValidationFailed"])
      yield* whole(lab, mock, blind)
    })
})

row("a host may unregister the session that it is changing", {
  given: (lab) =>
    Effect.tap(bound(lab), (mock) =>
      Effect.sync(() => {
        let left = 1
        mock.script({
          before: ({ name }) =>
            name === "persistLiveSession" && left-- > 0
              ? Effect.zipRight(Effect.asVoid(lab.machine.unregisterSession(A)), Effect.never)
              : Effect.void
        })
      })),
  when: (lab) => failing(change(lab)),
  then: (lab, told, mock) =>
    Effect.gen(function*() {
      assert.strictEqual(told, "NotReady{destroyed}")
      yield* lab.settle
      assert.isFalse(yield* lab.machine.containsSession(A))
      assert.deepStrictEqual(mock.live(A).identity, seeing)
    })
})

row("a host that ignores its interruption is abandoned, and its live session is discarded", {
  given: (lab) =>
    Effect.gen(function*() {
      const mock = yield* bound(lab)
      const latch = yield* lab.latch
      let left = 1
      mock.script({
        before: ({ name }) =>
          name === "applyLiveSessionToolVisibilityState" && left-- > 0
            ? Effect.uninterruptible(latch.await)
            : Effect.void
      })
      return mock
    }),
  when: (lab) =>
    Effect.gen(function*() {
      const caller = yield* Effect.fork(errorOf(change(lab)))
      yield* lab.settle
      yield* lab.advance("31 seconds")
      yield* lab.advance("31 seconds")
      return yield* Fiber.join(caller)
    }),
  then: (lab, error, mock) =>
    Effect.gen(function*() {
      assert.include(error.message, "ignores its interruption")
      assert.strictEqual(mock.discarded(A), 1)
      assert.isTrue(Option.isNone(yield* lab.machine.resolvedSessionLlmCapabilities(A)))
    })
}, { abandons: 1 })

row("a visibility of the host that the session cannot take is reported as an error of the host", {
  given: (lab) =>
    Effect.gen(function*() {
      const mock = yield* LlmHost.make({
        initial: {
          identity: seeing,
          visibility: Option.some({ ...initial, activeFilter: deny("shell"), activeRevision: 1 })
        }
      })
      yield* lab.machine.setSessionLlmReconfigureHost(mock.host)
      yield* lab.machine.registerSession(A)
      yield* lab.machine.prepareBindings(A)
      return mock
    }),
  when: (lab) => errorOf(change(lab)),
  then: (lab, error, mock) =>
    Effect.gen(function*() {
      assert.strictEqual(error._tag, "Internal")
      assert.include(error.message, "shell")
      assert.deepStrictEqual(yield* toolsOf(lab), initial)
      assert.deepStrictEqual(mock.names(), ["hydrateSessionLlmState"])
    })
})

row("a request that the host's rules refuse calls no later step of the host", {
  given: (lab) => bound(lab),
  when: (lab) => errorOf(change(lab, A, { model: "blind", provider: "unknown" })),
  then: (_, error, mock) =>
    Effect.sync(() => {
      assert.strictEqual(error._tag === "ValidationFailed" && error.detail._tag, "InvalidReconfigure")
      assert.deepStrictEqual(mock.names(), inOrder.slice(0, 2))
    })
})

row("a change of an unknown or destroyed session is refused", {
  given: (lab) => bound(lab),
  when: (lab) =>
    Effect.gen(function*() {
      const unknown = [yield* failing(change(lab, B)), yield* failing(lab.machine.resolvedSessionLlmCapabilities(B))]
      yield* lab.machine.destroyRuntime(A)
      return [...unknown, yield* failing(change(lab))]
    }),
  then: (_, told) =>
    Effect.sync(() => assert.deepStrictEqual(told, ["NotReady{destroyed}", "NotReady{destroyed}", "Destroyed"]))
}, { seeds: 1 })

it.effect("a host that is provided with the machine's layer is used", () =>
  Effect.gen(function*() {
    const mock = yield* LlmHost.make()
    const error = yield* Effect.flatMap(MeerkatMachine, (machine) =>
      Effect.zipRight(
        machine.registerSession(A),
        errorOf(machine.reconfigureSessionLlmIdentity(A, toBlind))
      )).pipe(Effect.provide(Layer.fresh(MeerkatMachineLive.layerEphemeral).pipe(Layer.provide(LlmHost.layer(mock)))))
    // The machine has found the host: the error is about the binding.
    assert.strictEqual(error._tag === "ValidationFailed" && error.detail._tag, "NoBinding")
  }))
