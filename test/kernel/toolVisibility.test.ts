/** Tool visibility as pure decisions: filters, requests, revisions, catalogues and the visible set. */
import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import type { Command } from "../../src/domain/Command.js"
import type { SessionToolVisibilityState } from "../../src/domain/ToolVisibility.js"
import { allow, deny, initial, noCatalogs, witnessOf } from "../../src/domain/ToolVisibility.js"
import { destroy } from "../../src/kernel/commands/lifecycle.js"
import { failRun } from "../../src/kernel/commands/run.js"
import * as Commands from "../../src/kernel/commands/tools.js"
import { violations } from "../../src/kernel/invariants.js"
import { derive, sameVisibility } from "../../src/kernel/llmVisibility.js"
import * as Visibility from "../../src/kernel/toolVisibility.js"
import { toolCatalogs, unknownTools, visibleTools } from "../../src/kernel/visibleTools.js"
import { prompt, runId } from "../support/inputs.js"
import {
  attaching,
  commitOf,
  committing,
  failure,
  fresh,
  imageWith,
  opened,
  plan,
  play,
  refused,
  staging,
  take
} from "../support/kernel.js"
import { decide, env } from "../support/operations.js"

const shell = witnessOf({ kind: "shell", sourceId: "1" })
const mcp = witnessOf({ kind: "mcp", sourceId: "files" })
const other = witnessOf({ kind: "mcp", sourceId: "other" })
const catalogs = { deferred: { a: mcp, b: mcp }, filter: { shell, a: mcp, b: mcp } }
const known = play(fresh, Commands.replaceCatalogs(catalogs))
const hideShell = Commands.stageFilter(deny("shell"), { shell })
const ask = (...names: ReadonlyArray<string>) =>
  Commands.requestDeferredTools(names.map((name) => ({ name, witness: mcp })))

/** The kind and names of a refusal, or its tag. */
const why = (state: typeof fresh, command: Parameters<typeof refused>[1]) => {
  const rejection = refused(state, command)
  if (rejection?._tag !== "Invalid") return rejection?._tag ?? null
  const { detail } = rejection
  return detail._tag === "StageError" ? [detail.kind, detail.names] : detail._tag
}

const state = (parts: Partial<SessionToolVisibilityState>): SessionToolVisibilityState => ({ ...initial, ...parts })

