/** Operations as pure decisions: their table, retention, the barrier of waitAll, and the feed. */
import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as HashMap from "effect/HashMap"
import type { Command } from "../../src/domain/Command.js"
import type { OperationError } from "../../src/domain/Errors.js"
import type { OperationPeer, OperationStatus } from "../../src/domain/Operation.js"
import { destroyed } from "../../src/domain/RuntimeState.js"
import type { SessionState } from "../../src/domain/SessionState.js"
import { listSince } from "../../src/kernel/feed.js"
import type { OperationAction } from "../../src/kernel/operationRows.js"
import { isTerminalStatus, operationRows } from "../../src/kernel/operationRows.js"
import * as Ops from "../../src/kernel/operations.js"
import {
  after,
  decide,
  env,
  finished,
  ofTag,
  opId,
  result,
  session,
  spec,
  started,
  waitId
} from "../support/operations.js"

const peer: OperationPeer = { peerName: "p", peerId: "1", address: "a", publicKey: "k" }
const child = { kind: "mob_member_child" } as const
const id = opId(1)

const statuses: Record<OperationStatus, SessionState> = {
  provisioning: after(session, [Ops.registerOperation(spec(1, child))]),
  running: after(session, started(1, child)),
  retiring: after(session, [...started(1, child), Ops.requestRetire(id)]),
  completed: after(session, finished(1, child)),
  failed: after(session, [...started(1, child), Ops.failOperation(id, "x")]),
  aborted: after(session, [Ops.registerOperation(spec(1, child)), Ops.abortOperation(id)]),
  cancelled: after(session, [...started(1, child), Ops.cancelOperation(id, "enough")]),
  retired: after(session, [...started(1, child), Ops.markRetired(id)]),
  terminated: decide(after(session, started(1, child)), Ops.terminateOwner("gone")).state
}

const actions: Record<Exclude<OperationAction, "register" | "terminate">, Command<Ops.OperationReply>> = {
  provisioningSucceeded: Ops.provisioningSucceeded(id),
  provisioningFailed: Ops.provisioningFailed(id, "no"),
  reportProgress: Ops.reportProgress(id),
  peerReady: Ops.peerReady(id, peer),
  complete: Ops.completeOperation(id, result()),
  fail: Ops.failOperation(id, "no"),
  abort: Ops.abortOperation(id, "no"),
  cancel: Ops.cancelOperation(id),
  requestRetire: Ops.requestRetire(id),
  markRetired: Ops.markRetired(id)
}

const statusOf = (state: SessionState) => Ops.getOperation(state, id)?.status

const refusal = (state: SessionState, command: Command<Either.Either<unknown, OperationError>>, at = env()) => {
  const decision = decide(state, command, at)
  assert.strictEqual(decision.state, state)
  assert.deepStrictEqual(decision.emits, [])
  return Either.match(decision.reply, { onLeft: (error) => error, onRight: () => null })
}

