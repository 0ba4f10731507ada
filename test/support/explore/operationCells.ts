/** The exploration of two operations and two wait-alls: every row of the table of operations, in every status. */
import * as Either from "effect/Either"
import * as HashMap from "effect/HashMap"
import type { Command, Emit } from "../../../src/domain/Command.js"
import type { OperationId } from "../../../src/domain/Ids.js"
import type { KernelLimits, SessionState } from "../../../src/domain/SessionState.js"
import { invariants } from "../../../src/kernel/invariants.js"
import { when } from "../../../src/kernel/invariants/invariant.js"
import { isTerminalStatus } from "../../../src/kernel/operationRows.js"
import * as Ops from "../../../src/kernel/operations.js"
import { env, limits as defaults, ofTag, opId, result, session, spec, waitId } from "../operations.js"
import type { Made, Move, Refusal, Slice, StatePredicate, StepPredicate } from "./engine.js"

/** What a command did to the operations. */
export interface Done {
  readonly emits: ReadonlyArray<Emit>
  /** the refusal of a command that still changed or emitted something */
  readonly refusal: string | null
}

type OperationMove = Move<SessionState, Done>

const ids = [opId(1), opId(2)]
const peer = { peerName: "p", peerId: "1", address: "a", publicKey: "k" }

/** A refusal is a reply here and must change nothing, which is checked as the move is made (P30). */
const refusalOf = (reply: unknown): string | null =>
  reply === false
    ? "nothing to cancel"
    : Either.isEither(reply) && Either.isLeft(reply)
    ? tagOf(reply.left)
    : null

const tagOf = (error: unknown): string =>
  typeof error === "object" && error !== null && "_tag" in error ? String(error._tag) : "refused"

const moving = (limits: KernelLimits) => (name: string, command: Command<unknown>): OperationMove => ({
  name,
  kind: "client",
  make: (state): Either.Either<Made<SessionState, Done>, Refusal> => {
    const decision = command.decide(state, env(1, limits))
    if (Either.isLeft(decision)) return Either.left({ reasons: [decision.left._tag] })
    const { emits, reply, state: node } = decision.right
    const refusal = refusalOf(reply)
    if (refusal !== null && node === state && emits.length === 0) return Either.left({ reasons: [refusal] })
    return Either.right({ node, made: { emits, refusal }, rows: rowsOf(command.name, emits) })
  }
})

/** A command about one operation has the name of its row. */
const rowsOf = (name: string, emits: ReadonlyArray<Emit>): ReadonlyArray<string> => [
  ...(name.startsWith("operation.") ? [name] : []),
  ...(ofTag(emits, "PutFeed").some(({ entry }) => entry.outcome._tag === "Terminated") ? ["operation.terminate"] : [])
]

const onOperation = (move: ReturnType<typeof moving>, id: OperationId, n: number): ReadonlyArray<OperationMove> => {
  const kind = spec(n, n === 1 ? { kind: "mob_member_child" } : { owner: "external" })
  return [
    move(`register ${n}`, Ops.registerOperation(kind)),
    move(`provisioningSucceeded ${n}`, Ops.provisioningSucceeded(id)),
    move(`provisioningFailed ${n}`, Ops.provisioningFailed(id, "x")),
    move(`reportProgress ${n}`, Ops.reportProgress(id)),
    move(`peerReady ${n}`, Ops.peerReady(id, peer)),
    move(`complete ${n}`, Ops.completeOperation(id, result())),
    move(`fail ${n}`, Ops.failOperation(id, "x")),
    move(`abort ${n}`, Ops.abortOperation(id)),
    move(`cancel ${n}`, Ops.cancelOperation(id)),
    move(`requestRetire ${n}`, Ops.requestRetire(id)),
    move(`markRetired ${n}`, Ops.markRetired(id))
  ]
}

const members: ReadonlyArray<ReadonlyArray<OperationId>> = [
  [],
  [opId(1)],
  [opId(2)],
  ids,
  [opId(1), opId(1)]
]

const alphabet = (limits: KernelLimits): ReadonlyArray<OperationMove> => {
  const move = moving(limits)
  return [
    ...ids.flatMap((id, at) => onOperation(move, id, at + 1)),
    ...[1, 2].flatMap((n) => [
      ...members.map((some) =>
        move(`beginWaitAll ${n} of ${some.length}`, Ops.beginWaitAll({ requestId: waitId(n), ids: some }))
      ),
      move(`cancelWaitAll ${n}`, Ops.cancelWaitAll(waitId(n)))
    ]),
    move("terminate", Ops.terminateOwner("x")),
    move("terminate process-owned", Ops.terminateOwner("x", { onlyProcessOwned: true })),
    move("collectCompleted", Ops.collectCompleted)
  ]
}

