/** VIS: the tools that a session may see: filters, requests and revisions. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { allow, deny, initial, witnessOf } from "../../src/domain/ToolVisibility.js"
import { inputId, prompt } from "../support/inputs.js"
import { attach, row, scripted, sid, untilPhase } from "../support/rows.js"

const shell = witnessOf({ kind: "shell", sourceId: "1" })
const mcp = witnessOf({ kind: "mcp", sourceId: "files" })
const stage = { filter: deny("shell"), witnesses: { shell } }

row(
  "VIS-01, VIS-02 a staged filter gets its own revision and is not active yet",
  (world) =>
    Effect.gen(function*() {
      yield* world.machine.registerSession(sid)
      const { tools } = world.machine.session(sid)
      const first = yield* world.machine.stagePersistentFilter(sid, stage.filter, stage.witnesses)
      const second = yield* tools.stageFilter(allow("shell"), { shell })
      assert.deepStrictEqual([first, second], [1, 2])
      const state = yield* tools.state
      assert.deepStrictEqual(
        [state.stagedFilter, state.stagedRevision, state.activeFilter, state.activeRevision],
        [allow("shell"), 2, initial.activeFilter, 0]
      )
      // The filter was durable when the call returned, and recovery restores it.
      yield* world.crash
      yield* world.machine.registerSession(sid)
      assert.deepStrictEqual(yield* world.machine.session(sid).tools.state, state)
      assert.strictEqual(yield* world.machine.stagePersistentFilter(sid, stage.filter, stage.witnesses), 3)
    })
)

// The error is ValidationFailed with the detail; the original says Internal (D1).
row(
  "VIS-03 a filter is refused without effect when its witness is missing or foreign",
  (world) =>
    Effect.gen(function*() {
      yield* world.machine.registerSession(sid)
      const { tools } = world.machine.session(sid)
      yield* tools.replaceCatalogs({ filter: { shell }, deferred: {} })
      const before = yield* tools.state
      const cases = [
        [{}, "MissingFilterWitnesses"],
        [{ shell: {} }, "MissingFilterWitnesses"],
        [{ shell: mcp }, "InvalidFilterWitnesses"]
      ] as const
      for (const [witnesses, kind] of cases) {
        const answer = yield* Effect.either(world.machine.stagePersistentFilter(sid, deny("shell"), witnesses))
        const error = Either.getOrThrow(Either.flip(answer))
        assert.strictEqual(error._tag, "ValidationFailed")
        if (error._tag !== "ValidationFailed") continue
        assert.deepStrictEqual(error.detail, { _tag: "StageError", kind, names: ["shell"] })
        assert.include(error.message, "shell")
      }
      assert.deepStrictEqual(yield* tools.state, before)
      assert.strictEqual(world.tap.commits.length, 0)
    })
)

row("VIS-06 deferred tools are requested with their witnesses", (world) =>
  Effect.gen(function*() {
    yield* world.machine.registerSession(sid)
    const { tools } = world.machine.session(sid)
    yield* tools.replaceCatalogs({ filter: {}, deferred: { a: mcp, b: mcp } })
    yield* world.machine.requestDeferredTools(sid, [{ name: "b", witness: mcp }, { name: "a", witness: mcp }])
    const state = yield* tools.state
    assert.deepStrictEqual(state.stagedRequestedDeferredNames, ["a", "b"])
    assert.deepStrictEqual(state.requestedWitnesses, { a: mcp, b: mcp })
    yield* tools.stageRequestedDeferredNames([])
    assert.deepStrictEqual((yield* tools.state).stagedRequestedDeferredNames, [])
  }))

row(
  "VIS-08 the boundary commit of a run activates what was staged during the run",
  (world) =>
    Effect.gen(function*() {
      const executor = scripted({ park: true })
      yield* attach(world, executor)
      const { tools } = world.machine.session(sid)
      yield* world.machine.acceptInput(sid, prompt(1))
      yield* executor.started(1)
      for (let n = 1; n <= 3; n++) yield* tools.stageFilter(stage.filter, stage.witnesses)
      assert.strictEqual((yield* tools.state).activeRevision, 0)
      yield* executor.openAll
      yield* untilPhase(world, inputId(1), "consumed")
      const state = yield* tools.state
      assert.deepStrictEqual(
        [state.activeFilter, state.activeRevision, state.stagedRevision],
        [stage.filter, 3, 3]
      )
      const boundary = world.tap.commits.filter(({ receipt }) => receipt !== undefined)[0]
      assert.strictEqual(boundary?.slices.length, 1)
    })
)

row(
  "VIS-09, VIS-10, VIS-11, VIS-12 publish refuses inconsistent states and accepts a state ahead",
  (world) =>
    Effect.gen(function*() {
      yield* world.machine.registerSession(sid)
      const { tools } = world.machine.session(sid)
      const witnesses = { filterWitnesses: { shell }, requestedWitnesses: { a: mcp } }
      yield* tools.replaceCatalogs({ filter: {}, deferred: { a: mcp } })
      const refused = [
        { ...initial, stagedRevision: 1 },
        { ...initial, ...witnesses, activeFilter: deny("shell") },
        { ...initial, ...witnesses, activeRevision: 1, activeRequestedDeferredNames: ["a"] }
      ]
      for (const state of refused) {
        const answer = yield* Effect.either(world.machine.publishCommittedVisibleSet(sid, state))
        assert.strictEqual(Either.getOrThrow(Either.flip(answer))._tag, "ValidationFailed")
      }
      assert.deepStrictEqual(yield* tools.state, initial)
      const ahead = { ...initial, ...witnesses, activeRevision: 5, activeFilter: deny("shell") }
      assert.deepStrictEqual(yield* world.machine.publishCommittedVisibleSet(sid, ahead), ahead)
      assert.deepStrictEqual(yield* tools.state, ahead)
      assert.isAbove(yield* tools.stageFilter(stage.filter, stage.witnesses), 5)
    })
)

row("filters can be staged in every phase of a registered session except destroyed", (world) =>
  Effect.gen(function*() {
    const stageNow = Effect.either(world.machine.stagePersistentFilter(sid, stage.filter, stage.witnesses))
    assert.strictEqual(Either.getOrThrow(Either.flip(yield* stageNow))._tag, "NotReady")
    yield* attach(world, scripted())
    assert.isTrue(Either.isRight(yield* stageNow))
    yield* world.machine.retireRuntime(sid)
    assert.isTrue(Either.isRight(yield* stageNow))
    yield* world.machine.destroyRuntime(sid)
    assert.strictEqual(Either.getOrThrow(Either.flip(yield* stageNow))._tag, "Destroyed")
  }))
