/** Admission as a pure decision: lanes, policies, deduplication, coalescing, and edits of the queue. */
import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import type { KeyFact } from "../../src/domain/RuntimeCommit.js"
import { promote, retract, setSilentIntents } from "../../src/kernel/commands/queue.js"
import * as Ledger from "../../src/kernel/Ledger.js"
import { isHard } from "../../src/kernel/round.js"
import { begin, fire } from "../../src/kernel/table.js"
import { continuation, inputId, operation, peer, progress, prompt, runId, silentRequest } from "../support/inputs.js"
import {
  attaching,
  commitOf,
  committing,
  fresh,
  play,
  recordOf,
  refused,
  settled,
  staging,
  take
} from "../support/kernel.js"
import { decide, env, ofTag } from "../support/operations.js"

const attached = play(fresh, ...attaching)
const running = play(attached, take(prompt(1)), staging())

describe("accepting an input", () => {
  it("ING-03 ING-04 puts it into its lane and commits before it answers", () => {
    const decision = decide(fresh, take(prompt(1, undefined, { correlationId: "c" })))
    assert.deepInclude(decision.reply, { _tag: "Accepted", inputId: inputId(1), terminal: null })
    assert.isTrue(isHard(decision.emits))
    const put = commitOf(decision).inputs[0]
    assert.deepStrictEqual(put?._tag === "Insert" ? put.record : null, recordOf(decision.state, 1) ?? null)
    assert.deepStrictEqual(ofTag(decision.emits, "Event").map(({ event }) => event), [
      { _tag: "InputAccepted", inputId: inputId(1), kind: "prompt", correlationId: "c" }
    ])
    const { ledger } = play(decision.state, take(continuation(2)), take(peer(3, progress)))
    assert.deepStrictEqual(Ledger.lane(ledger, "queue").map((r) => r.inputId), [inputId(1)])
    assert.deepStrictEqual(Ledger.lane(ledger, "steer").map((r) => r.inputId), [inputId(2), inputId(3)])
  })

  it("ING-05 an input that its policy consumes ends at once and uses one sequence", () => {
    const decision = decide(fresh, take(operation(1)))
    const outcome = { _tag: "CompletedWithoutResult" } as const
    assert.deepInclude(decision.reply, { _tag: "Accepted", terminal: outcome })
    assert.deepStrictEqual(settled(decision.emits), [[inputId(1), outcome]])
    assert.deepInclude(commitOf(decision).inputs[0], { _tag: "InsertTerminal" })
    assert.strictEqual(Ledger.nextSeq(decision.state.ledger), 1)
    assert.strictEqual(Ledger.size(decision.state.ledger), 0)
  })

  it("ING-06 ING-07 an input that breaks a rule is refused", () => {
    assert.deepInclude(refused(fresh, take(peer(1, progress, "steer"))), {
      _tag: "Invalid",
      command: "accept"
    })
  })

  it("ING-16 ING-24 held inputs are marked and drive nothing", () => {
    const silent = play(attached, setSilentIntents(["hush"]), take(peer(1, silentRequest, "steer")))
    assert.deepInclude(recordOf(silent, 1), { hold: true, lane: "queue" })
    assert.deepInclude(recordOf(play(attached, take(prompt(1), { wake: false })), 1), { hold: true })
    assert.isNull(decide(silent, staging()).reply)
  })

  it("ING-26 D12 an input accepted during a run drives the next run", () => {
    const next = play(running, take(prompt(2)), committing())
    assert.deepStrictEqual(decide(next, staging(2)).reply?.records.map((r) => r.inputId), [inputId(2)])
  })

  it("ING-18 ING-21 a newer progress input coalesces the queued older one, in one commit", () => {
    const keyed = (n: number) => take(peer(n, progress, undefined, { supersessionKey: "k" }))
    const decision = decide(play(attached, keyed(1)), keyed(2))
    const outcome = { _tag: "Abandoned", reason: `coalesced into ${inputId(2)}` } as const
    assert.deepStrictEqual(settled(decision.emits), [[inputId(1), outcome]])
    const puts = commitOf(decision).inputs
    assert.deepStrictEqual(puts.map(({ _tag }) => _tag), ["Terminal", "Insert"])
    assert.deepInclude(puts[0]?._tag === "Terminal" ? puts[0].row : {}, {
      terminal: { type: "coalesced", into: inputId(2) },
      outcome
    })
    assert.strictEqual(Ledger.size(decision.state.ledger), 1)
  })

  it("a superseded input names the input that supersedes it", () => {
    const superseded = fire(begin("test", play(attached, take(prompt(1)))), "Supersede", {
      inputId: inputId(1),
      at: 5,
      by: inputId(2)
    })
    const { emits } = Either.getOrThrow(superseded)
    assert.deepInclude(ofTag(emits, "EndInput")[0]?.row, { terminal: { type: "superseded", by: inputId(2) } })
    assert.deepStrictEqual(settled(emits), [
      [inputId(1), { _tag: "Abandoned", reason: `superseded by ${inputId(2)}` }]
    ])
  })

  it("optional fields that an input lacks are absent from its record and its event", () => {
    const { emits, state } = decide(fresh, take(prompt(1)))
    const [event] = ofTag(emits, "Event").map(({ event }) => event)
    assert.notProperty(event, "correlationId")
    assert.notProperty(recordOf(state, 1), "idempotencyKey")
  })

  it("the trace of the caller is stored with the input", () => {
    const trace = { traceId: "t", spanId: "s", sampled: true }
    assert.deepStrictEqual(recordOf(play(fresh, take(prompt(1), { trace })), 1)?.trace, trace)
  })
})

