/**
 * A store in memory, for sessions without durability and for tests. It loses its content when its layer closes, unless
 * the caller keeps the image. Invariant: it follows the same rules and errors as the durable store, with the same worker.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { Handover } from "../services/Handover.js"
import { type InputFilter, RuntimeStore, type SessionFilter } from "../services/RuntimeStore.js"
import { type RuntimeId, sessionIdOf } from "../src/domain/Ids.js"
import { stateOfOpen, stateOfTerminal } from "../src/domain/InputRecord.js"
import type { CommitAck, RuntimeCommit } from "../src/domain/RuntimeCommit.js"
import { CommitRefused } from "../src/domain/StoreErrors.js"
import { isWellFormed } from "../src/domain/Text.js"
import { hasWakeWorthy } from "../src/kernel/feed.js"
import { isTerminalStatus } from "../src/kernel/operationRows.js"
import { unseen, validateCommit } from "../src/kernel/validateCommit.js"
import * as HandoverLive from "./HandoverLive.js"
import * as GroupCommit from "./internal/groupCommit.js"
import * as Tables from "./internal/memory/tables.js"
import { type Member, type MemberError, verbs, workerOptions } from "./internal/storeMember.js"
import type * as Rows from "./MemoryTables.js"

/** The options of a memory store. @since 0.1.0 @category models */
export interface MemoryOptions {
  /** how long one commit may take. Default 30 s */
  readonly commitDeadline?: Duration.DurationInput
  /** the content of the store; a second store can be built on the same image, as after a restart */
  readonly image?: MemoryImage
}

/** The content of a memory store; it can outlive the layer. @since 0.1.0 @category models */
export interface MemoryImage {
  readonly runtimes: Map<RuntimeId, Rows.Tables>
}

/** Makes the content of an empty store. @since 0.1.0 @category constructors */
export const makeImage = (): MemoryImage => ({ runtimes: new Map() })

/** A store in memory. @since 0.1.0 @category layers */
export const layer: Layer.Layer<RuntimeStore> = Layer.suspend(() => Layer.provide(layerNoDeps(), HandoverLive.layer))

/** A store in memory with options; the caller provides `Handover`. @since 0.1.0 @category layers */
export const layerNoDeps = (options: MemoryOptions = {}): Layer.Layer<RuntimeStore, never, Handover> =>
  Layer.scoped(RuntimeStore, make(options))

// --- internal ---

type Runtimes = Map<RuntimeId, Rows.Tables>

const make = (options: MemoryOptions) =>
  Effect.gen(function*() {
    const handover = yield* Handover
    const { runtimes } = options.image ?? makeImage()
    const worker = yield* GroupCommit.make({
      ...workerOptions<undefined>(Duration.decode(options.commitDeadline ?? "30 seconds")),
      handover,
      begin: () => Effect.void,
      write: (_, members) => Effect.sync(() => members.map((member) => write(runtimes, member, members.length)))
    })
    return RuntimeStore.of({
      kind: "memory",
      lost: Effect.never,
      ...verbs(worker, { ceiling: Number.POSITIVE_INFINITY, prepare: () => weightless }),
      ...reads(runtimes, worker.settled)
    })
  })

/** Commits are not encoded and have no size here: only the number of members limits a batch. */
const weightless = { prepared: undefined, bytes: 0, added: () => 0 }

const write = (
  runtimes: Runtimes,
  member: Member<undefined>,
  batchSize: number
): Exit.Exit<CommitAck, MemberError> => {
  const session = sessionIdOf(member.runtimeId)
  if (Option.isNone(session)) {
    return Exit.fail(
      new CommitRefused({ runtimeId: member.runtimeId, detail: "it is not the runtime id of a session" })
    )
  }
  const tables = runtimes.get(member.runtimeId) ?? { head: unseen(member.runtimeId, session.value) }
  const planned = commitOf(member, tables)
  if (Exit.isFailure(planned)) return Exit.failCause(planned.cause)
  const commit = planned.value
  const verdict = validateCommit(commit, Tables.viewOf(tables), member._tag === "Open" ? "open" : "commit")
  if (Either.isLeft(verdict)) return Exit.fail(verdict.left)
  const ack = { requestId: commit.requestId, batchSize }
  if (verdict.right._tag === "Replayed") {
    return Exit.succeed({ ...ack, revision: verdict.right.revision, replayed: true })
  }
  Tables.apply(tables, commit, verdict.right)
  runtimes.set(member.runtimeId, tables)
  return Exit.succeed({ ...ack, revision: verdict.right.head.revision, replayed: false })
}

/** Returns the commit of a member. A defect in the plan of an opening fails only that member, not the worker. */
const commitOf = (member: Member<undefined>, tables: Rows.Tables): Exit.Exit<RuntimeCommit, MemberError> => {
  if (member._tag === "Commit") return Exit.succeed(member.commit)
  const image = Tables.imageOf(tables)
  return Either.match(Either.try({ try: () => member.decide(image), catch: (defect) => Exit.die(defect) }), {
    onLeft: (died) => died,
    onRight: (decision): Exit.Exit<RuntimeCommit, MemberError> =>
      Either.isRight(decision) ? Exit.succeed(decision.right) : Exit.fail(decision.left)
  })
}