describe("one operation", () => {
  for (const [status, state] of Object.entries(statuses)) {
    it(`the fixture of ${status} is ${status}`, () => assert.strictEqual(statusOf(state), status))

    for (const [on, command] of Object.entries(actions)) {
      const row = operationRows.find((row) => row.on === on)
      const allowed = row?.from.some((from) => from === status) === true
      it(`OPS-01 ${on} of a ${status} operation is ${allowed ? "accepted" : "refused"}`, () => {
        if (allowed) {
          const next = decide(state, command).state
          assert.strictEqual(statusOf(next), row?.to === "same" ? status : row?.to)
        } else {
          const error = refusal(state, command)
          assert.deepInclude(error, { _tag: "OpInvalidTransition", id, status, action: on })
        }
      })
    }
  }

  it("OPS-02 an id is registered once while its record is kept, whatever its status", () => {
    for (const state of Object.values(statuses)) {
      assert.deepInclude(refusal(state, Ops.registerOperation(spec(1))), { _tag: "OpAlreadyRegistered", id })
    }
  })

  it("OPS-03 every action on an unknown id is refused", () => {
    for (const command of Object.values(actions)) {
      assert.deepInclude(refusal(session, command), { _tag: "OpNotFound", id })
    }
  })

  it("OPS-04 the limit counts operations that have not ended, provisioning included", () => {
    const at = env(1, { maxConcurrentOperations: 2 })
    const two = after(session, [...started(1), Ops.registerOperation(spec(2))], at)
    assert.deepInclude(refusal(two, Ops.registerOperation(spec(3)), at), {
      _tag: "OpMaxConcurrentExceeded",
      limit: 2,
      active: 2
    })
    after(two, [Ops.completeOperation(opId(1), result()), Ops.registerOperation(spec(3))], at)
    after(session, Array.from({ length: 50 }, (_, n) => Ops.registerOperation(spec(n))))
  })

  it("a peer is refused by kind first, then as a second peer, then by status", () => {
    const background = after(session, [Ops.registerOperation(spec(1))])
    assert.deepInclude(refusal(background, actions.peerReady), { _tag: "OpPeerNotExpected" })
    const ready = after(statuses.running, [actions.peerReady])
    assert.deepInclude(refusal(ready, actions.peerReady), { _tag: "OpAlreadyPeerReady" })
    assert.deepInclude(refusal(after(ready, [actions.complete]), actions.peerReady), { _tag: "OpAlreadyPeerReady" })
    assert.deepInclude(refusal(statuses.provisioning, actions.peerReady), { _tag: "OpInvalidTransition" })
    assert.deepStrictEqual(Ops.getOperation(ready, id)?.peer, peer)
  })

  it("a change before the end is a deferred write; an end is committed at once and clears it", () => {
    const registered = decide(session, Ops.registerOperation(spec(1)))
    assert.deepStrictEqual(registered.emits.map((emit) => emit._tag), ["Event"])
    const running = after(registered.state, [Ops.provisioningSucceeded(id), Ops.reportProgress(id)])
    assert.deepStrictEqual(running.dirty.operations, [id])
    const ended = decide(running, Ops.completeOperation(id, result()))
    assert.deepStrictEqual(ended.emits.map((emit) => emit._tag), [
      "PutOperation",
      "PutFeed",
      "PutEpoch",
      "SettleOperation",
      "Event"
    ])
    assert.deepStrictEqual(ended.state.dirty.operations, [])
  })

  it("a change of status emits an event with any outcome, progress emits none", () => {
    const events = (state: SessionState, command: Command<unknown>) =>
      ofTag(decide(state, command).emits, "Event").map(({ event }) => event)
    const changed = { _tag: "OperationChanged", operationId: id } as const
    assert.deepStrictEqual(events(statuses.provisioning, actions.provisioningSucceeded), [
      { ...changed, status: "running" }
    ])
    assert.deepStrictEqual(events(statuses.running, actions.reportProgress), [])
    assert.deepStrictEqual(events(statuses.running, actions.complete), [
      { ...changed, status: "completed", outcome: { _tag: "Completed", result: result() } }
    ])
  })

  it("an operation that starts at once emits the events of both steps", () => {
    const events = ofTag(decide(session, Ops.startOperation(spec(1))).emits, "Event").map(({ event }) => event)
    const changed = { _tag: "OperationChanged", operationId: id } as const
    assert.deepStrictEqual(events, [{ ...changed, status: "provisioning" }, { ...changed, status: "running" }])
  })

  it("OPS-08 watchers are told the end once", () => {
    const { emits } = decide(statuses.running, Ops.completeOperation(id, result("42")))
    assert.deepStrictEqual(ofTag(emits, "SettleOperation"), [
      { _tag: "SettleOperation", id, outcome: { _tag: "Completed", result: result("42") } }
    ])
  })

  it("the times of a record stay in order when the clock is set back", () => {
    const early = env(10)
    const state = after(after(session, [Ops.registerOperation(spec(1))], env(500)), [
      Ops.provisioningSucceeded(id),
      Ops.completeOperation(id, result())
    ], early)
    assert.deepInclude(Ops.getOperation(state, id), { createdAt: 500, startedAt: 500, completedAt: 500 })
  })

  it("a destroyed session and a retired epoch refuse every action; a draining session refuses new operations", () => {
    const closed: ReadonlyArray<SessionState> = [
      { ...statuses.running, lifecycle: destroyed },
      Ops.retireEpoch(statuses.running).state
    ]
    for (const state of closed) {
      for (const command of [...Object.values(actions), Ops.beginWaitAll({ requestId: waitId(1), ids: [id] })]) {
        assert.deepInclude(refusal(state, command), { _tag: "OpOwnerRetired" })
      }
    }
    const draining: SessionState = { ...statuses.running, registration: { _tag: "Draining", token: null } }
    assert.deepInclude(refusal(draining, Ops.registerOperation(spec(2))), { _tag: "OpOwnerRetired" })
    after(draining, [actions.complete])
  })
})

