import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import type { CompletionOutcome } from "../../src/domain/Completion.js"
import { Sha256 } from "../../src/domain/Ids.js"
import type { SessionPart } from "../../src/domain/RuntimeCommit.js"
import { acceptAndStage } from "../../src/kernel/commands/accept.js"
import { detach } from "../../src/kernel/commands/attach.js"
import { flushDirty } from "../../src/kernel/commands/flush.js"
import { retire } from "../../src/kernel/commands/lifecycle.js"
import { cancelRun, failRun, requestCancel, requestYield, requeueRun, stage } from "../../src/kernel/commands/run.js"
import {
  beginServiceTurn,
  cancelServiceTurn,
  completeServiceTurn,
  failServiceTurn,
  prepareBindings
} from "../../src/kernel/commands/service.js"
import { endsRound, isHard } from "../../src/kernel/round.js"
import * as Table from "../../src/kernel/table.js"
import { continuation, event, inputId, operation, peer, prompt, runId } from "../support/inputs.js"
import {
  attaching,
  commitOf,
  committing,
  done,
  failedOutcome,
  failure,
  fresh,
  play,
  recordOf,
  refused,
  settled,
  staging,
  take
} from "../support/kernel.js"
import { decide, env, finished, ofTag } from "../support/operations.js"

const attached = play(fresh, ...attaching)
const running = play(attached, take(prompt(1)), staging())
/** a prompt with two silent inputs in front of it */
const batch = play(
  attached,
  take(event(1), { wake: false }),
  take(event(2), { wake: false }),
  take(prompt(3)),
  staging()
)

const failing = (n = 1, parts = {}) => failRun({ runId: runId(n), failure: failure(parts) })

const events = (emits: Parameters<typeof ofTag>[0]) => ofTag(emits, "Event").map(({ event }) => event._tag)

describe("staging", () => {
  it("LOOP-01 takes the batch, counts it, and tells it", () => {
    const { emits, reply, state } = decide(play(attached, take(prompt(1))), staging())
    assert.deepInclude(reply, { runId: runId(1), attempt: 1, completions: [] })
    assert.deepStrictEqual(reply?.records.map(({ inputId }) => inputId), [inputId(1)])
    assert.deepInclude(state.lifecycle, { _tag: "Running", returnTo: "Attached", owner: "loop", sequence: 0 })
    assert.deepInclude(recordOf(state, 1), { attempts: 1, lastRunId: runId(1) })
    assert.deepStrictEqual(events(emits), ["RunStarted", "InputStaged", "StateChanged"])
  })

  it("D11 the staging of fresh inputs is soft: it rides with the next commit, or is flushed", () => {
    const { emits, state } = decide(play(attached, take(prompt(1))), staging())
    assert.isFalse(isHard(emits))
    assert.deepStrictEqual(state.dirty.inputs, [inputId(1)])
    const flushed = decide(state, flushDirty)
    assert.isTrue(isHard(flushed.emits))
    assert.deepStrictEqual(flushed.state.dirty.inputs, [])
    assert.deepInclude(commitOf(flushed).inputs[0], { _tag: "Update" })
  })

  it("D11 what was staged before is staged by a hard commit", () => {
    const { emits, reply, state } = decide(play(running, failing()), staging(2))
    assert.isTrue(isHard(emits))
    assert.deepStrictEqual(state.dirty.inputs, [])
    assert.strictEqual(reply?.attempt, 2)
  })

  it("D20 ephemeral inputs are never written", () => {
    const taken = decide(attached, take(prompt(1, undefined, { durability: "ephemeral" })))
    assert.isFalse(isHard(taken.emits))
    const again = play(taken.state, staging(), failing())
    const { emits, state } = decide(again, staging(2))
    assert.isFalse(isHard(emits))
    assert.deepStrictEqual(commitOf({ emits, state }).inputs, [])
  })

  it("LOOP-33 says nothing when nothing is to be run", () => {
    for (const state of [attached, running, play(attached, take(prompt(1), { wake: false }))]) {
      const decision = decide(state, staging(2))
      assert.isNull(decision.reply)
      assert.strictEqual(decision.state, state)
    }
  })

  it("the loop of another attachment is refused", () => {
    assert.isNotNull(refused(play(attached, take(prompt(1))), stage({ token: 7, runId: runId(1), clearance: "none" })))
    // the rows say so too, whoever fires them
    for (const state of [attached, play(play(attached, take(prompt(1))), retire)]) {
      const begin = (token: number) =>
        Table.fire(Table.begin("test", state), "BeginRun", { token, runId: runId(1), inputIds: [inputId(1)], at: 0 })
      assert.isTrue(Either.isRight(begin(1)))
      assert.deepInclude(Either.getOrThrow(Either.flip(begin(7))), { failed: ["loop_live"] })
    }
  })

  it("D29 a run is given the feed beyond what was applied, and its commit moves the cursor", () => {
    const ended = play(attached, ...finished(1), take(prompt(1)))
    const { reply, state } = decide(ended, staging())
    assert.deepStrictEqual(reply?.completions.map(({ seq }) => seq), [1])
    const committed = decide(state, committing(1, { agentApplied: 1 }))
    assert.strictEqual(commitOf(committed).epoch?.cursors.agentApplied, 1)
    assert.deepStrictEqual(decide(play(committed.state, take(prompt(2))), staging(2)).reply?.completions, [])
  })
})

