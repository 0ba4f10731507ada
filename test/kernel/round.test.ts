/** Folding the emits of a round into one commit. */
import { assert, describe, it } from "@effect/vitest"
import type { Emit } from "../../src/domain/Command.js"
import type { Env, SessionState } from "../../src/domain/SessionState.js"
import { retract } from "../../src/kernel/commands/queue.js"
import * as Ops from "../../src/kernel/operations.js"
import { endsRound, foldDirty, isHard, toCommit } from "../../src/kernel/round.js"
import { inputId, prompt } from "../support/inputs.js"
import { attaching, committing, fresh, play, requestId, staging, take } from "../support/kernel.js"
import { after, decide, env, finished, opId, result, session, spec, started } from "../support/operations.js"

const attached = play(fresh, ...attaching)
const base = { requestId, incarnation: 3, basis: 7, at: 9 }

/** Decides the commands one after the other, and returns the last state and all emits. */
const round = (state: SessionState, at: Env, ...commands: ReadonlyArray<Parameters<typeof decide>[1]>) =>
  commands.reduce<{ readonly state: SessionState; readonly emits: ReadonlyArray<Emit> }>(
    (soFar, command) => {
      const { emits, state } = decide(soFar.state, command, at)
      return { state, emits: [...soFar.emits, ...emits] }
    },
    { state, emits: [] }
  )

/** The commit of a round, deferred writes included. */
const committed = (state: SessionState, at: Env, commands: ReadonlyArray<Parameters<typeof decide>[1]>) => {
  const whole = round(state, at, ...commands)
  const dirty = foldDirty(whole.state)
  return toCommit(base, dirty.state, [...dirty.emits, ...whole.emits])
}

describe("the commit of a round", () => {
  it("names its session, fence and basis", () => {
    assert.deepInclude(toCommit({ ...base, retainTerminal: 4 }, fresh, []), {
      ...base,
      runtimeId: fresh.runtimeId,
      sessionId: fresh.sessionId,
      retainTerminal: 4,
      close: false
    })
  })

  it("inserts an input as staged when it is accepted and staged in one round, in any order of emits", () => {
    const { emits, state } = round(attached, env(), take(prompt(1)), staging())
    const dirty = foldDirty(state)
    for (const all of [[...dirty.emits, ...emits], [...emits, ...dirty.emits]]) {
      const commit = toCommit(base, dirty.state, all)
      assert.deepStrictEqual(commit.inputs.map(({ _tag }) => _tag), ["Insert"])
      const [put] = commit.inputs
      assert.strictEqual(put?._tag === "Insert" ? put.record.status.type : "", "staged")
    }
  })

  it("inserts an input as ended when it is accepted and ended in one round", () => {
    const { emits, state } = round(attached, env(), take(prompt(1)), retract(inputId(1)))
    assert.deepStrictEqual(toCommit(base, state, emits).inputs.map(({ _tag }) => _tag), ["InsertTerminal"])
  })

  it("writes the facts of an input once and without its payload", () => {
    const { emits, state } = round(play(attached, take(prompt(1)), staging()), env(), committing(), take(prompt(2)))
    const commit = toCommit(base, state, emits)
    assert.deepStrictEqual(commit.inputs.map(({ _tag }) => _tag), ["Terminal", "Insert"])
    const flushed = foldDirty(play(attached, take(prompt(1)), staging()))
    const [put] = toCommit(base, flushed.state, flushed.emits).inputs
    assert.notProperty(put?._tag === "Update" ? put.facts : { input: 1 }, "input")
  })

  it("writes feed entries with their epoch, and operations with their last status", () => {
    const { emits, state } = round(session, env(), ...started(1), ...finished(2))
    const dirty = foldDirty(state)
    const commit = toCommit(base, dirty.state, [...dirty.emits, ...emits])
    assert.deepStrictEqual(commit.feed.map(({ seq }) => seq), [1])
    assert.strictEqual(commit.epoch?.lastSeq, 1)
    assert.deepStrictEqual(commit.operations.map(({ status }) => status).sort(), ["completed", "running"])
  })

  it("owes nothing more once the deferred writes are folded in", () => {
    const state = after(session, started(1))
    const dirty = foldDirty(state)
    assert.isTrue(isHard(dirty.emits))
    assert.deepStrictEqual(foldDirty(dirty.state), { state: dirty.state, emits: [] })
  })

  it("drops evicted operations, also when nothing else is owed", () => {
    const dropOperations = [opId(1), opId(2)]
    const dirty = foldDirty({ ...session, dirty: { ...session.dirty, dropOperations } })
    assert.deepStrictEqual(toCommit(base, dirty.state, dirty.emits).dropOperations, dropOperations)
    assert.deepStrictEqual(dirty.state.dirty, session.dirty)
  })

  it("writes an operation that is evicted and registered again in one round", () => {
    // The feed keeps unread entries up to four times the limit.
    const few = env(1_000, { maxCompletedOperations: 4, feedRetention: 1 })
    const known = after(session, [...[1, 3, 4, 5].flatMap((n) => finished(n)), ...started(2)], few)
    const commands = [Ops.completeOperation(opId(2), result()), Ops.registerOperation(spec(1))]
    const commit = committed(known, few, commands)
    assert.includeMembers(commit.operations.map(({ spec }) => spec.id), [opId(1), opId(2)])
    assert.deepStrictEqual(commit.dropOperations, [])
  })

  it("does not write an operation that is registered and evicted in one round", () => {
    const few = env(1_000, { maxCompletedOperations: 1 })
    const known = after(session, started(2), few)
    const commit = committed(known, few, [...finished(1), Ops.completeOperation(opId(2), result())])
    assert.deepStrictEqual(commit.operations.map(({ spec }) => spec.id), [opId(2)])
    assert.deepStrictEqual(commit.dropOperations, [opId(1)])
  })

  it("ends the round with a receipt, a body or the end of the incarnation", () => {
    assert.isTrue(endsRound([{ _tag: "Close" }]))
    assert.isFalse(endsRound([{ _tag: "PutLifecycle", state: "idle" }]))
    const { emits } = decide(play(attached, take(prompt(1)), staging()), committing())
    assert.isTrue(endsRound(emits.filter(({ _tag }) => _tag === "PutReceipt")))
  })

  it("is not needed for settlements and events alone", () => {
    const soft: ReadonlyArray<Emit> = [
      { _tag: "Settle", inputId: inputId(1), outcome: { _tag: "Cancelled" } },
      { _tag: "SettleAll", outcome: { _tag: "Cancelled" } },
      { _tag: "Event", event: { _tag: "StateChanged", from: "idle", to: "attached" } }
    ]
    assert.isFalse(isHard(soft))
    assert.isTrue(isHard([{ _tag: "Close" }]))
  })
})
