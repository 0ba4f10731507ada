/** The wake of a quiescent session by operations that ended in the background. */
import { assert, describe, it } from "@effect/vitest"
import { RunId } from "../../src/domain/Ids.js"
import type { InputRecord } from "../../src/domain/InputRecord.js"
import type { OperationSpec } from "../../src/domain/Operation.js"
import { attached, idle, retired, stopped } from "../../src/domain/RuntimeState.js"
import type { SessionState } from "../../src/domain/SessionState.js"
import { setAgentApplied, unapplied } from "../../src/kernel/feed.js"
import * as Ledger from "../../src/kernel/Ledger.js"
import { completionKey, endOfFold } from "../../src/kernel/wake.js"
import { after, env, epochId, finished, inputId, ofTag, session } from "../support/operations.js"

const child: Partial<OperationSpec> = { kind: "mob_member_child" }

const woken = (state: SessionState) => ofTag(endOfFold(state, env(7)).emits, "InsertInput").map(({ record }) => record)
const cursors = (state: SessionState) => state.operations.epoch.cursors

const busy = (state: SessionState): SessionState => ({
  ...state,
  lifecycle: {
    _tag: "Running",
    runId: RunId.make("d0000000-0000-7000-8000-000000000001"),
    returnTo: "Attached",
    owner: "loop",
    inputIds: [],
    sequence: 0,
    startedAt: 0,
    cancel: null,
    yieldRequest: null
  }
})

const one = after(session, finished(1))