describe("a run that ends well", () => {
  it("LOOP-16 CMP-01 one commit holds receipt and ends; everybody who waits is told", () => {
    const decision = decide(batch, committing())
    const commit = commitOf(decision)
    assert.deepStrictEqual(commit.receipt?.receipt, {
      runId: runId(1),
      sequence: 0,
      boundary: "run_start",
      contributingInputIds: [inputId(1), inputId(2), inputId(3)],
      conversationDigest: null,
      messageCount: 0
    })
    assert.deepStrictEqual(commit.inputs.map((put) => put._tag), ["Terminal", "Terminal", "Terminal"])
    for (const put of commit.inputs) {
      if (put._tag !== "Terminal") continue
      assert.deepInclude(put.row, { terminal: { type: "consumed" }, lastRunId: runId(1), lastSequence: 0 })
      assert.isUndefined(put.row.outcome, "the receipt has it (D19)")
    }
    assert.deepStrictEqual(settled(decision.emits), [1, 2, 3].map((n) => [inputId(n), done]))
    assert.strictEqual(decision.state.lifecycle._tag, "Attached")
    assert.isTrue(endsRound(decision.emits))
    assert.isUndefined(commit.lifecycle)
    assert.isUndefined(commit.epoch)
  })

  it("CMP-03 a callback that is pending consumes its input", () => {
    const outcome: CompletionOutcome = { _tag: "CallbackPending", toolName: "t", args: {} }
    const { emits } = decide(running, committing(1, { outcome }))
    assert.deepStrictEqual(settled(emits), [[inputId(1), outcome]])
  })

  it("D31 the body follows its head, and one computed from another head is refused", () => {
    const digest = Sha256.make("0".repeat(64))
    const head = { generation: 0, messageCount: 1, digest }
    const append = { _tag: "Append", base: running.head, messages: [], head } as const satisfies SessionPart
    const { state } = decide(running, committing(1, { session: append }))
    assert.deepStrictEqual(state.head, head)
    const stale = committing(1, { session: { ...append, base: head } })
    assert.deepInclude(refused(running, stale), { _tag: "GuardRejected", failed: ["body_current"] })
    for (const other of [{ generation: 1 }, { messageCount: 1 }, { digest }]) {
      const base = { ...running.head, ...other }
      assert.isNotNull(refused(running, committing(1, { session: { ...append, base } })), JSON.stringify(other))
    }
  })

  it("D20 a batch of ephemeral inputs proves nothing, unless it changed the body", () => {
    const ephemeral = play(attached, take(prompt(1, undefined, { durability: "ephemeral" })), staging())
    assert.isFalse(isHard(decide(ephemeral, committing()).emits))
    const part: SessionPart = {
      _tag: "Replace",
      base: ephemeral.head,
      messages: [],
      head: { ...ephemeral.head, generation: 1 }
    }
    const commit = commitOf(decide(ephemeral, committing(1, { session: part })))
    assert.deepStrictEqual(commit.receipt?.receipt.contributingInputIds, [])
    assert.deepStrictEqual(commit.inputs, [])
  })

  it("a late or foreign run id is refused", () => {
    for (
      const command of [
        committing(2),
        failing(2),
        cancelRun({ runId: runId(2), reason: "" }),
        requeueRun({ runId: runId(2) })
      ]
    ) {
      assert.deepInclude(refused(running, command), { _tag: "GuardRejected", failed: ["run_matches"] })
    }
    assert.deepInclude(refused(play(running, committing()), committing()), { _tag: "NoTransition", state: "attached" })
  })
})