describe("tool visibility", () => {
  it("VIS-03: every refusal names its tools, sorted and once", () => {
    const stage = (witnesses: Parameters<typeof Commands.stageFilter>[1]) =>
      Commands.stageFilter(deny("shell", "b", "a", "b"), witnesses)
    assert.deepStrictEqual(why(known, stage({ shell })), ["MissingFilterWitnesses", ["a", "b"]])
    assert.deepStrictEqual(why(known, stage({ shell, a: {}, b: {} })), ["MissingFilterWitnesses", ["a", "b"]])
    assert.deepStrictEqual(why(known, stage({ shell, b: other, a: other })), ["InvalidFilterWitnesses", ["a", "b"]])
    assert.deepStrictEqual(why(known, Commands.stageFilter(deny("constructor"), {})), [
      "MissingFilterWitnesses",
      ["constructor"]
    ])
    assert.deepStrictEqual(
      why(known, Commands.requestDeferredTools([{ name: "a", witness: mcp }, { name: "a", witness: other }])),
      ["InvalidWitnesses", ["a"]]
    )
    assert.deepStrictEqual(why(known, Commands.requestDeferredTools([{ name: "a", witness: {} }])), [
      "MissingWitnesses",
      ["a"]
    ])
    assert.deepStrictEqual(why(known, ask("z", "y")), ["InvalidWitnesses", ["y", "z"]])
    assert.deepStrictEqual(why(known, ask()), "Conflict")
    assert.deepStrictEqual(why(known, Commands.stageRequestedDeferredNames(["b", "a"])), [
      "MissingWitnesses",
      ["a", "b"]
    ])
  })

  it("accepts an unknown name with its witness and remembers the witness", () => {
    const once = play(known, Commands.stageFilter(allow("later"), { later: mcp }))
    assert.deepStrictEqual(why(once, Commands.stageFilter(allow("later"), { later: other })), [
      "InvalidFilterWitnesses",
      ["later"]
    ])
  })

  it("VIS-06: requests add up, and withdrawn requests leave no trace in later ones", () => {
    const both = play(known, ask("a"), ask("b"))
    assert.deepStrictEqual(Visibility.visibilityOf(both).stagedRequestedDeferredNames, ["a", "b"])
    const none = play(both, Commands.stageRequestedDeferredNames([]))
    const gone = play(none, Commands.replaceCatalogs({ ...catalogs, deferred: { b: mcp } }))
    assert.strictEqual(why(gone, ask("b")), null)
    assert.deepStrictEqual(why(play(both, Commands.replaceCatalogs(noCatalogs)), ask("b")), [
      "InvalidWitnesses",
      ["a", "b"]
    ])
  })

  it("VIS-09, VIS-10, VIS-11, VIS-12: publish refuses inconsistent states and accepts a state ahead", () => {
    const names = { requestedWitnesses: { a: mcp } }
    const filter = { filterWitnesses: { shell } }
    const refusedStates = [
      state({ stagedRevision: 1 }),
      state({ ...filter, activeRevision: 1, stagedRevision: 1, activeFilter: deny("shell") }),
      state({ ...names, activeRevision: 2, activeRequestedDeferredNames: ["a"] })
    ]
    for (const given of refusedStates) {
      assert.strictEqual(why(known, Commands.publishCommittedVisibleSet(given)), "Conflict")
    }
    const ahead = state({ ...filter, activeRevision: 5, stagedRevision: 3, activeFilter: deny("shell") })
    const published = decide(known, Commands.publishCommittedVisibleSet(ahead))
    assert.deepStrictEqual(published.reply, ahead)
    assert.strictEqual(decide(published.state, hideShell).reply, 6)
    assert.strictEqual(why(published.state, Commands.publishCommittedVisibleSet(initial)), "Conflict")
  })

  it("installing a state never lowers revisions, and other deferred tools need a new revision", () => {
    const at2 = play(known, hideShell, ask("a"))
    assert.strictEqual(why(at2, Commands.replaceVisibility(initial)), "Conflict")
    const { visibility } = { visibility: Visibility.visibilityOf(at2) }
    assert.strictEqual(
      why(at2, Commands.replaceVisibility({ ...visibility, stagedRequestedDeferredNames: [] })),
      "Conflict"
    )
    assert.deepStrictEqual(decide(at2, Commands.adoptVisibility(initial)).reply, visibility)
    const ahead = play(fresh, Commands.replaceVisibility(state({ activeRevision: 1 })))
    assert.strictEqual(decide(ahead, Commands.stageFilter(deny(), {})).reply, 2)
  })

  it("H7: the boundary never lowers the active revision, and a revision names one set", () => {
    assert.strictEqual(Visibility.boundary(state({ activeRevision: 4, stagedRevision: 1 })).activeRevision, 4)
    const pending = state({
      activeRevision: 4,
      stagedRevision: 3,
      stagedFilter: deny("x"),
      filterWitnesses: { x: mcp }
    })
    assert.strictEqual(Visibility.boundary(pending).activeRevision, 5)
    assert.strictEqual(Visibility.boundary(initial), initial)
  })

  it("VIS-08: a run activates staged changes at its start and stores them in its boundary commit", () => {
    const queued = play(known, hideShell, ...attaching, take(prompt(1)))
    const begun = decide(queued, staging())
    assert.deepStrictEqual(Visibility.visibilityOf(begun.state).activeFilter, deny("shell"))
    assert.deepStrictEqual(commitOf(begun).slices, [])
    const midway = play(begun.state, ask("a"))
    assert.deepStrictEqual(Visibility.visibilityOf(midway).activeRequestedDeferredNames, [])
    const ended = decide(midway, committing())
    const { activeRequestedDeferredNames, activeRevision, stagedRevision } = Visibility.visibilityOf(ended.state)
    assert.deepStrictEqual([activeRequestedDeferredNames, activeRevision, stagedRevision], [["a"], 2, 2])
    const commit = commitOf(ended)
    assert.isDefined(commit.receipt)
    assert.deepStrictEqual(commit.slices, [{
      name: Visibility.visibilitySlice,
      value: Visibility.visibilityOf(ended.state)
    }])
    assert.deepStrictEqual(commitOf(decide(play(begun.state), committing())).slices.length, 1)
    const failed = play(begun.state, failRun({ runId: runId(1), failure: failure() }))
    assert.deepStrictEqual(Visibility.visibilityOf(failed).activeFilter, deny("shell"))
  })

  it("a destroyed session refuses every command before any other check", () => {
    const gone = play(known, destroy)
    for (const command of [ask(), hideShell, Commands.applyBoundary, Commands.replaceCatalogs(noCatalogs)]) {
      assert.strictEqual(why(gone, command), "TerminalPhase")
    }
  })

  it("recovers the stored state, and reports a malformed document as corruption", () => {
    const stored = Visibility.visibilityOf(play(known, hideShell, ask("a")))
    const image = (value: typeof stored) => imageWith([], { slices: [{ name: Visibility.visibilitySlice, value }] })
    assert.deepStrictEqual(opened(image(stored)).state.tools, Visibility.recovered(stored))
    const broken = [{ ...stored, requestedWitnesses: {} }, { ...stored, stagedFilter: deny("missing") }]
    for (const value of broken) {
      assert.strictEqual(Either.flip(plan(image(value))).pipe(Either.getOrThrow)._tag, "RecoveryCorruption")
    }
    const text = imageWith([], { slices: [{ name: Visibility.visibilitySlice, value: "all" }] })
    assert.strictEqual(Either.flip(plan(text)).pipe(Either.getOrThrow)._tag, "RecoveryCorruption")
  })

  it("revisions never decrease and every state is sound, after any commands", () => {
    const commands = [hideShell, ask("a"), ask("b"), Commands.stageRequestedDeferredNames([]), Commands.applyBoundary]
    const given = FastCheck.record({
      activeRevision: FastCheck.nat(8),
      stagedRevision: FastCheck.nat(8),
      activeFilter: FastCheck.constantFrom(deny("shell"), initial.activeFilter),
      stagedFilter: FastCheck.constantFrom(deny("shell"), initial.activeFilter)
    }).map((parts) => state({ ...parts, filterWitnesses: { shell } }))
    const command: FastCheck.Arbitrary<Command<unknown>> = FastCheck.oneof(
      FastCheck.constantFrom(...commands),
      given.map(Commands.publishCommittedVisibleSet),
      given.map(Commands.replaceVisibility)
    )
    FastCheck.assert(FastCheck.property(FastCheck.array(command, { maxLength: 20 }), (sequence) => {
      let current = known
      for (const next of sequence) {
        const decision = next.decide(current, env())
        if (Either.isLeft(decision)) continue
        const [before, after] = [Visibility.visibilityOf(current), Visibility.visibilityOf(decision.right.state)]
        assert.isAtLeast(after.activeRevision, before.activeRevision)
        assert.isAtLeast(after.stagedRevision, before.stagedRevision)
        assert.deepStrictEqual(violations(decision.right.state), [])
        current = decision.right.state
      }
    }))
  })
})

