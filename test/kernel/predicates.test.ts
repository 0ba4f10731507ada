import { assert, describe, it } from "@effect/vitest"
import * as HashMap from "effect/HashMap"
import type { InputRecord } from "../../src/domain/InputRecord.js"
import type { SessionState } from "../../src/domain/SessionState.js"
import { deny, initial, noCatalogs } from "../../src/domain/ToolVisibility.js"
import { endedRow } from "../../src/kernel/facts.js"
import { invariants } from "../../src/kernel/invariants.js"
import * as Ledger from "../../src/kernel/Ledger.js"
import * as Ops from "../../src/kernel/operations.js"
import { drainSlot } from "../support/explore/drainSlot.js"
import { walk } from "../support/explore/engine.js"
import type { Slice, StatePredicate, StepPredicate } from "../support/explore/engine.js"
import { ephemeral } from "../support/explore/ledger.js"
import type { Deed, Node } from "../support/explore/node.js"
import { budgets } from "../support/explore/node.js"
import { operationCells } from "../support/explore/operationCells.js"
import { nodePaths, nodeStates } from "../support/explore/states.js"
import { nodeSteps } from "../support/explore/steps.js"
import { nothingStored } from "../support/explore/store.js"
import { intents, settles, toolFilters } from "../support/explore/toolVisibility.js"
import { held, inputId, prompt, record, runId } from "../support/inputs.js"
import { attaching, fresh, play, staging, take } from "../support/kernel.js"
import { finished, opId, session, spec, waitId } from "../support/operations.js"

/*
 * Every predicate of the explorations can be violated. Since no violation is reachable, these tests make the states and
 * steps by hand. The test "no predicate lacks a case" fails when a predicate has no case here.
 */

const queued = play(fresh, take(prompt(1)))
const attached = play(fresh, ...attaching)
const running = play(queued, ...attaching, staging())
const stray = { _tag: "Idle", runId: runId(1) } as const
const leftover = { _tag: "Retired", owner: "loop", cancel: null } as const
const one = record(prompt(1))

const withInputs = (state: SessionState, ...records: ReadonlyArray<InputRecord>): SessionState => ({
  ...state,
  ledger: Ledger.fromRecords(records, 9)
})
const withLedger = (state: SessionState, parts: Partial<SessionState["ledger"]>): SessionState => ({
  ...state,
  ledger: { ...state.ledger, ...parts }
})
const withOperations = (state: SessionState, parts: Partial<SessionState["operations"]>): SessionState => ({
  ...state,
  operations: { ...state.operations, ...parts }
})
const stopped: SessionState = { ...fresh, lifecycle: { _tag: "Stopped" } }
const destroyed: SessionState = { ...fresh, lifecycle: { _tag: "Destroyed" } }
const inRun: InputRecord = { ...one, status: { type: "staged", runId: runId(1) }, attempts: 1, lastRunId: runId(1) }
const ended = { ...one, terminal: { type: "consumed" } }
const barrier = { requestId: waitId(1), members: [opId(1)], outcomes: HashMap.empty() }
const unfinished = HashMap.make([
  opId(1),
  { spec: spec(1), status: "completed", peerReady: false, progressCount: 0, createdAt: 0 } as const
])
const tools = (parts: Partial<typeof initial>): SessionState => ({
  ...fresh,
  tools: { visibility: { ...initial, ...parts }, catalogs: noCatalogs, unsaved: false }
})
const queueOfOne = withInputs(attached, one).ledger.queue

const badStates: Readonly<Record<string, SessionState>> = {
  P1: { ...fresh, lifecycle: stray },
  P2: { ...fresh, lifecycle: stray },
  P3: { ...fresh, lifecycle: stray },
  P4: { ...fresh, lifecycle: leftover },
  P5: { ...attached, registration: { _tag: "Queuing" } },
  P6: { ...fresh, runtimeId: session.runtimeId },
  P7: { ...attached, lifecycle: { _tag: "Stopped" } },
  D5: { ...attached, registration: { _tag: "Active", token: 1, drainOnly: true } },
  P11: withLedger(queued, { queue: Ledger.empty().queue }),
  P12: withInputs(running, { ...inRun, lastRunId: runId(2) }),
  P13: withInputs(fresh, ended),
  P15: withInputs(fresh, one, { ...record(prompt(2)), admissionSeq: one.admissionSeq }),
  P16: withInputs(attached, inRun),
  "SNP-03": withInputs(running, one),
  P17: withInputs(stopped, one),
  P18: withInputs(fresh, { ...one, charged: 1 }),
  "SNP-07": withLedger(fresh, { keys: HashMap.make(["k", inputId(1)]) }),
  D11: { ...fresh, dirty: { ...fresh.dirty, inputs: [inputId(1)] } },
  "REG-21": { ...fresh, silentIntents: ["b", "a"] },
  P10: withOperations(fresh, { barrier: { ...barrier, members: [] } }),
  P19: withOperations(fresh, { records: unfinished, completed: [opId(1)] }),
  P20: withOperations(fresh, { barrier }),
  "D28/D30": destroyed,
  "FEED-01": withOperations(fresh, { epoch: { ...fresh.operations.epoch, lastSeq: 3 } }),
  P21: tools({ activeRevision: -1 }),
  P22: tools({ stagedFilter: deny("a") }),
  "P18/D10": withInputs(fresh, { ...one, attempts: 2, charged: 2 }),
  "SNP-12": queued,
  WEDGE: withInputs(running, one),
  LOOP: withLedger(withInputs(attached, inRun), { queue: queueOfOne, driving: 1 }),
  EXIT: { ...withInputs(running, one), registration: { _tag: "Draining", token: null } }
}