describe("D10 a run that fails", () => {
  it("LOOP-06 driving inputs are charged and wait for their retry", () => {
    const { emits, state } = decide(running, failing(1, { notBefore: 5_000 }))
    assert.deepInclude(recordOf(state, 1), { charged: 1, attempts: 1, notBefore: 5_000, solo: false, admissionSeq: 0 })
    assert.deepStrictEqual(settled(emits), [])
    assert.isTrue(isHard(emits))
    assert.isNull(decide(state, staging(2)).reply)
    assert.isNotNull(decide(state, staging(2), env(5_000)).reply)
    assert.deepStrictEqual(events(emits), ["InputRequeued", "RunFailed", "StateChanged"])
  })

  it("held members go back to held, and what failed together is retried alone", () => {
    const { state } = decide(batch, failing())
    for (const n of [1, 2]) assert.deepInclude(recordOf(state, n), { charged: 0, hold: true, solo: false })
    assert.deepInclude(recordOf(state, 3), { charged: 1, solo: true })
  })

  it("what is to be retried alone stays so when it fails alone", () => {
    const both = play(attached, take(peer(1)), take(peer(2)), staging())
    const once = play(both, failing())
    for (const n of [1, 2]) assert.deepInclude(recordOf(once, n), { charged: 1, solo: true })
    const twice = play(once, staging(2), failing(2))
    assert.deepInclude(recordOf(twice, 1), { charged: 2, solo: true })
    assert.deepInclude(recordOf(twice, 2), { charged: 1, solo: true })
  })

  it("LOOP-04 after the last attempt the input is abandoned, with the last cause", () => {
    const decision = decide(play(running, failing(), staging(2), failing(2), staging(3)), failing(3))
    assert.deepStrictEqual(settled(decision.emits), [[inputId(1), failedOutcome]])
    const put = commitOf(decision).inputs[0]
    assert.deepInclude(put?._tag === "Terminal" ? put.row : {}, {
      terminal: { type: "abandoned", reason: { type: "max_attempts_exhausted", attempts: 3 } },
      outcome: failedOutcome,
      charged: 3,
      attempts: 3
    })
  })

  it("LOOP-08 a failure that is not worth a retry ends driving inputs at once", () => {
    const outcome: CompletionOutcome = {
      _tag: "AbandonedWithError",
      reason: "apply failed: denied",
      error: { kind: "hook_denied", terminal: true }
    }
    const decision = decide(batch, failing(1, { retryable: false, outcome }))
    assert.deepStrictEqual(settled(decision.emits), [[inputId(3), outcome]])
    assert.deepInclude(recordOf(decision.state, 1), { hold: true, status: { type: "queued" } })
    const put = commitOf(decision).inputs.find((put) => put._tag === "Terminal")
    assert.deepInclude(put?.row, { terminal: { type: "abandoned", reason: { type: "failed" } }, outcome })
  })

  it("LOOP-28 the run returns to where it came from", () => {
    assert.strictEqual(play(running, retire, failing()).lifecycle._tag, "Retired")
    assert.strictEqual(play(running, failing()).lifecycle._tag, "Attached")
    assert.strictEqual(play(running, detach(1)).lifecycle._tag, "Idle")
  })
})