describe("many operations", () => {
  it("OPS-11 terminateOwner ends live operations in one commit, and spares external ones on unregister", () => {
    const state = after(session, [
      ...finished(1),
      ...started(2),
      Ops.registerOperation(spec(3, { owner: "external" }))
    ])
    const all = decide(state, Ops.terminateOwner("runtime destroyed"))
    assert.deepStrictEqual(all.reply, [opId(2), opId(3)])
    assert.strictEqual(ofTag(all.emits, "PutEpoch").length, 1)
    assert.deepStrictEqual(ofTag(all.emits, "PutFeed").map(({ entry }) => entry.seq), [2, 3])
    const own = decide(state, Ops.terminateOwner("runtime session unregistered", { onlyProcessOwned: true }))
    assert.deepStrictEqual(own.reply, [opId(2)])
    assert.strictEqual(Ops.getOperation(own.state, opId(3))?.status, "provisioning")
    const again = decide(all.state, Ops.terminateOwner("twice"))
    assert.strictEqual(again.state, all.state)
    assert.deepStrictEqual(again.emits, [])
  })

  it("OPS-12 the oldest ended operation is evicted, its feed entry stays", () => {
    const at = env(1, { maxCompletedOperations: 2 })
    const two = after(session, [...finished(1), ...finished(2), ...started(3)], at)
    const third = decide(two, Ops.completeOperation(opId(3), result()), at)
    assert.deepStrictEqual(third.state.operations.completed, [opId(2), opId(3)])
    assert.strictEqual(Ops.getOperation(third.state, opId(1)), null)
    assert.deepStrictEqual(ofTag(third.emits, "DropOperation"), [{ _tag: "DropOperation", id: opId(1) }])
    assert.strictEqual(third.state.operations.feed.length, 3)
    // An id names one operation in the feed, so it is free again once its entry is gone.
    const early = decide(third.state, Ops.registerOperation(spec(1)), at).reply
    assert.isTrue(Either.isLeft(early) && early.left._tag === "OpAlreadyRegistered")
    const brief = env(1, { maxCompletedOperations: 2, feedRetention: 1 })
    const later = after(third.state, [...finished(4), ...finished(5)], brief)
    assert.strictEqual(later.operations.epoch.droppedThrough, 1)
    after(later, [Ops.registerOperation(spec(1))], brief)
  })

  it("an end that retention evicts at once is dropped instead of stored", () => {
    const at = env(1, { maxCompletedOperations: 1 })
    const live = after(session, [...started(1), ...started(2), ...started(3)], at)
    const { emits, state } = decide(live, Ops.terminateOwner("x"), at)
    assert.deepStrictEqual(ofTag(emits, "PutOperation").map(({ record }) => record.spec.id), [opId(3)])
    assert.deepStrictEqual(ofTag(emits, "DropOperation").map((emit) => emit.id), [opId(1), opId(2)])
    assert.strictEqual(ofTag(emits, "SettleOperation").length, 3)
    assert.deepStrictEqual(state.dirty.operations, [])
  })

  it("a limit of 0 keeps one operation", () => {
    const at = env(1, { maxCompletedOperations: 0 })
    assert.deepStrictEqual(after(session, finished(1), at).operations.completed, [id])
  })

  it("OPS-13 collectCompleted returns ended operations once, in order of their ends", () => {
    const state = after(session, [...finished(2), ...finished(1), ...started(3)])
    const first = decide(state, Ops.collectCompleted)
    assert.deepStrictEqual(first.reply.map(([collected]) => collected), [opId(2), opId(1)])
    assert.deepStrictEqual(first.state.dirty.dropOperations, [opId(2), opId(1)])
    assert.deepStrictEqual(first.emits, [])
    assert.strictEqual(first.state.operations.feed.length, 2)
    const second = decide(first.state, Ops.collectCompleted)
    assert.deepStrictEqual(second.reply, [])
    assert.strictEqual(second.state, first.state)
    const unfed = { ...first.state, operations: { ...first.state.operations, feed: [] } }
    const again = after(unfed, [Ops.registerOperation(spec(1))])
    assert.deepStrictEqual(again.dirty.dropOperations, [opId(2)])
  })

  it("lists by display name, and by id where names are equal", () => {
    const state = after(
      session,
      [[1, "b"], [3, "a"], [2, "a"]].flatMap(([n, displayName]) =>
        started(Number(n), { displayName: String(displayName) })
      )
    )
    assert.deepStrictEqual(Ops.listOperations(state).map(({ spec }) => spec.id), [2, 3, 1].map(opId))
  })

  it("lists by display name", () => {
    const named = after(session, [3, 1, 2].map((n) => Ops.registerOperation(spec(n))))
    assert.deepStrictEqual(Ops.listOperations(named).map((record) => record.spec.displayName), ["op 1", "op 2", "op 3"])
  })
})

