import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import type { InputRecord } from "../../src/domain/InputRecord.js"
import { InputStatus } from "../../src/domain/InputRecord.js"
import type { RuntimeImage } from "../../src/domain/RuntimeCommit.js"
import { initial, SessionToolVisibilityState } from "../../src/domain/ToolVisibility.js"
import { violations } from "../../src/kernel/invariants.js"
import * as Ledger from "../../src/kernel/Ledger.js"
import { planOpening } from "../../src/kernel/opening.js"
import { isHard } from "../../src/kernel/round.js"
import { visibilitySlice } from "../../src/kernel/toolVisibility.js"
import { event, held, inputId, operation, prompt, record, runId } from "../support/inputs.js"
import {
  attaching,
  commitOf,
  committing,
  epochCandidate,
  fresh,
  imageWith,
  noImage,
  opened,
  plan,
  play,
  recordOf,
  requestId,
  sessionId,
  staging,
  take
} from "../support/kernel.js"
import { after, decide, env, finished, ofTag, opId, session, started } from "../support/operations.js"

const toJson = Schema.encodeSync(SessionToolVisibilityState)

const staged = (n: number, facts: Partial<InputRecord> = {}, run = 1): InputRecord =>
  record(prompt(n), { status: { type: "staged", runId: runId(run) }, lastRunId: runId(run), attempts: 1, ...facts })

const corruption = (image: RuntimeImage) => {
  const error = Either.match(plan(image), { onLeft: (left) => left, onRight: () => null })
  return error?._tag === "RecoveryCorruption" ? error : null
}