const reads = (
  runtimes: Runtimes,
  settled: Effect.Effect<void>
): Omit<RuntimeStore["Type"], "kind" | "openRuntime" | "commit" | "lost"> => {
  const ask = <A>(id: RuntimeId, f: (tables: Rows.Tables) => A | undefined): Effect.Effect<Option.Option<A>> =>
    Effect.sync(() => Option.flatMapNullable(Option.fromNullable(runtimes.get(id)), f))
  const list = <A>(id: RuntimeId, f: (tables: Rows.Tables) => Iterable<A>): Stream.Stream<A> =>
    Stream.unwrap(Effect.map(ask(id, f), (rows) => Stream.fromIterable(Option.getOrElse(rows, (): Iterable<A> => []))))
  return {
    witness: (id) =>
      Effect.zipRight(
        settled,
        ask(id, ({ head: { incarnation, lastRequestId, revision } }) => ({ incarnation, lastRequestId, revision }))
      ),
    terminalInput: (id, inputId) => ask(id, (tables) => terminalOf(tables, tables.ended?.get(inputId))),
    findKey: (id, key) => ask(id, (tables) => keyFactOf(tables, key)),
    inputs: (id, filter) => list(id, inputsOf(filter)),
    receipt: (id, runId, sequence) => ask(id, ({ receipts }) => receipts?.get(`${runId} ${sequence}`)),
    receipts: (id) => list(id, ({ receipts }) => [...receipts?.values() ?? []]),
    operation: (id, operationId) => ask(id, ({ operations }) => operations?.get(operationId)),
    operations: (id) => list(id, ({ operations }) => [...operations?.values() ?? []]),
    feed: (id, after) => Effect.sync(() => feedOf(runtimes.get(id), after)),
    history: (id, from = 0) => list(id, ({ messages }) => messages?.slice(from) ?? []),
    opaqueBody: (id) => ask(id, ({ opaque }) => opaque),
    session: (id) => ask(id, sessionOf),
    sessions: (filter = {}) =>
      Stream.unwrap(
        Effect.sync(() => Stream.fromIterable([...runtimes.values()].filter(chosen(filter)).map(sessionOf)))
      ),
    quarantined: Effect.succeed([])
  }
}

const terminalOf = (tables: Rows.Tables, ended: Rows.Ended | undefined) => {
  const outcome = ended === undefined ? undefined : Tables.outcomeOf(tables, ended.row)
  return ended === undefined || outcome === undefined ? undefined : { ...ended.row, outcome }
}

const keyFactOf = (tables: Rows.Tables, key: string) => {
  const inputId = tables.keys?.get(key)
  if (inputId === undefined) return undefined
  const ended = tables.ended?.get(inputId)
  return ended === undefined
    ? { key, inputId, completedAt: null, newerTerminals: 0 }
    : { key, inputId, completedAt: ended.row.completedAt, newerTerminals: tables.head.terminals - 1 - ended.ordinal }
}

const inputsOf = ({ openOnly = false }: InputFilter = {}) => (tables: Rows.Tables) => {
  const open = Tables.openInputs(tables).map(stateOfOpen)
  if (openOnly) return open
  const ended = Array.from(tables.ended?.values() ?? [], ({ row }) => {
    const outcome = Tables.outcomeOf(tables, row)
    return stateOfTerminal(outcome === undefined ? row : { ...row, outcome })
  })
  return [...open, ...ended].sort((a, b) => a.admissionSeq - b.admissionSeq)
}

const feedOf = (tables: Rows.Tables | undefined, after: number) => ({
  entries: tables?.feed?.filter((entry) => entry.seq > after) ?? [],
  watermark: tables?.head.epoch?.lastSeq ?? 0,
  droppedThrough: tables?.head.epoch?.droppedThrough ?? 0
})

const sessionOf = ({ head, open }: Rows.Tables) => ({
  sessionId: head.sessionId,
  runtimeId: head.runtimeId,
  lifecycle: head.lifecycle,
  pendingInputs: open?.size ?? 0,
  messageCount: head.body.messageCount,
  updatedAt: head.updatedAt
})

/** Whether background operations will wake the session once it is opened. */
const isDue = ({ feed = [], head: { epoch, lifecycle }, operations }: Rows.Tables): boolean =>
  lifecycle === "idle" && (
    Array.from(operations?.values() ?? []).some(({ spec, status }) =>
      spec.owner === "process" && spec.kind === "background_tool_op" && !isTerminalStatus(status)
    ) || (epoch !== null && hasWakeWorthy({ epoch, feed }))
  )

/** Compares as SQLite does: a prefix with half of a surrogate pair matches no name. */
const startsWith = (name: string, prefix: string): boolean => name.startsWith(prefix) && isWellFormed(prefix)

const chosen = (filter: SessionFilter) => (tables: Rows.Tables): boolean => {
  const { head, open } = tables
  const pending = open !== undefined && open.size > 0
  return (filter.pendingOnly !== true || pending) && (filter.dueOnly !== true || pending || isDue(tables)) &&
    (filter.lifecycle === undefined || filter.lifecycle.includes(head.lifecycle)) &&
    startsWith(head.sessionId, filter.prefix ?? "")
}