describe("the detached wake", () => {
  it("FEED-07 a background completion gives a quiescent session one continuation, in the round of the cursor", () => {
    const { emits, state } = endOfFold(one, env(7))
    const record = ofTag(emits, "InsertInput")[0]?.record
    assert.deepStrictEqual(emits.map((emit) => emit._tag), ["InsertInput", "PutEpoch", "Event"])
    assert.deepInclude(record, {
      inputId: inputId(7),
      kind: "continuation",
      lane: "steer",
      hold: false,
      durability: "derived",
      admissionSeq: 0,
      idempotencyKey: `completion:${epochId}:1`,
      semantics: { boundary: "run_checkpoint", executionKind: "resume_pending" }
    })
    assert.deepInclude(record?.input, { reason: "detached_background_op_completed", handlingMode: "steer" })
    assert.notProperty(record?.input, "requestId")
    assert.deepInclude(record?.input.header, {
      source: { type: "system" },
      visibility: { transcriptEligible: false, operatorEligible: false }
    })
    assert.isFalse(record?.policy.recordTranscript)
    assert.deepStrictEqual(ofTag(emits, "PutEpoch")[0]?.epoch, state.operations.epoch)
    assert.deepStrictEqual(cursors(state), { agentApplied: 0, observed: 1, injected: 1 })
    assert.deepStrictEqual(woken(state), [])
  })

  it("FEED-08 several completions in one round give one continuation", () => {
    const five = after(session, [1, 2, 3, 4, 5].flatMap((n) => finished(n)))
    const { emits, state } = endOfFold(five, env())
    assert.strictEqual(ofTag(emits, "InsertInput").length, 1)
    assert.strictEqual(cursors(state).injected, 5)
  })

  it("FEED-09 a member child never wakes, and observed moves in the commit of its end", () => {
    const state = after(session, finished(1, child))
    assert.strictEqual(cursors(state).observed, 1)
    const end = endOfFold(state, env())
    assert.strictEqual(end.state, state)
    assert.deepStrictEqual(end.emits, [])
    assert.deepStrictEqual(cursors(endOfFold(after(one, finished(2, child)), env()).state), {
      agentApplied: 0,
      observed: 2,
      injected: 2
    })
  })

  it("FEED-10 FEED-13 a wake waits for the end of a run, then comes once", () => {
    const running = busy(one)
    const held = endOfFold(running, env())
    assert.strictEqual(held.state, running)
    assert.deepStrictEqual(held.emits, [])
    const two = endOfFold({ ...after(running, finished(2)), lifecycle: attached }, env())
    assert.strictEqual(ofTag(two.emits, "InsertInput").length, 1)
    assert.deepStrictEqual(cursors(two.state), { agentApplied: 0, observed: 2, injected: 2 })
  })

  it("completions given to the run need no wake, completions after its start do", () => {
    const given = after(busy(one), finished(2))
    const first = setAgentApplied(given, 1)
    assert.strictEqual(woken({ ...first.state, lifecycle: attached }).length, 1)
    const both = setAgentApplied(given, 2)
    assert.deepStrictEqual(cursors(both.state), { agentApplied: 2, observed: 2, injected: 0 })
    assert.deepStrictEqual(ofTag(both.emits, "PutEpoch")[0]?.epoch, both.state.operations.epoch)
    assert.deepStrictEqual(woken({ ...both.state, lifecycle: attached }), [])
    assert.deepStrictEqual(unapplied(first.state).map(({ seq }) => seq), [2])
  })

  it("cursors move neither back nor beyond the feed", () => {
    const applied = setAgentApplied(one, 99)
    assert.strictEqual(cursors(applied.state).agentApplied, 1)
    const back = setAgentApplied(applied.state, 0)
    assert.strictEqual(back.state, applied.state)
    assert.deepStrictEqual(back.emits, [])
  })

  it("wakes an idle session without a loop, but no retired, stopped or unregistering session", () => {
    assert.strictEqual(woken({ ...one, lifecycle: idle, registration: { _tag: "Queuing" } }).length, 1)
    for (
      const state of [
        { ...one, lifecycle: retired },
        { ...one, lifecycle: stopped },
        { ...one, registration: { _tag: "Draining", token: null } } as const
      ]
    ) {
      assert.strictEqual(endOfFold(state, env()).state, state)
    }
  })

  it("waits while an input drives, but not for a held input", () => {
    const injected = endOfFold(one, env(7)).state
    const next = after(injected, finished(2))
    assert.deepStrictEqual(woken(next), [])
    const record = Ledger.get(injected.ledger, inputId(7))
    const held = (some: Partial<InputRecord>) =>
      record === undefined ? [] : woken({ ...next, ledger: Ledger.put(next.ledger, { ...record, ...some }) })
    assert.strictEqual(held({ hold: true }).length, 1)
    assert.strictEqual(held({ hold: false }).length, 0)
  })

  it("moves only the cursors when the key of the continuation is taken", () => {
    const record = Ledger.get(endOfFold(one, env(7)).state.ledger, inputId(7))
    assert.isDefined(record)
    if (record === undefined) return
    const state = { ...one, ledger: Ledger.put(Ledger.empty(), { ...record, hold: true }) }
    assert.strictEqual(record.idempotencyKey, completionKey(one.operations.epoch))
    const end = endOfFold(state, env(8))
    assert.deepStrictEqual(end.emits.map((emit) => emit._tag), ["PutEpoch"])
    assert.strictEqual(cursors(end.state).injected, 1)
  })

  it("dropped and unseen completions wake as well", () => {
    const at = env(1, { feedRetention: 1 })
    const held = after(busy(session), [1, 2, 3, 4, 5].flatMap((n) => finished(n, n === 1 ? {} : child)), at)
    assert.strictEqual(held.operations.epoch.droppedThrough, 1)
    assert.strictEqual(woken({ ...held, lifecycle: attached }).length, 1)
  })

  it("a lagging observed cursor is a deferred write", () => {
    const state = after(session, finished(1, child))
    const epoch = { ...state.operations.epoch, cursors: { agentApplied: 0, observed: 0, injected: 0 } }
    const end = endOfFold({ ...state, operations: { ...state.operations, epoch } }, env())
    assert.strictEqual(cursors(end.state).observed, 1)
    assert.isTrue(end.state.dirty.cursors)
    assert.deepStrictEqual(end.emits, [])
  })
})