const nodeOf = (live: SessionState | null, parts: Partial<Node["stored"]> = {}): Node => ({
  live,
  stored: { ...nothingStored, ...parts },
  serial: 1,
  now: 1_000
})

const deed = (parts: Partial<Deed> = {}): Deed => ({
  command: "x",
  emits: [],
  rows: [],
  ended: [],
  objection: null,
  ...parts
})

const stored = (lifecycle: "idle" | "destroyed") => ({ head: { ...nothingStored.head, lifecycle } })
const waking = play(fresh, ...finished(1))
const due = withOperations(waking, {
  epoch: { ...waking.operations.epoch, cursors: { agentApplied: 0, observed: 0, injected: 0 } }
})
const asked = running.lifecycle._tag === "Running"
  ? { ...running, lifecycle: { ...running.lifecycle, cancel: { reason: "x" } } }
  : running

type NodeStep = readonly [before: Node, made: Deed, after: Node]

const badSteps: Readonly<Record<string, NodeStep>> = {
  P8: [nodeOf(running), deed(), nodeOf(attached)],
  P9: [nodeOf(attached), deed(), nodeOf(asked)],
  "P13'": [nodeOf(queued), deed(), nodeOf(fresh)],
  P14: [nodeOf(fresh), deed(), nodeOf(queued, { ended: new Set([inputId(1)]) })],
  D10: [nodeOf(running), deed({ command: "failRun" }), nodeOf(queued)],
  "D10'": [
    nodeOf(null, { inputs: new Map([[inRun.inputId, inRun]]) }),
    deed({
      ended: [
        endedRow(inRun, {
          at: 0,
          terminal: { type: "abandoned", reason: { type: "crash_budget_exhausted", crashes: 3 } }
        })
      ]
    }),
    nodeOf(fresh)
  ],
  P28: [nodeOf(queued), deed(), nodeOf(fresh)],
  P29: [nodeOf(null, stored("destroyed")), deed(), nodeOf(null, stored("idle"))],
  STATES: [nodeOf(fresh), deed(), nodeOf({ ...attached, registration: { _tag: "Queuing" } })],
  COMMIT: [nodeOf(fresh), deed({ objection: "no" }), nodeOf(fresh)],
  D29: [nodeOf(fresh), deed(), nodeOf(due)],
  "P21'": [
    nodeOf(fresh),
    deed({ command: "publishCommittedVisibleSet" }),
    nodeOf(tools({ activeRevision: 1, stagedRevision: 2 }))
  ],
  P23: [nodeOf(fresh), deed(), nodeOf(tools({ activeRequestedDeferredNames: ["d"] }))],
  "VIS-1": [nodeOf(fresh), deed(), nodeOf(tools({ activeFilter: deny("f") }))]
}

const broken = <N>(predicates: ReadonlyArray<StatePredicate<N>>, id: string, node: N) =>
  predicates.filter((predicate) => predicate.id === id).flatMap(({ check }) => check(node))

const brokenStep = <N, M>(predicates: ReadonlyArray<StepPredicate<N, M>>, id: string, step: readonly [N, M, N]) =>
  predicates.filter((predicate) => predicate.id === id).flatMap(({ check }) => check(...step))

/** Walks a slice without some of its moves, and returns the ids of the violated predicates. */
const without = (slice: Slice<Node, Deed>, ...names: ReadonlyArray<string>): ReadonlyArray<string> =>
  walk({ ...slice, moves: (node) => slice.moves(node).filter(({ name }) => !names.includes(name)) })
    .predicates.flatMap(({ counterExample, id }) => counterExample === null ? [] : [id])