describe("wait-all", () => {
  const [a, b, c] = [opId(1), opId(2), opId(3)]
  const asked = { requestId: waitId(1), ids: [c, a, b] }
  const live = after(session, [...started(1), ...started(2), ...started(3)])

  it("OPS-14 outcomes come in the order of the request, whatever the order of the ends", () => {
    const waiting = decide(live, Ops.beginWaitAll(asked))
    assert.deepStrictEqual(Either.getOrNull(waiting.reply), {
      _tag: "Waiting",
      requestId: waitId(1),
      pending: [c, a, b],
      outcomes: []
    })
    const two = after(waiting.state, [Ops.completeOperation(b, result("b")), Ops.failOperation(c, "c")])
    const last = decide(two, Ops.cancelOperation(a))
    assert.deepStrictEqual(ofTag(last.emits, "BarrierSatisfied"), [{
      _tag: "BarrierSatisfied",
      requestId: waitId(1),
      outcomes: [
        [c, { _tag: "Failed", error: "c" }],
        [a, { _tag: "Cancelled" }],
        [b, { _tag: "Completed", result: result("b") }]
      ]
    }])
    assert.strictEqual(last.state.operations.barrier, null)
  })

  it("sets no barrier when every member has ended, or without members", () => {
    const done = after(live, [1, 2, 3].map((n) => Ops.completeOperation(opId(n), result())))
    for (const ids of [[c, a, b], []]) {
      const { reply, state } = decide(done, Ops.beginWaitAll({ requestId: waitId(1), ids }))
      assert.strictEqual(state, done)
      assert.deepInclude(Either.getOrNull(reply), { _tag: "Satisfied", requestId: waitId(1) })
    }
  })

  it("OPS-16 an unknown member, a repeated member and a second barrier are refused", () => {
    const unknown = refusal(live, Ops.beginWaitAll({ requestId: waitId(1), ids: [a, opId(9)] }))
    assert.deepInclude(unknown, { _tag: "OpNotFound", id: opId(9) })
    const waiting = decide(live, Ops.beginWaitAll(asked)).state
    assert.deepInclude(refusal(waiting, Ops.beginWaitAll({ requestId: waitId(2), ids: [opId(9)] })), {
      _tag: "OpWaitAlreadyActive"
    })
    assert.deepInclude(refusal(waiting, Ops.beginWaitAll({ requestId: waitId(2), ids: [a, a] })), {
      _tag: "OpDuplicateWait",
      id: a
    })
  })

  it("OPS-19 a cancelled barrier makes room for the next, and cancelling is idempotent", () => {
    const waiting = decide(live, Ops.beginWaitAll(asked)).state
    assert.isFalse(decide(waiting, Ops.cancelWaitAll(waitId(2))).reply)
    const cancelled = decide(waiting, Ops.cancelWaitAll(waitId(1)))
    assert.isTrue(cancelled.reply)
    assert.isFalse(decide(cancelled.state, Ops.cancelWaitAll(waitId(1))).reply)
    after(cancelled.state, [Ops.beginWaitAll({ requestId: waitId(2), ids: [a] })])
  })

  it("a barrier pins its ended members against retention and collection", () => {
    const at = env(1, { maxCompletedOperations: 1 })
    const waiting = after(session, [
      ...started(1),
      ...started(2),
      Ops.beginWaitAll({ requestId: waitId(1), ids: [a, b] }),
      Ops.completeOperation(a, result("a")),
      ...finished(3),
      ...finished(4)
    ], at)
    assert.deepStrictEqual(waiting.operations.completed, [a])
    assert.deepStrictEqual(decide(waiting, Ops.collectCompleted, at).reply, [])
    const last = decide(waiting, Ops.completeOperation(b, result("b")), at)
    assert.strictEqual(ofTag(last.emits, "BarrierSatisfied")[0]?.outcomes.length, 2)
    assert.deepStrictEqual(last.state.operations.completed, [b])
    const cancelled = decide(waiting, Ops.cancelWaitAll(waitId(1)), at)
    assert.deepStrictEqual(cancelled.state.operations.completed, [a])
  })

  it("a cancelled barrier releases the members it pinned beyond the limit", () => {
    const at = env(1, { maxCompletedOperations: 1 })
    const waiting = after(live, [
      Ops.beginWaitAll(asked),
      Ops.completeOperation(a, result()),
      Ops.completeOperation(b, result())
    ], at)
    assert.deepStrictEqual(waiting.operations.completed, [a, b])
    const cancelled = decide(waiting, Ops.cancelWaitAll(waitId(1)), at).state
    assert.deepStrictEqual(cancelled.operations.completed, [b])
    assert.deepStrictEqual(cancelled.dirty.dropOperations, [a])
  })

  it("terminateOwner satisfies a barrier in the same commit", () => {
    const waiting = decide(live, Ops.beginWaitAll(asked)).state
    const { emits } = decide(waiting, Ops.terminateOwner("gone"))
    assert.strictEqual(ofTag(emits, "BarrierSatisfied")[0]?.outcomes.length, 3)
  })
})