describe("opening a session", () => {
  it("REG-03 REG-18 a new one is idle, its epoch is in the opening commit", () => {
    const { commit, report, state } = opened(noImage)
    assert.strictEqual(state.lifecycle._tag, "Idle")
    assert.strictEqual(commit.lifecycle, "idle")
    assert.strictEqual(commit.epoch?.epochId, epochCandidate)
    assert.deepInclude(report, { created: true, epoch: "created", inputsRecovered: 0 })
  })

  it("RCV-01 a queued input stays as it is and is not written", () => {
    const { commit, report, state } = opened(imageWith([record(prompt(1))]))
    assert.deepStrictEqual(recordOf(state, 1), record(prompt(1)))
    assert.deepStrictEqual(commit.inputs, [])
    assert.deepInclude(report, { inputsRecovered: 1, inputsRequeued: [], inputsAbandoned: [] })
  })

  // overridden by D11, D20: an input is inserted queued, and its run ends in the commit that holds the receipt. A row
  // of phase Accepted, Applied or AppliedPendingConsumption cannot be written down, and one that says so is not read.
  it("RCV-02, RCV-05, RCV-06, RCV-07 no open row has another phase than queued or staged", () => {
    const decoded = (type: string) => Schema.is(InputStatus)({ type, runId: runId(1) })
    assert.deepStrictEqual(
      ["queued", "staged", "accepted", "applied", "applied_pending_consumption", "consumed"].filter(decoded),
      ["queued", "staged"]
    )
    const { emits } = decide(fresh, take(prompt(1)))
    assert.deepInclude(ofTag(emits, "InsertInput").map(({ record }) => record.status), { type: "queued" })
  })

  it("RCV-03 what its policy drops is consumed as it is accepted; an open row of it is corruption", () => {
    const { emits } = decide(fresh, take(operation(1)))
    assert.deepStrictEqual(ofTag(emits, "EndInput").map(({ row }) => row.terminal), [{ type: "consumed" }])
    assert.deepInclude(corruption(imageWith([record(prompt(2)), record(operation(1))])), {
      table: "input",
      key: inputId(1),
      reason: "its policy puts it into no lane, but it is open"
    })
  })

  it("RCV-05, RCV-07 the commit that holds a receipt ends every input that it lists", () => {
    const waiting = [record(event(1), { hold: true }), record(event(2), { hold: true }), record(prompt(3))]
    const before = play(opened(imageWith(waiting)).state, ...attaching, staging())
    const commit = commitOf(decide(before, committing()))
    const listed = [1, 2, 3].map(inputId)
    assert.deepStrictEqual(commit.receipt?.receipt.contributingInputIds, listed)
    assert.deepStrictEqual(
      commit.inputs.map((put) => put._tag === "Terminal" ? [put.row.inputId, put.row.terminal.type] : []),
      listed.map((id) => [id, "consumed"])
    )
  })

  it("RCV-06 a row of a run that has no receipt is queued again and keeps the run's id", () => {
    const { commit, state } = opened(imageWith([staged(1)]))
    assert.deepInclude(recordOf(state, 1), { status: { type: "queued" }, lastRunId: runId(1), attempts: 1 })
    assert.deepStrictEqual(commit.inputs.map(({ _tag }) => _tag), ["Update"])
    assert.isNotNull(decide(play(state, ...attaching), staging()).reply)
  })

  it("RCV-04 a staged input is queued again, attempts kept, counted as lost with the process", () => {
    const { commit, report, state } = opened(imageWith([staged(1, { attempts: 2 })]))
    assert.deepInclude(recordOf(state, 1), { attempts: 2, crashed: 1, charged: 0, solo: false })
    assert.deepStrictEqual(recordOf(state, 1)?.status, { type: "queued" })
    assert.deepStrictEqual(commit.inputs.map(({ _tag }) => _tag), ["Update"])
    assert.deepStrictEqual(report.inputsRequeued, [inputId(1)])
  })

  it("RCV-04 the members of a lost batch are retried alone, what only rode along is not counted", () => {
    const rider = held(event(1), { status: { type: "staged", runId: runId(1) }, attempts: 1 })
    const { state } = opened(imageWith([rider, staged(2)]))
    assert.deepInclude(recordOf(state, 1), { crashed: 0, solo: false, hold: true })
    assert.deepInclude(recordOf(state, 2), { crashed: 1, solo: true })
  })

  it("D10 the opening commit abandons a suspect when it ran alone", () => {
    const status = { type: "staged", runId: runId(1), alone: true } as const
    const suspect = staged(1, { attempts: 3, crashed: 2, status })
    const { commit, report, state } = opened(imageWith([suspect, staged(2, {}, 2)]))
    assert.isUndefined(recordOf(state, 1))
    assert.deepInclude(recordOf(state, 2), { crashed: 1 })
    assert.deepStrictEqual(report.inputsAbandoned, [inputId(1)])
    const put = commit.inputs.find((put) => put._tag === "Terminal")
    assert.deepInclude(put?.row, {
      terminal: { type: "abandoned", reason: { type: "crash_budget_exhausted", crashes: 3 } },
      outcome: { _tag: "Abandoned", reason: "its run ended with the process 3 times" },
      crashed: 3
    })
  })

  it("D10 the opening requeues a suspect when it did not run alone, and never lowers its charges", () => {
    const reopened = (crashed: number, crashBudget: number) => {
      const image = imageWith([staged(1, { attempts: crashed + 1, crashed })])
      const request = {
        sessionId,
        image,
        requestId,
        epochCandidate,
        now: 2_000,
        limits: { ...env().limits, crashBudget }
      }
      const { commit, value } = Either.getOrThrow(planOpening(request))
      assert.deepStrictEqual(value.report.inputsAbandoned, [])
      assert.deepStrictEqual(commit.inputs.map(({ _tag }) => _tag), ["Update"])
      return recordOf(value.state, 1)?.crashed
    }
    assert.deepStrictEqual([reopened(1, 3), reopened(2, 3), reopened(4, 2)], [2, 2, 4])
    assert.deepStrictEqual([reopened(0, 1), reopened(1, 1), reopened(0, 0)], [1, 1, 1])
  })

  it("D10 a suspect that ran alone is requeued when the crash budget was raised since", () => {
    const status = { type: "staged", runId: runId(1), alone: true } as const
    const { report, state } = opened(imageWith([staged(1, { attempts: 2, crashed: 1, status })]))
    assert.deepStrictEqual(report.inputsAbandoned, [])
    assert.deepInclude(recordOf(state, 1), { crashed: 2, status: { type: "queued" } })
  })

  it("D11 what comes out of an image is staged by a hard commit, however often it was staged before", () => {
    const state = play(opened(imageWith([record(prompt(1))])).state, ...attaching)
    assert.isTrue(isHard(decide(state, staging()).emits))
  })

  it("RCV-08 what lived in memory only is dropped", () => {
    const row = record(prompt(1, undefined, { durability: "ephemeral" }))
    assert.strictEqual(Ledger.size(opened(imageWith([row])).state.ledger), 0)
  })

  it("RCV-11 lanes are rebuilt by lane and admission order, whatever the ids are", () => {
    const late = record(prompt(1), { admissionSeq: 7 })
    const { state } = opened(imageWith([late, record(prompt(2)), record(prompt(3, { handlingMode: "steer" }))]))
    assert.deepStrictEqual(Ledger.lane(state.ledger, "queue").map((r) => r.inputId), [inputId(2), inputId(1)])
    assert.deepStrictEqual(Ledger.lane(state.ledger, "steer").map((r) => r.inputId), [inputId(3)])
    assert.strictEqual(Ledger.nextSeq(state.ledger), 8)
    assert.deepStrictEqual(violations(state), [])
  })

  it("RCV-12 RCV-16 RCV-24 a row that cannot be read fails the whole opening and is named", () => {
    const corrupt = [{ table: "inputs", key: "7", detail: "payload is missing" }]
    assert.deepInclude(corruption(imageWith([record(prompt(1))], { corrupt })), {
      table: "inputs",
      key: "7",
      reason: "payload is missing"
    })
  })

  it("RCV-13 a stamp that is not the one of policy and kind is corruption", () => {
    const bad = record(prompt(1), { semantics: { boundary: "immediate", executionKind: "content_turn" } })
    assert.deepInclude(corruption(imageWith([record(prompt(2)), bad])), { table: "input", key: inputId(1) })
  })

  it("RCV-15 rows that contradict each other or their words are corruption", () => {
    const bad: ReadonlyArray<ReadonlyArray<InputRecord>> = [
      [record(prompt(1)), record(prompt(2), { admissionSeq: 1 })],
      [record(prompt(1), { idempotencyKey: "k" })],
      [record(prompt(1), { kind: "flow_step" })],
      [record(prompt(1), { durability: "derived" })],
      [{ ...record(prompt(1)), inputId: inputId(2) }],
      [1, 2].map((n) => record(prompt(n, undefined, { idempotencyKey: "k" })))
    ]
    for (const inputs of bad) assert.isNotNull(corruption(imageWith(inputs)))
    assert.isNotNull(corruption(imageWith([record(prompt(5))], { nextAdmissionSeq: 5 })))
    assert.isNull(corruption(imageWith([1, 2].map((n) => record(prompt(n, undefined, { idempotencyKey: `k${n}` }))))))
    assert.isNotNull(corruption(imageWith([], { slices: [{ name: "silentIntents", value: [1] }] })))
  })

  it("RCV-17 a stopped or destroyed session with open inputs is corruption", () => {
    for (const lifecycle of ["stopped", "destroyed"] as const) {
      const error = corruption(imageWith([record(prompt(1)), record(prompt(2))], { lifecycle }))
      assert.include(error?.reason, lifecycle)
      assert.include(error?.reason, "2")
    }
  })

  it("D4 REG-09 destroyed is final, retired stays, stopped revives", () => {
    const left = Either.flip(plan(imageWith([], { lifecycle: "destroyed" })))
    assert.strictEqual(Either.getOrThrow(left)._tag, "Destroyed")
    const retired = opened(imageWith([], { lifecycle: "retired" }))
    assert.strictEqual(retired.state.lifecycle._tag, "Retired")
    assert.isUndefined(retired.commit.lifecycle)
    assert.isUndefined(opened(imageWith([])).commit.lifecycle)
    const revived = opened(imageWith([], { lifecycle: "stopped" }))
    assert.strictEqual(revived.state.lifecycle._tag, "Idle")
    assert.strictEqual(revived.commit.lifecycle, "idle")
    assert.isTrue(revived.report.revived)
  })

  it("REG-17 D28 D30 the stored epoch is adopted, operations of the last process are terminated", () => {
    const { operations } = after(session, [...started(1), ...started(2, { owner: "external" })])
    const image = imageWith([], {
      epoch: operations.epoch,
      operations: Array.from(operations.records).map(([, r]) => r)
    })
    const { commit, report, state } = opened(image)
    assert.strictEqual(state.operations.epoch.epochId, operations.epoch.epochId)
    assert.deepStrictEqual(report.operationsTerminated.length, 1)
    assert.deepStrictEqual(commit.feed.map(({ outcome }) => outcome), [{
      _tag: "Terminated",
      reason: "runtime restarted"
    }])
    assert.strictEqual(commit.epoch?.lastSeq, 1)
    assert.strictEqual(report.epoch, "adopted")
  })

  it("REG-17 what had ended before the process did is not reported as terminated", () => {
    const { operations } = after(session, [...finished(1), ...started(2)])
    const image = imageWith([], {
      epoch: operations.epoch,
      feed: operations.feed,
      operations: Array.from(operations.records).map(([, r]) => r)
    })
    assert.deepStrictEqual(opened(image).report.operationsTerminated, [opId(2)])
  })

  it("slices come back, silent intents in their place", () => {
    const slices = [{ name: "silentIntents", value: ["a", "b"] }, { name: "toolVisibility", value: { x: 1 } }]
    const { commit, state } = opened(imageWith([], { slices }))
    assert.deepStrictEqual(state.silentIntents, ["a", "b"])
    assert.deepStrictEqual(state.slices, { toolVisibility: { x: 1 } })
    assert.deepStrictEqual(commit.slices, [])
  })

  it("P22 the visibility of tools comes back, wherever it stands among the slices", () => {
    const visibility = { ...initial, activeRevision: 3, stagedRevision: 3 }
    const stored = { name: visibilitySlice, value: toJson(visibility) }
    const other = { name: "other", value: 1 }
    for (const slices of [[other, stored], [stored, other]]) {
      const { state } = opened(imageWith([], { slices }))
      assert.deepStrictEqual(state.tools?.visibility, visibility)
      assert.deepStrictEqual(state.slices, { other: 1 })
    }
  })

  it("property 19: opening what an opening wrote changes nothing more", () => {
    const first = opened(imageWith([record(prompt(1)), staged(2)]))
    const { epoch } = first.state.operations
    const again = opened(imageWith(Ledger.all(first.state.ledger), { epoch }), env(2_000))
    assert.deepStrictEqual(again.commit.inputs, [])
    assert.isUndefined(again.commit.epoch)
    assert.deepStrictEqual(Ledger.all(again.state.ledger), Ledger.all(first.state.ledger))
  })
})