describe("every predicate can be violated", () => {
  for (const [id, state] of Object.entries(badStates)) {
    it(`${id}, by a state`, () => {
      assert.isNotEmpty(broken(nodeStates(budgets), id, nodeOf(state)))
    })
  }

  for (const [id, step] of Object.entries(badSteps)) {
    it(`${id}, by a step`, () => {
      assert.isNotEmpty(brokenStep([...nodeSteps, ...toolFilters.steps], id, step))
    })
  }

  it("LIVE-1 and LIVE-2, by paths without unregister or without destroy", () => {
    assert.deepStrictEqual(without(intents, "unregister"), ["LIVE-1"])
    assert.deepStrictEqual(without(intents, "destroy"), ["LIVE-2"])
  })

  it("LIVE-3 and LIVE-4, by paths whose runs never begin or never end", () => {
    assert.deepStrictEqual(without(ephemeral, "stage"), ["LIVE-3"])
    const ends = ["commitRun", "failRun, to be retried", "failRun, for good", "cancelRun", "requeueRun"]
    assert.deepStrictEqual(without(ephemeral, ...ends), ["LIVE-3", "LIVE-4"])
  })

  it("VIS-2 and VIS-3, by a rule that assigns a new revision each time", () => {
    const minting = settles("VIS", "", (state) => ({ ...state, activeRevision: state.activeRevision + 1 }))
    assert.isNotEmpty(minting.check(nodeOf(fresh)))
  })

  const cells = operationCells(1)
  const made = { emits: [], refusal: null }

  it("the predicates of operations", () => {
    const known = play(session, Ops.registerOperation(spec(1)))
    const owed = { ...session.dirty, operations: [opId(1)] }
    assert.isNotEmpty(broken(cells.states, "D11'", { ...session, dirty: owed }))
    assert.isNotEmpty(broken(cells.states, "OPS-27", withOperations(session, { completed: [opId(1), opId(2)] })))
    assert.isNotEmpty(brokenStep(cells.steps, "D29'", [session, made, play(session, ...finished(1))]))
    assert.isNotEmpty(brokenStep(cells.steps, "P14'", [known, made, session]))
    assert.isNotEmpty(brokenStep(cells.steps, "P30'", [session, { ...made, refusal: "OpNotFound" }, known]))
    const endless = walk({
      ...cells,
      moves: (state) => cells.moves(state).filter(({ name }) => name.startsWith("register"))
    })
    assert.deepStrictEqual(
      endless.predicates.flatMap(({ counterExample, id }) =>
        counterExample === null ? [] : [[id, counterExample.trace]]
      ),
      [["LIVE-5", ["register 1"]]]
    )
  })

  it("the predicates of the drain slot", () => {
    const { owner, slot } = drainSlot.start.state
    const moded = { _tag: "Inactive", mode: "timed" } as const
    const host = { _tag: "ExitedRespawnable", mode: "persistentHost", runtimeId: "a" } as const
    const mob = { _tag: "MobOwned", runtimeId: "a", mobId: "m" } as const
    const step = (before: typeof drainSlot.start.state, after: typeof drainSlot.start.state) =>
      [{ state: before, task: false }, { event: "x" }, { state: after, task: false }] as const
    assert.isNotEmpty(broken(drainSlot.states, "P24", { state: { owner, slot: moded }, task: false }))
    assert.isNotEmpty(broken(drainSlot.states, "S11", { state: { owner, slot }, task: true }))
    assert.isNotEmpty(brokenStep(drainSlot.steps, "DRAIN-1", step({ owner, slot }, { owner, slot: host })))
    assert.isNotEmpty(
      brokenStep(drainSlot.steps, "DRAIN-2", step({ owner: mob, slot }, { owner: { ...mob, mobId: "n" }, slot }))
    )
    const endless = walk({
      ...drainSlot,
      moves: (node) => drainSlot.moves(node).filter(({ name }) => !name.startsWith("Exited"))
    })
    assert.isNotNull(endless.predicates.find(({ id }) => id === "LIVE-6")?.counterExample)
  })

  it("no predicate lacks a case", () => {
    const states = [...nodeStates(budgets), ...invariants].map(({ id }) => id)
    assert.sameMembers(Object.keys(badStates), Array.from(new Set(states)))
    assert.sameMembers(
      Object.keys(badSteps),
      [...nodeSteps, ...toolFilters.steps.slice(nodeSteps.length)].map(({ id }) => id)
    )
    assert.deepStrictEqual(nodePaths.map(({ id }) => id), ["LIVE-1", "LIVE-2", "LIVE-3", "LIVE-4"])
    assert.deepStrictEqual(cells.states.slice(-2).map(({ id }) => id), ["D11'", "OPS-27"])
    assert.deepStrictEqual(cells.steps.map(({ id }) => id), ["D29'", "P14'", "P30'"])
    assert.deepStrictEqual(drainSlot.steps.map(({ id }) => id), ["DRAIN-1", "DRAIN-2"])
  })

  it("a session with a held input that drives nothing violates no invariant", () => {
    const sound = withInputs(attached, held(prompt(1)))
    assert.deepStrictEqual(invariants.flatMap(({ check }) => check(sound)), [])
  })
})