/** Times and sequences are left out. One progress report stands for any number. */
const keyOf = ({ dirty, operations: { barrier, completed, feed, records } }: SessionState): string =>
  JSON.stringify([
    ids.map((id) => {
      const record = HashMap.get(records, id)
      return record._tag === "None"
        ? null
        : [record.value.status, record.value.peerReady, record.value.progressCount > 0]
    }),
    completed,
    // An id that the feed names cannot be registered.
    ids.map((id) => feed.some(({ operationId }) => operationId === id)),
    barrier === null ? null : [barrier.requestId, barrier.members],
    [...dirty.operations].sort(),
    [...dirty.dropOperations].sort()
  ])

const owed: StatePredicate<SessionState> = {
  id: "D11'",
  says: "an operation owed to the store is known, and an operation whose row is dropped is not",
  check: ({ dirty, operations: { records } }) => [
    ...dirty.operations.flatMap((id) => when(!HashMap.has(records, id), `${id} is owed and unknown`)),
    ...dirty.dropOperations.flatMap((id) => when(HashMap.has(records, id), `the row of ${id} is to go`))
  ]
}

const kept = ({ maxCompletedOperations }: KernelLimits): StatePredicate<SessionState> => ({
  id: "OPS-27",
  says: "beyond retention, an ended operation is kept only for a barrier",
  check: ({ operations: { barrier, completed } }) =>
    when(
      completed.length > Math.max(maxCompletedOperations, barrier?.members.length ?? 0),
      `${completed.length} are kept`
    )
})

type OperationStep = StepPredicate<SessionState, Done>

const told: OperationStep = {
  id: "D29'",
  says: "every end adds the next feed entry and tells each watcher once, and the barrier once all its members ended",
  check: (before, { emits }, after) => {
    const entries = ofTag(emits, "PutFeed").map(({ entry }) => entry)
    const from = before.operations.epoch.lastSeq
    const settled = ofTag(emits, "SettleOperation").map((emit) => emit.id)
    const satisfied = ofTag(emits, "BarrierSatisfied")
    const waited = before.operations.barrier !== null && after.operations.barrier === null && entries.length > 0
    return [
      ...when(after.operations.epoch.lastSeq !== from + entries.length, "an end has no feed entry"),
      ...when(entries.some(({ seq }, at) => seq !== from + 1 + at), "an entry out of order"),
      ...when(
        settled.join() !== entries.map(({ operationId }) => operationId).join(),
        "the watchers told are not those of the ended operations"
      ),
      ...when(satisfied.length !== (waited ? 1 : 0), "the barrier was not told exactly once"),
      ...when(
        satisfied.some(({ outcomes }) =>
          outcomes.map(([id]) => id).join() !== before.operations.barrier?.members.join()
        ),
        "the barrier was told outcomes of other operations"
      )
    ]
  }
}

const written: OperationStep = {
  id: "P14'",
  says: "an ended operation does not change; its end is stored at once, any other change is a deferred write",
  check: (before, { emits }, after) =>
    ids.flatMap((id) => {
      const [old, now] = [Ops.getOperation(before, id), Ops.getOperation(after, id)]
      if (old === now) return []
      if (now === null) return when(!isDropped(id, emits, after), `${id} is gone, and its row is not dropped`)
      const put = ofTag(emits, "PutOperation").some(({ record }) => record === now)
      return [
        ...when(old !== null && isTerminalStatus(old.status), `${id} ended and changed`),
        ...when(isTerminalStatus(now.status) ? !put : !after.dirty.operations.includes(id), `${id} is not written`)
      ]
    })
}

const isDropped = (id: OperationId, emits: ReadonlyArray<Emit>, { dirty }: SessionState): boolean =>
  dirty.dropOperations.includes(id) || ofTag(emits, "DropOperation").some((emit) => emit.id === id)

const pure: OperationStep = {
  id: "P30'",
  says: "a refusal that is a reply changes nothing and emits nothing",
  check: (_, { refusal }) => refusal === null ? [] : [`refused with ${refusal}, and something changed`]
}

const ending = ({ operations }: SessionState): boolean =>
  Array.from(HashMap.values(operations.records)).every(({ status }) => isTerminalStatus(status))

export const operationCells = (maxCompletedOperations: number): Slice<SessionState, Done> => {
  const limits = { ...defaults, maxCompletedOperations, maxConcurrentOperations: 2, feedRetention: 2 }
  const moves = alphabet(limits)
  return {
    name: `operations: two, ${maxCompletedOperations} kept`,
    about: "a member child and an external background operation × two wait-alls × retention",
    start: session,
    moves: () => moves,
    keyOf,
    dump: (state) => JSON.stringify(state.operations),
    states: [...invariants.filter(({ id }) => ["P10", "P19", "P20", "FEED-01"].includes(id)), owed, kept(limits)],
    steps: [told, written, pure],
    paths: [{
      id: "LIVE-5",
      says: "from every state a client can reach a state in which every operation has ended and no caller waits",
      from: () => true,
      along: ["client"],
      to: (state) => ending(state) && state.operations.barrier === null
    }],
    atMost: 20_000
  }
}
