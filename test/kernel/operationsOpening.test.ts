/** Opening the operations of a session: recovery of the stored rows, and the contradictions it reports. */
import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as HashMap from "effect/HashMap"
import { EpochId } from "../../src/domain/Ids.js"
import type { OperationRecord } from "../../src/domain/Operation.js"
import type { EpochFacts } from "../../src/domain/RuntimeCommit.js"
import type { SessionState } from "../../src/domain/SessionState.js"
import * as Ops from "../../src/kernel/operations.js"
import type { OperationsImage } from "../../src/kernel/operationsOpening.js"
import { openOperations } from "../../src/kernel/operationsOpening.js"
import { endOfFold } from "../../src/kernel/wake.js"
import { after, env, epochId, finished, ofTag, opId, session, spec, started, waitId } from "../support/operations.js"

const fresh = EpochId.make("e0000000-0000-7000-8000-000000000002")

const imageOf = (state: SessionState): OperationsImage => ({
  epoch: state.operations.epoch,
  operations: Array.from(HashMap.values(state.operations.records)),
  feed: state.operations.feed
})

const open = (image: OperationsImage) => Either.getOrThrow(openOperations(image, fresh, env(9_000)))

const full = after(session, [
  ...finished(2),
  ...finished(1),
  ...started(3),
  Ops.registerOperation(spec(4)),
  ...started(5, { owner: "external" }),
  Ops.beginWaitAll({ requestId: waitId(1), ids: [opId(5)] })
])

describe("opening operations", () => {
  it("creates and stores an epoch for a session without one", () => {
    const { emits, operations } = open({ epoch: null, operations: [], feed: [] })
    assert.strictEqual(operations.epoch.epochId, fresh)
    assert.deepStrictEqual(emits, [{ _tag: "PutEpoch", epoch: operations.epoch }])
  })

  it("adopts the stored rows, and writes nothing when nothing changed", () => {
    const state = after(session, [...finished(2), ...finished(1), ...started(5, { owner: "external" })])
    const { emits, operations } = open(imageOf(state))
    assert.deepStrictEqual(emits, [])
    assert.strictEqual(operations.epoch, state.operations.epoch)
    assert.deepStrictEqual(operations.completed, [opId(2), opId(1)])
    assert.deepStrictEqual(operations.feed, state.operations.feed)
    const next = after({ ...state, operations }, [Ops.cancelOperation(opId(5))])
    assert.strictEqual(next.operations.epoch.lastSeq, 3)
  })

  it("OPS-28 ends operations of the last process with new sequences, and keeps external ones", () => {
    const { emits, operations } = open(imageOf(full))
    assert.deepStrictEqual(
      ofTag(emits, "PutFeed").map(({ entry }) => ({ seq: entry.seq, id: entry.operationId, outcome: entry.outcome })),
      [3, 4].map((n) => ({
        seq: n,
        id: opId(n),
        outcome: { _tag: "Terminated" as const, reason: "runtime restarted" }
      }))
    )
    assert.deepStrictEqual(ofTag(emits, "PutOperation").map(({ record }) => record.completedAt), [9_000, 9_000])
    assert.strictEqual(ofTag(emits, "PutEpoch")[0]?.epoch.lastSeq, 4)
    assert.strictEqual(operations.epoch.epochId, epochId)
    assert.strictEqual(operations.barrier, null)
    const state = { ...session, operations }
    assert.strictEqual(Ops.getOperation(state, opId(5))?.status, "running")
    assert.strictEqual(ofTag(endOfFold(state, env()).emits, "InsertInput").length, 1)
    const again = open(imageOf(state))
    assert.deepStrictEqual(again.emits, [])
  })

  it("ignores dropped feed rows that the store has not deleted yet", () => {
    const image = imageOf(after(session, [1, 2, 3].flatMap((n) => finished(n))))
    const epoch = image.epoch === null ? null : { ...image.epoch, droppedThrough: 2 }
    assert.deepStrictEqual(open({ ...image, epoch }).operations.feed.map(({ seq }) => seq), [3])
  })
})

describe("stored operations that contradict themselves", () => {
  const image = imageOf(after(session, [...finished(1), ...finished(2), ...started(3)]))
  const withEpoch = (some: Partial<EpochFacts>): OperationsImage => ({
    ...image,
    epoch: image.epoch === null ? null : { ...image.epoch, ...some }
  })
  const withRecord = (n: number, change: (record: OperationRecord) => OperationRecord): OperationsImage => ({
    ...image,
    operations: image.operations.map((record) => record.spec.id === opId(n) ? change(record) : record)
  })
  const withoutOutcome = ({ outcome: _gone, ...rest }: OperationRecord): OperationRecord => rest
  const withoutSequence = ({ completionSeq: _gone, ...rest }: OperationRecord): OperationRecord => rest
  const cursors = { agentApplied: 0, observed: 2, injected: 0 }

  const cases: ReadonlyArray<readonly [name: string, image: OperationsImage, table: string, reason: RegExp]> = [
    ["an operation without epoch", { ...image, epoch: null }, "operation", /no epoch/],
    ["a feed without epoch", { ...image, epoch: null, operations: [] }, "feed", /no epoch/],
    ["a retired epoch", withEpoch({ retired: true }), "epoch", /retired/],
    ["dropped beyond the end", withEpoch({ droppedThrough: 3 }), "epoch", /dropped/],
    ["agentApplied beyond the end", withEpoch({ cursors: { ...cursors, agentApplied: 3 } }), "epoch", /cursor/],
    ["observed beyond the end", withEpoch({ cursors: { ...cursors, observed: 3 } }), "epoch", /cursor/],
    ["injected ahead of observed", withEpoch({ cursors: { ...cursors, observed: 1, injected: 2 } }), "epoch", /ahead/],
    ["a hole in the feed", { ...image, feed: image.feed.slice(1) }, "feed", /entry 1 was expected/],
    ["a feed that ends early", { ...image, feed: image.feed.slice(0, 1) }, "feed", /ends here/],
    ["an entry twice", { ...image, feed: image.feed.flatMap((entry) => [entry, entry]) }, "feed", /expected/],
    ["no outcome", withRecord(1, withoutOutcome), "operation", /no outcome/],
    ["no sequence", withRecord(1, withoutSequence), "operation", /no sequence/],
    ["another outcome", withRecord(1, (r) => ({ ...r, outcome: { _tag: "Retired" } })), "operation", /is Retired/],
    ["a live one with an outcome", withRecord(1, (r) => ({ ...r, status: "running" })), "operation", /but has an/],
    ["a sequence outside", withRecord(1, (r) => ({ ...r, completionSeq: 3 })), "operation", /outside/],
    ["a sequence twice", withRecord(2, (r) => ({ ...r, completionSeq: 1 })), "operation", /sequence 1 is/],
    ["a sequence of another", withRecord(1, (r) => ({ ...r, completionSeq: 2 })), "operation", /sequence 2 is/]
  ]
  for (const [name, bad, table, reason] of cases) {
    it(name, () => {
      const corruption = Either.flip(openOperations(bad, fresh, env())).pipe(Either.getOrNull)
      assert.strictEqual(corruption?.table, table)
      assert.match(corruption?.reason ?? "", reason)
    })
  }
  it("the unchanged image opens", () => assert.isTrue(Either.isRight(openOperations(image, fresh, env()))))
})
