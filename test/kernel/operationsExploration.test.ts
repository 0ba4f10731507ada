import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as HashMap from "effect/HashMap"
import type { Command, Decision } from "../../src/domain/Command.js"
import type { OperationId } from "../../src/domain/Ids.js"
import type { OperationRecord } from "../../src/domain/Operation.js"
import type { Env, SessionState } from "../../src/domain/SessionState.js"
import { isTerminalStatus, operationRows, statusOfOutcome } from "../../src/kernel/operationRows.js"
import * as Ops from "../../src/kernel/operations.js"
import { decide, env, ofTag, opId, result, session, spec, waitId } from "../support/operations.js"

/*
 * Every state that two operations (a member child and a background one) and two wait-alls can get into, where
 * terminal operations are kept and where only the newest is. Times and sequences are left out of the identity of a state; one progress report counts
 * as many.
 */

const ids = [opId(1), opId(2)]
const peer = { peerName: "p", peerId: "1", address: "a", publicKey: "k" }

/** A command of the alphabet, with its reply reduced to whether it was taken. */
interface Letter {
  readonly name: string
  readonly decide: (state: SessionState, at: Env) => Decision<boolean>
}

const taken = (reply: unknown): boolean => Either.isEither(reply) ? Either.isRight(reply) : reply !== false

const letter = <A>(name: string, command: Command<A>): Letter => ({
  name,
  decide: (state, at) => {
    const decision = decide(state, command, at)
    return { ...decision, reply: taken(decision.reply) }
  }
})

const onOperation = (id: OperationId, n: number): ReadonlyArray<Letter> => [
  letter("register", Ops.registerOperation(spec(n, n === 1 ? { kind: "mob_member_child" } : { owner: "external" }))),
  letter("provisioningSucceeded", Ops.provisioningSucceeded(id)),
  letter("provisioningFailed", Ops.provisioningFailed(id, "x")),
  letter("reportProgress", Ops.reportProgress(id)),
  letter("peerReady", Ops.peerReady(id, peer)),
  letter("complete", Ops.completeOperation(id, result())),
  letter("fail", Ops.failOperation(id, "x")),
  letter("abort", Ops.abortOperation(id)),
  letter("cancel", Ops.cancelOperation(id)),
  letter("requestRetire", Ops.requestRetire(id)),
  letter("markRetired", Ops.markRetired(id))
]

const onWaits = [1, 2].flatMap((n) => [
  ...[[], [ids[0]], [ids[1]], ids, [ids[0], ids[0]]].map((members) =>
    letter(`beginWaitAll ${n}`, Ops.beginWaitAll({ requestId: waitId(n), ids: members.flatMap((id) => id ?? []) }))
  ),
  letter(`cancelWaitAll ${n}`, Ops.cancelWaitAll(waitId(n)))
])

const alphabet: ReadonlyArray<Letter> = [
  ...ids.flatMap((id, i) => onOperation(id, i + 1)),
  ...onWaits,
  letter("terminate", Ops.terminateOwner("x")),
  letter("terminate process-owned", Ops.terminateOwner("x", { onlyProcessOwned: true })),
  letter("collectCompleted", Ops.collectCompleted)
]

const keyOf = ({ dirty, operations: { barrier, completed, records } }: SessionState): string =>
  JSON.stringify([
    ids.map((id) => {
      const record = HashMap.get(records, id)
      return record._tag === "None"
        ? null
        : [record.value.status, record.value.peerReady, record.value.progressCount > 0]
    }),
    completed,
    barrier === null ? null : [barrier.requestId, barrier.members],
    [...dirty.operations].sort(),
    [...dirty.dropOperations].sort()
  ])

const recordsOf = (state: SessionState): ReadonlyArray<OperationRecord> =>
  Array.from(HashMap.values(state.operations.records))

/** P19: counts, outcomes and peers agree with the status. */
const checkRecords = (state: SessionState) => {
  const records = recordsOf(state)
  const terminal = records.filter(({ status }) => isTerminalStatus(status))
  assert.sameMembers([...state.operations.completed], terminal.map((record) => record.spec.id))
  for (const record of records) {
    const ended = isTerminalStatus(record.status)
    assert.strictEqual(record.outcome !== undefined, ended)
    assert.strictEqual(record.completionSeq !== undefined, ended)
    assert.strictEqual(record.completedAt !== undefined, ended)
    if (record.outcome !== undefined) assert.strictEqual(statusOfOutcome(record.outcome), record.status)
    assert.strictEqual(record.peer !== undefined, record.peerReady)
    if (record.peerReady) assert.strictEqual(record.spec.kind, "mob_member_child")
  }
  for (const id of state.dirty.operations) assert.isTrue(HashMap.has(state.operations.records, id))
  for (const id of state.dirty.dropOperations) assert.isFalse(HashMap.has(state.operations.records, id))
}