describe("the feed", () => {
  const six = after(session, [1, 2, 3, 4, 5, 6].flatMap((n) => finished(n)))

  it("FEED-01 numbers entries from 1 without a gap, whatever the end", () => {
    const state = after(session, [
      ...finished(1),
      ...started(2, child),
      Ops.failOperation(opId(2), "x"),
      Ops.registerOperation(spec(3)),
      Ops.abortOperation(opId(3))
    ])
    const batch = listSince(state, 0)
    assert.deepStrictEqual(
      batch.entries.map(({ kind, outcome, seq }) => [seq, kind, outcome._tag]),
      [[1, "background_tool_op", "Completed"], [2, "mob_member_child", "Failed"], [3, "background_tool_op", "Aborted"]]
    )
    assert.strictEqual(batch.watermark, 3)
    assert.strictEqual(batch.gap, null)
  })

  it("FEED-02 lists the entries after the cursor", () => {
    for (let k = 0; k <= 7; k++) {
      assert.deepStrictEqual(
        listSince(six, k).entries.map(({ seq }) => seq),
        [1, 2, 3, 4, 5, 6].filter((seq) => seq > k)
      )
    }
  })

  it("drops entries behind both cursors first, others only far beyond the limit, and reports the gap", () => {
    const at = env(1, { feedRetention: 2 })
    const unread = after(session, [1, 2, 3, 4, 5, 6, 7, 8].flatMap((n) => finished(n)), at)
    assert.strictEqual(unread.operations.epoch.droppedThrough, 0)
    const overflow = after(unread, finished(9), at)
    assert.strictEqual(overflow.operations.epoch.droppedThrough, 1)
    assert.deepStrictEqual(listSince(overflow, 0).gap, { requestedAfter: 0, droppedThrough: 1, watermark: 9 })
    assert.strictEqual(listSince(overflow, 0).entries[0]?.seq, 2)
    assert.strictEqual(listSince(overflow, 1).gap, null)

    const seen: SessionState = {
      ...unread,
      operations: {
        ...unread.operations,
        epoch: { ...unread.operations.epoch, cursors: { agentApplied: 7, observed: 8, injected: 8 } }
      }
    }
    const trimmed = after(seen, finished(9), at).operations
    assert.strictEqual(trimmed.epoch.droppedThrough, 7)
    assert.deepStrictEqual(trimmed.feed.map(({ seq }) => seq), [8, 9])
  })

  it("keeps the records in a map of their own", () => assert.strictEqual(HashMap.size(six.operations.records), 6))
})

describe("the table of operations", () => {
  it("has one row per action, named guards, and no row from a terminal status", () => {
    assert.strictEqual(new Set(operationRows.map((row) => row.on)).size, operationRows.length)
    for (const row of operationRows) {
      assert.isTrue(row.from.every((from) => from === "absent" || !isTerminalStatus(from)), row.id)
      assert.isTrue(row.guards.every((guard) => guard.name.length > 0))
    }
  })
})