describe("cancelled, requeued", () => {
  it("LOOP-07 cancelled inputs are not tried again", () => {
    const decision = decide(running, cancelRun({ runId: runId(1), reason: "enough" }))
    assert.deepStrictEqual(settled(decision.emits), [[inputId(1), { _tag: "Cancelled" }]])
    const put = commitOf(decision).inputs[0]
    assert.deepInclude(put?._tag === "Terminal" ? put.row : {}, {
      terminal: { type: "abandoned", reason: { type: "cancelled" } },
      outcome: { _tag: "Cancelled" }
    })
  })

  it("requeued inputs are charged to nobody", () => {
    const { emits, state } = decide(running, requeueRun({ runId: runId(1) }))
    assert.deepInclude(recordOf(state, 1), { charged: 0, crashed: 0, attempts: 1 })
    assert.deepStrictEqual(settled(emits), [])
  })

  it("INT-13 D16 a request is recorded once, and dies with its run", () => {
    const asked = decide(running, requestCancel({ reason: "a" }))
    assert.deepStrictEqual(asked.reply, { runId: runId(1), first: true })
    assert.deepStrictEqual(decide(asked.state, requestCancel({ reason: "b" })).reply, { runId: runId(1), first: false })
    assert.deepInclude(asked.state.lifecycle, { cancel: { reason: "a" } })
    const next = play(asked.state, requestYield({ reason: "c" }), failing(), staging(2))
    assert.deepInclude(next.lifecycle, { cancel: null, yieldRequest: null })
  })

  it("INT-11 no run, no request", () => {
    assert.deepInclude(refused(attached, requestCancel({ reason: "" })), { _tag: "NoTransition", state: "attached" })
  })
})

describe("acceptInputAndRun (D23)", () => {
  const inline = (n: number, parts = {}) =>
    acceptAndStage({ input: prompt(n), keyFact: null, knownTerminal: false, ...parts }, runId(n), "none")

  it("RUN-01 accepts and takes the run slot", () => {
    const { reply, state } = decide(fresh, inline(1))
    assert.deepInclude(reply, { inputId: inputId(1), runId: runId(1), attempt: 1 })
    assert.deepInclude(state.lifecycle, { _tag: "Running", owner: "inline", returnTo: "Idle" })
    assert.deepInclude(play(state, committing()).lifecycle, { _tag: "Idle" })
    const put = commitOf(decide(fresh, inline(1))).inputs[0]
    assert.deepInclude(put?._tag === "Insert" ? put.record.status : {}, { type: "staged" })
  })

  it("RUN-02 RUN-03 not for what is known, beside others, beside a loop, or for nothing to run", () => {
    const busy = play(fresh, take(prompt(1)))
    assert.deepInclude(refused(busy, inline(1)), {
      detail: { _tag: "DeduplicationUnsupported", existingId: inputId(1) }
    })
    assert.deepInclude(refused(busy, inline(2)), { _tag: "GuardRejected", failed: ["no_open_inputs"], state: "idle" })
    assert.deepInclude(refused(attached, inline(1)), { _tag: "NoTransition", state: "attached" })
    assert.deepInclude(refused(fresh, inline(1, { input: operation(1) })), { _tag: "Invalid" })
  })

  it("RUN-05 RUN-06 a failed one is queued again, an interrupted one uncharged", () => {
    const started = play(fresh, inline(1))
    assert.deepInclude(recordOf(play(started, failing()), 1), { charged: 1 })
    assert.deepInclude(recordOf(play(started, requeueRun({ runId: runId(1) })), 1), { charged: 0 })
  })

  it("RUN-05 RUN-06 the same call again takes what was put back from there; another id or another input does not", () => {
    const back = play(fresh, inline(1), requeueRun({ runId: runId(1) }))
    const again = acceptAndStage({ input: prompt(1), keyFact: null, knownTerminal: false }, runId(2), "none")
    const { emits, reply, state } = decide(back, again)
    assert.deepInclude(reply, { inputId: inputId(1), runId: runId(2), attempt: 2 })
    assert.isTrue(isHard(emits))
    assert.deepStrictEqual(play(state, committing(2)).ledger.nextAdmissionSeq, 1)
    assert.deepInclude(refused(play(back, take(prompt(2))), again), { failed: ["no_open_inputs"] })
    assert.deepInclude(refused(play(fresh, inline(1)), again), {
      detail: { _tag: "DeduplicationUnsupported", existingId: inputId(1) }
    })
    assert.deepInclude(refused(play(back, ...attaching), again), { _tag: "NoTransition", state: "attached" })
  })
})