/** P20: a barrier waits for something, all its members are known, and it has exactly the outcomes that are there. */
const checkBarrier = ({ operations }: SessionState) => {
  const { barrier, records } = operations
  if (barrier === null) return
  assert.isAbove(barrier.members.length, 0)
  assert.isBelow(HashMap.size(barrier.outcomes), barrier.members.length)
  for (const id of barrier.members) {
    const record = HashMap.unsafeGet(records, id)
    assert.strictEqual(HashMap.has(barrier.outcomes, id), isTerminalStatus(record.status))
  }
}

const checkFeed = ({ operations: { completed, epoch, feed } }: SessionState) => {
  assert.deepStrictEqual(feed.map(({ seq }) => seq), feed.map((_, i) => epoch.droppedThrough + 1 + i))
  assert.strictEqual(epoch.droppedThrough + feed.length, epoch.lastSeq)
  const { agentApplied, injected, observed } = epoch.cursors
  assert.isTrue(Math.max(agentApplied, injected, observed) <= epoch.lastSeq && injected <= observed)
  assert.isAtMost(completed.length, 2)
}

/** Whatever changed is dirty or put; a refusal changes nothing; an end is told of once (P14, P30). */
const checkStep = (before: SessionState, { emits, reply, state }: Decision<boolean>) => {
  if (!reply) {
    assert.strictEqual(state, before)
    assert.deepStrictEqual(emits, [])
  }
  const put = new Map(ofTag(emits, "PutOperation").map(({ record }) => [record.spec.id, record]))
  const drops = [...ofTag(emits, "DropOperation").map((emit) => emit.id), ...state.dirty.dropOperations]
  for (const id of ids) {
    const [old, now] = [Ops.getOperation(before, id), Ops.getOperation(state, id)]
    if (old === now) continue
    if (now === null) assert.include(drops, id)
    else if (isTerminalStatus(now.status)) assert.strictEqual(put.get(id), now)
    else assert.include(state.dirty.operations, id)
    if (now !== null && old !== null) assert.isFalse(isTerminalStatus(old.status), "a terminal record changed")
  }
  const entries = ofTag(emits, "PutFeed").map(({ entry }) => entry)
  const from = before.operations.epoch.lastSeq
  assert.deepStrictEqual(entries.map(({ seq }) => seq), entries.map((_, i) => from + 1 + i))
  assert.strictEqual(state.operations.epoch.lastSeq, from + entries.length)
  assert.deepStrictEqual(ofTag(emits, "SettleOperation").map((emit) => emit.id), entries.map((e) => e.operationId))
  if (entries.length > 0) assert.deepStrictEqual(ofTag(emits, "PutEpoch")[0]?.epoch, state.operations.epoch)
  const satisfied = ofTag(emits, "BarrierSatisfied")[0]
  if (satisfied !== undefined) {
    assert.deepStrictEqual(satisfied.outcomes.map(([id]) => id), [...(before.operations.barrier?.members ?? [])])
    assert.strictEqual(state.operations.barrier, null)
  }
}

const explore = (at: Env) => {
  const seen = new Set([keyOf(session)])
  const fired = new Set<string>()
  let frontier: ReadonlyArray<SessionState> = [session]
  let steps = 0
  while (frontier.length > 0) {
    const next: Array<SessionState> = []
    for (const state of frontier) {
      for (const { decide, name } of alphabet) {
        const decision = decide(state, at)
        steps++
        if (decision.reply) fired.add(name)
        checkStep(state, decision)
        const key = keyOf(decision.state)
        if (seen.has(key)) continue
        seen.add(key)
        checkRecords(decision.state)
        checkBarrier(decision.state)
        checkFeed(decision.state)
        next.push(decision.state)
      }
    }
    frontier = next
  }
  return { states: seen.size, steps, fired }
}

describe("two operations and two wait-alls", () => {
  for (const [maxCompletedOperations, size] of [[1, 1_487], [2, 1_949]] as const) {
    it(`no state breaks an invariant and every row fires, with ${maxCompletedOperations} kept`, () => {
      const limits = { maxCompletedOperations, maxConcurrentOperations: 2, feedRetention: 2 }
      const { fired, states, steps } = explore(env(1, limits))
      for (const row of operationRows) assert.isTrue(fired.has(row.on), row.id)
      for (const { name } of alphabet) assert.isTrue(fired.has(name), name)
      assert.deepStrictEqual({ states, steps }, { states: size, steps: size * alphabet.length })
    })
  }
})
