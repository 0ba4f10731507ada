/** Each invariant of a session state finds the violation that it exists for. */
import { assert, describe, expect, it } from "@effect/vitest"
import * as HashMap from "effect/HashMap"
import * as SortedMap from "effect/SortedMap"
import type { Lifecycle, Registration, Running } from "../../src/domain/RuntimeState.js"
import * as State from "../../src/domain/RuntimeState.js"
import type { Barrier, SessionState } from "../../src/domain/SessionState.js"
import { violations, withinBudgets } from "../../src/kernel/invariants.js"
import * as Ledger from "../../src/kernel/Ledger.js"
import * as In from "../support/inputs.js"
import { attaching, fresh, play, staging, take } from "../support/kernel.js"
import { opId, waitId } from "../support/operations.js"

const attached = play(fresh, ...attaching)
const queued = play(attached, take(In.prompt(1)), take(In.prompt(2)), take(In.event(3, "steer")))
const running = play(attached, take(In.prompt(1)), staging())
const run: Running = {
  _tag: "Running",
  runId: In.runId(1),
  returnTo: "Attached",
  owner: "loop",
  inputIds: [In.inputId(1)],
  sequence: 0,
  startedAt: 0,
  cancel: null,
  yieldRequest: null
}

const active: Registration = { _tag: "Active", token: 1, drainOnly: false }
const queuing: Registration = { _tag: "Queuing" }
const beginning: Registration = { _tag: "Attaching", token: 1 }
const phase = (lifecycle: Lifecycle, registration: Registration): SessionState => ({
  ...fresh,
  lifecycle,
  registration
})
const runs = (parts: Partial<Running>): SessionState => ({ ...running, lifecycle: { ...run, ...parts } })

const record = In.record(In.prompt(1))
const other = In.record(In.prompt(2))
const holding = (...records: ReadonlyArray<typeof record>): SessionState => ({
  ...attached,
  ledger: Ledger.fromRecords(records, 0)
})
const ledgerOf = (state: SessionState, parts: Partial<SessionState["ledger"]>): SessionState => ({
  ...state,
  ledger: { ...state.ledger, ...parts }
})
const operationsOf = (state: SessionState, parts: Partial<SessionState["operations"]>): SessionState => ({
  ...state,
  operations: { ...state.operations, ...parts }
})
const epochOf = (parts: Partial<SessionState["operations"]["epoch"]>, seqs: ReadonlyArray<number> = []): SessionState =>
  operationsOf(attached, {
    epoch: { ...attached.operations.epoch, ...parts },
    feed: seqs.map((seq) => ({ seq, operationId: opId(seq) }) as never)
  })
const cursors = { agentApplied: 0, observed: 0, injected: 0 }
const broken = (state: SessionState) => violations(state).map(({ id }) => id)