describe("service turns (D26)", () => {
  const bound = play(attached, prepareBindings(4))
  const turning = play(bound, beginServiceTurn({ runId: runId(1) }))

  it("BND-02 preparing again hands out the same", () => {
    assert.deepStrictEqual(decide(bound, prepareBindings(9)).reply.fence, 4)
    assert.isNotNull(refused(attached, beginServiceTurn({ runId: runId(1) })))
  })

  it("no batch starts meanwhile, what is accepted waits", () => {
    const waiting = play(turning, take(prompt(1)))
    assert.isNull(decide(waiting, staging(2)).reply)
    assert.isNotNull(decide(play(waiting, completeServiceTurn({ runId: runId(1) })), staging(2)).reply)
  })

  it("ends by its own commands only, and writes nothing", () => {
    assert.deepInclude(refused(turning, committing()), { failed: ["not_service"] })
    assert.deepInclude(refused(running, completeServiceTurn({ runId: runId(1) })), { failed: ["is_service"] })
    const ends = [
      completeServiceTurn({ runId: runId(1) }),
      failServiceTurn({ runId: runId(1), detail: "x" }),
      cancelServiceTurn({ runId: runId(1), reason: "x" })
    ]
    for (const end of ends) {
      const { emits, state } = decide(turning, end)
      assert.strictEqual(state.lifecycle._tag, "Attached")
      assert.isFalse(isHard(emits))
    }
  })

  it("begun again by its owner it is the same turn; by another it is refused", () => {
    assert.deepStrictEqual(decide(bound, beginServiceTurn({ runId: runId(1) })).reply, { first: true })
    const { emits, reply, state } = decide(turning, beginServiceTurn({ runId: runId(1) }))
    assert.deepStrictEqual([reply, emits], [{ first: false }, []])
    assert.strictEqual(state, turning)
    assert.deepInclude(refused(turning, beginServiceTurn({ runId: runId(2) })), { failed: ["run_matches"] })
    assert.deepInclude(refused(running, beginServiceTurn({ runId: runId(1) })), { failed: ["is_service"] })
  })

  it("D26 without a name the turn that holds the slot is meant, and without one nothing is", () => {
    assert.deepStrictEqual(decide(turning, completeServiceTurn({ runId: null })).reply, { runId: runId(1) })
    assert.deepInclude(refused(bound, completeServiceTurn({ runId: null })), {
      failed: ["run_active"],
      state: "attached"
    })
    assert.deepInclude(refused(turning, failServiceTurn({ runId: runId(2), detail: "" })), { failed: ["run_matches"] })
    assert.deepInclude(refused(running, cancelServiceTurn({ runId: null, reason: "" })), { failed: ["is_service"] })
  })

  it("D20 a body that its output brings is written with a receipt that lists no input", () => {
    const digest = Sha256.make("a".repeat(64))
    const head = { generation: 0, messageCount: 1, digest }
    const part: SessionPart = { _tag: "Append", base: turning.head, messages: [], head }
    const output = { session: part, conversationDigest: digest, messageCount: 1, outcome: done, agentApplied: 0 }
    const ended = decide(turning, completeServiceTurn({ runId: null, output }))
    assert.isTrue(endsRound(ended.emits))
    assert.deepStrictEqual(ended.state.head, head)
    const receipt = commitOf(ended).receipt?.receipt
    assert.deepInclude(receipt, { runId: runId(1), sequence: 0, contributingInputIds: [], messageCount: 1 })
    const late = completeServiceTurn({ runId: null, output: { ...output, session: { ...part, base: head } } })
    assert.deepInclude(refused(turning, late), { failed: ["body_current"] })
    const silent = completeServiceTurn({ runId: null, output: { ...output, session: null } })
    assert.isFalse(isHard(decide(turning, silent).emits))
  })

  it("D14 a steer asks the loop's run for its boundary, never a service turn", () => {
    const steer = take(prompt(7, { handlingMode: "steer" }))
    assert.deepInclude(play(running, steer).lifecycle, {
      yieldRequest: { reason: `input ${inputId(7)} asks for the next boundary` }
    })
    assert.deepInclude(play(turning, steer).lifecycle, { yieldRequest: null })
    assert.deepInclude(play(running, take(continuation(8, "queue"))).lifecycle, { yieldRequest: null })
  })
})