describe("D18 deduplication", () => {
  const withKey = (n: number) => prompt(n, undefined, { idempotencyKey: "k" })
  const fact = (parts: Partial<KeyFact> = {}): KeyFact => ({
    key: "k",
    inputId: inputId(1),
    completedAt: 0,
    newerTerminals: 0,
    ...parts
  })

  it("ING-11 an open input with the same id or key is not accepted again", () => {
    const state = play(fresh, take(withKey(1)))
    const byKey = decide(state, take(withKey(2)))
    assert.deepStrictEqual(byKey.reply, {
      _tag: "Deduplicated",
      inputId: inputId(2),
      existingId: inputId(1),
      open: true
    })
    assert.strictEqual(byKey.state, state)
    assert.isFalse(isHard(byKey.emits))
    assert.deepInclude(decide(state, take(prompt(1))).reply, { _tag: "Deduplicated", open: true })
  })

  it("ING-12 an ended input with the same id or key is not accepted again", () => {
    const keyFact = fact()
    assert.deepInclude(decide(fresh, take(withKey(2), { keyFact })).reply, { existingId: inputId(1), open: false })
    assert.deepInclude(decide(fresh, take(prompt(1), { knownTerminal: true })).reply, { open: false })
  })

  it("a key expires by age or by number, and the commit that reuses it clears it", () => {
    const limits = { keyRetentionMs: 100, keyRetentionCount: 5 }
    const reply = (keyFact: KeyFact, now: number) =>
      decide(fresh, take(withKey(2), { keyFact }), env(now, limits)).reply._tag
    assert.strictEqual(reply(fact(), 99), "Deduplicated")
    assert.strictEqual(reply(fact(), 100), "Accepted")
    assert.strictEqual(reply(fact({ newerTerminals: 4 }), 1), "Deduplicated")
    assert.strictEqual(reply(fact({ newerTerminals: 5 }), 1), "Accepted")
    assert.strictEqual(reply(fact({ completedAt: null }), 1_000), "Deduplicated")
    const accepted = decide(fresh, take(withKey(2), { keyFact: fact() }), env(100, limits))
    assert.deepStrictEqual(commitOf(accepted).clearKeys, [{ key: "k", inputId: inputId(1) }])
  })

  it("a fact about another key is ignored", () => {
    const keyFact = fact({ key: "other" })
    const decision = decide(fresh, take(withKey(2), { keyFact }))
    assert.strictEqual(decision.reply._tag, "Accepted")
    assert.deepStrictEqual(commitOf(decision).clearKeys, [])
  })
})

describe("D22 edits of the queue", () => {
  const steer = prompt(2, { handlingMode: "steer" })

  it("a steer joins the run it names, or waits in the queue when that run is over", () => {
    assert.deepInclude(recordOf(play(running, take(steer, { expectedRunId: runId(1) })), 2), { lane: "steer" })
    const late = play(running, take(steer, { expectedRunId: runId(9) }))
    assert.deepInclude(recordOf(late, 2), { lane: "queue", hold: false })
    assert.deepInclude(late.lifecycle, { yieldRequest: null })
  })

  it("a queued input can be retracted", () => {
    const { emits, state } = decide(play(fresh, take(prompt(1))), retract(inputId(1)))
    assert.deepStrictEqual(settled(emits), [[inputId(1), { _tag: "Cancelled" }]])
    assert.strictEqual(Ledger.size(state.ledger), 0)
    for (const [at, phase] of [[running, "staged"], [fresh, "unknown"]] as const) {
      assert.deepInclude(refused(at, retract(inputId(1))), {
        detail: { _tag: "InputNotQueued", inputId: inputId(1), phase }
      })
    }
  })

  it("a queued input can be promoted to the steer lane, where it keeps its order", () => {
    const { reply, state } = decide(play(fresh, take(prompt(1)), take(steer)), promote(inputId(1)))
    assert.isTrue(reply.moved)
    assert.deepStrictEqual(Ledger.lane(state.ledger, "steer").map((r) => r.inputId), [inputId(1), inputId(2)])
    assert.isFalse(decide(state, promote(inputId(1))).reply.moved)
  })

  it("REG-21 silent intents are a sorted set, stored only when they change", () => {
    const { emits, reply, state } = decide(fresh, setSilentIntents(["b", "a", "a"]))
    assert.deepStrictEqual(reply, ["a", "b"])
    assert.deepStrictEqual(commitOf({ emits, state }).slices, [{ name: "silentIntents", value: ["a", "b"] }])
    assert.deepStrictEqual(decide(state, setSilentIntents(["a", "b"])).emits, [])
  })
})