describe("sets and revisions", () => {
  const witnesses = { filterWitnesses: { shell, a: mcp } }

  it("names that repeat or are out of order are no set", () => {
    const objections = (...names: ReadonlyArray<string>) =>
      Visibility.objections(state({ ...witnesses, activeFilter: { _tag: "Deny", names } }))
    assert.deepStrictEqual(objections("a", "shell"), [])
    assert.deepStrictEqual(objections("a", "a"), ["names are not a sorted set"])
    assert.deepStrictEqual(objections("shell", "a"), ["names are not a sorted set"])
  })

  it("VIS-10: sets of the same size are told apart by their names", () => {
    const given = state({
      ...witnesses,
      activeRevision: 1,
      stagedRevision: 1,
      activeFilter: deny("shell"),
      stagedFilter: deny("a")
    })
    assert.strictEqual(why(known, Commands.publishCommittedVisibleSet(given)), "Conflict")
    assert.notStrictEqual(Visibility.boundary(given), given)
  })

  it("a state is behind if one of its revisions is", () => {
    const now = state({ activeRevision: 1, stagedRevision: 1 })
    assert.isFalse(Visibility.isBehind(now, now))
    assert.isFalse(Visibility.isBehind(now, { ...now, stagedRevision: 2 }))
    assert.isTrue(Visibility.isBehind(now, { ...now, stagedRevision: 0 }))
    assert.isTrue(Visibility.isBehind(now, { ...now, activeRevision: 0 }))
  })

  it("a boundary without staged changes owes the store nothing", () => {
    const settled = Visibility.withVisibility(known, initial)
    assert.strictEqual(Visibility.atBoundary(settled, false), settled)
    const staged = play(known, hideShell)
    assert.isTrue(Visibility.atBoundary(staged, false).tools?.unsaved)
    assert.isFalse(Visibility.atBoundary(staged, true).tools?.unsaved)
  })
})