/** The violation, the id of the invariant that reports it, and the state. */
const unsound: ReadonlyArray<readonly [string, string, SessionState]> = [
  ["idle beside a live loop", "P7", phase(State.idle, active)],
  ["attached without a loop", "P5", phase(State.attached, queuing)],
  [
    "attached, with an unregistering session that never had a loop",
    "P5",
    phase(State.attached, {
      _tag: "Draining",
      token: null
    })
  ],
  ["a run of a live loop returns to idle", "P7", runs({ returnTo: "Idle" })],
  ["a run returns to a loop that has ended", "P5", { ...running, registration: queuing }],
  ["a run returns to a loop that has not begun", "P5", { ...running, registration: beginning }],
  ["a live loop beside a stopped session", "P7", phase(State.stopped, active)],
  ["an attachment begins in a destroyed session", "P7", phase(State.destroyed, beginning)],
  ["a drain-only loop outside a retired session", "D5", phase(State.attached, { ...active, drainOnly: true })],
  ["a full loop in a retired session", "D5", phase(State.retired, active)],
  ["a service turn has inputs", "SNP-03", runs({ owner: "service" })],
  ["a run has no contributors", "SNP-03", runs({ inputIds: [] })],
  ["a contributor is not open", "SNP-03", runs({ inputIds: [In.inputId(1), In.inputId(9)] })],
  ["a contributor is queued", "SNP-03", { ...queued, lifecycle: run }],
  ["a contributor is staged for another run", "SNP-03", runs({ runId: In.runId(9) })],
  ["an input is staged while nothing runs", "P16", { ...running, lifecycle: State.attached }],
  ["a record that its lane does not list", "P11", ledgerOf(queued, { queue: SortedMap.empty(queuedOrder) })],
  [
    "a record in the wrong lane",
    "P11",
    ledgerOf(queued, { queue: queued.ledger.steer, steer: queued.ledger.queue })
  ],
  [
    "a staged record that a lane lists",
    "P11",
    ledgerOf(running, {
      staged: running.ledger.queue,
      queue: running.ledger.staged
    })
  ],
  ["an admission sequence is used twice", "P15", holding(record, { ...other, admissionSeq: record.admissionSeq })],
  ["an admission sequence was never assigned", "P15", ledgerOf(queued, { nextAdmissionSeq: 2 })],
  ["the image's sequence is above every assigned one", "P15", ledgerOf(queued, { imageSeq: 9 })],
  ["a key without an input", "SNP-07", ledgerOf(queued, { keys: HashMap.make(["k", In.inputId(1)]) })],
  [
    "a key that names the wrong input",
    "SNP-07",
    ledgerOf(holding({ ...record, idempotencyKey: "k" }, other), {
      keys: HashMap.make(["k", other.inputId])
    })
  ],
  ["a stopped session has open inputs", "P17", { ...holding(record), ...ended(State.stopped) }],
  ["a destroyed session has open inputs", "P17", { ...holding(record), ...ended(State.destroyed) }],
  ["a stopped session has silent intents", "REG-21", { ...fresh, ...ended(State.stopped), silentIntents: ["a"] }],
  ["more charges and crashes than attempts", "P18", holding({ ...record, attempts: 2, charged: 1, crashed: 2 })],
  [
    "a staged input without an attempt",
    "P18",
    ledgerOf(running, {
      inputs: HashMap.map(running.ledger.inputs, (staged) => ({ ...staged, attempts: 0 }))
    })
  ],
  ["an ended input is owed to the store", "D11", owing(In.inputId(9))],
  ["an input is owed twice", "D11", owing(In.inputId(1), In.inputId(1))],
  ["silent intents out of order", "REG-21", { ...attached, silentIntents: ["b", "a"] }],
  ["a silent intent twice", "REG-21", { ...attached, silentIntents: ["a", "a"] }],
  ["the epoch of a destroyed session is not retired", "D28/D30", { ...fresh, ...ended(State.destroyed) }],
  ["a barrier without members", "P10", operationsOf(attached, { barrier: barrier([]) })],
  ["a barrier with every outcome", "P10", operationsOf(attached, { barrier: barrier([1], [1]) })],
  ["the feed has a gap", "FEED-01", epochOf({ lastSeq: 3 }, [1, 3])],
  ["the feed ends before the epoch does", "FEED-01", epochOf({ lastSeq: 3 }, [1, 2])],
  ["agentApplied lies beyond the feed", "FEED-01", epochOf({ cursors: { ...cursors, agentApplied: 1 } })],
  ["injected lies beyond the feed", "FEED-01", epochOf({ cursors: { ...cursors, injected: 1 } })],
  ["observed lies beyond the feed", "FEED-01", epochOf({ cursors: { ...cursors, observed: 1 } })]
]

function queuedOrder(a: number, b: number): -1 | 0 | 1 {
  return a < b ? -1 : a > b ? 1 : 0
}
function ended(lifecycle: Lifecycle): Pick<SessionState, "lifecycle" | "registration"> {
  return { lifecycle, registration: queuing }
}
function barrier(members: ReadonlyArray<number>, ended: ReadonlyArray<number> = []): Barrier {
  const outcomes = ended.map((n) => [opId(n), { _tag: "Terminated", reason: "x" }] as const)
  return { requestId: waitId(1), members: members.map(opId), outcomes: HashMap.fromIterable(outcomes) }
}
function owing(...inputs: ReadonlyArray<ReturnType<typeof In.inputId>>): SessionState {
  return { ...queued, dirty: { ...queued.dirty, inputs } }
}

describe("invariants of a session", () => {
  it.each(unsound)("%s is reported", (_what, id, state) => {
    expect(broken(state)).toContain(id)
  })

  it("D10 an open input that used up a budget is reported", () => {
    const { check } = withinBudgets({ maxAttempts: 3, crashBudget: 2 })
    const left = (facts: Partial<typeof record>) => check(holding({ ...record, attempts: 9, ...facts })).length
    assert.deepStrictEqual([left({ charged: 2 }), left({ charged: 3 })], [0, 1])
    assert.deepStrictEqual([left({ crashed: 1 }), left({ crashed: 2 })], [0, 1])
  })

  it("sound states violate no invariant", () => {
    expect(broken(operationsOf(attached, { barrier: barrier([1, 2], [1]) }))).not.toContain("P10")
    for (const state of [fresh, attached, queued, running]) expect(broken(state)).toEqual([])
    const draining: Registration = { _tag: "Draining", token: 1 }
    expect(broken(phase(State.attached, draining))).toEqual([])
    expect(broken({ ...running, registration: draining })).toEqual([])
    expect(broken(phase(State.retired, { ...active, drainOnly: true }))).toEqual([])
    expect(broken(phase(State.stopped, queuing))).toEqual([])
    expect(broken(runs({ owner: "inline" }))).toEqual([])
    expect(broken({ ...attached, lifecycle: { ...run, owner: "service", inputIds: [] } })).toEqual([])
    expect(broken({ ...attached, silentIntents: ["a", "b"] })).toEqual([])
    expect(broken(holding({ ...record, attempts: 2, charged: 1, crashed: 1 }))).toEqual([])
    expect(
      broken(epochOf({ lastSeq: 3, droppedThrough: 1, cursors: { agentApplied: 3, observed: 3, injected: 3 } }, [2, 3]))
    ).toEqual([])
  })
})