describe("the visible set", () => {
  const tools = [
    { name: "shell", witness: shell },
    { name: "a", witness: mcp, deferred: true },
    { name: "quit", witness: {}, controlPlane: true }
  ]
  const names = (parts: Partial<SessionToolVisibilityState>, overlay = {}) =>
    visibleTools(tools, state(parts), overlay).map(({ name }) => name)

  it("hides denied, deferred and not allowed tools, but never control tools", () => {
    assert.deepStrictEqual(names({}), ["shell", "quit"])
    assert.deepStrictEqual(names({ activeRequestedDeferredNames: ["a"], requestedWitnesses: { a: mcp } }), [
      "shell",
      "a",
      "quit"
    ])
    assert.deepStrictEqual(names({ capabilityBaseFilter: deny("shell", "quit") }), ["quit"])
    assert.deepStrictEqual(names({ inheritedBaseFilter: allow("a") }), ["quit"])
    assert.deepStrictEqual(names({}, { deny: ["shell"] }), ["quit"])
    assert.deepStrictEqual(names({}, { allow: [] }), ["quit"])
  })

  it("applies a decision only to the tool with the same witness", () => {
    assert.deepStrictEqual(names({ activeFilter: deny("shell"), filterWitnesses: { shell } }), ["quit"])
    assert.deepStrictEqual(names({ activeFilter: deny("shell"), filterWitnesses: { shell: mcp } }), ["shell", "quit"])
    assert.deepStrictEqual(names({ activeFilter: deny("shell") }), ["shell", "quit"])
    assert.deepStrictEqual(names({ inheritedBaseFilter: deny("shell") }), ["quit"])
    for (const witness of [other, {}, { stableOwnerKey: "x" }]) {
      assert.deepStrictEqual(names({ activeRequestedDeferredNames: ["a"], requestedWitnesses: { a: witness } }), [
        "shell",
        "quit"
      ])
    }
  })

  it("catalogues contain witnessed tools, and control tools cannot be filtered", () => {
    assert.deepStrictEqual(toolCatalogs(tools), { deferred: { a: mcp }, filter: { shell, a: mcp } })
    assert.deepStrictEqual(unknownTools(["quit", "shell", "b"], tools, initial), ["b", "quit"])
  })

  it("a model that changes no tools writes nothing", () => {
    const told = Visibility.visibilityOf(known)
    const slices = (imageToolResults: boolean) => {
      const command = Commands.installModelTools({ imageToolResults, baseToolNames: ["view_image"], told })
      const { emits, reply } = decide(known, command)
      return [reply.installed, emits.filter(({ _tag }) => _tag === "PutSlice").length]
    }
    assert.deepStrictEqual(slices(true), [true, 0])
    assert.deepStrictEqual(slices(false), [false, 0])
  })

  it("states are equal whatever the order of their witnesses", () => {
    const one = state({ filterWitnesses: { a: mcp, b: shell } })
    assert.isTrue(sameVisibility(one, state({ filterWitnesses: { b: shell, a: mcp } })))
    assert.isFalse(sameVisibility(one, state({ filterWitnesses: { a: shell, b: mcp } })))
    assert.isFalse(sameVisibility(one, state({ filterWitnesses: { a: mcp } })))
  })

  it("a model that takes no images from tools loses the tool that shows an image", () => {
    const blind = derive(initial, false, ["view_image"])
    assert.deepStrictEqual(blind.next.capabilityBaseFilter, deny("view_image"))
    assert.deepStrictEqual([blind.next.activeRevision, blind.delta.revisionBumped], [1, true])
    assert.strictEqual(derive(initial, false, []).next.activeRevision, 0)
    // An allowing filter lets the change through; a filter that already hides the tool makes it no change.
    const through = state({ activeFilter: allow("view_image") })
    assert.isTrue(derive(through, false, ["view_image"]).delta.revisionBumped)
    const hidden = state({ activeFilter: allow("shell") })
    assert.isFalse(derive(hidden, false, ["view_image"]).delta.revisionBumped)
    assert.isFalse(
      derive(state({ inheritedBaseFilter: deny("view_image") }), false, ["view_image"]).delta.revisionBumped
    )
    assert.strictEqual(derive(blind.next, true, ["view_image"]).next.activeRevision, 2)
  })
})
