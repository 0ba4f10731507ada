/**
 * Writes one batch in one transaction, in up to three attempts. The store's group commit calls it.
 *
 * The first attempt trusts: heads come from memory. Constraints and row counts detect an error, but not which member
 * caused it. The second attempt checks every member against the tables and leaves out the refused members. The third
 * writes member by member, for errors that only the whole batch causes. Invariant: a member is acknowledged only after
 * its COMMIT, and only while the names of the store still refer to its open files.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type { RuntimeId } from "../../../src/domain/Ids.js"
import { sessionIdOf } from "../../../src/domain/Ids.js"
import type { CommitAck, RuntimeImage } from "../../../src/domain/RuntimeCommit.js"
import { type CommitError, CommitRefused, StoreIo, StoreOutcomeUnknown } from "../../../src/domain/StoreErrors.js"
import {
  type CommitView,
  type RuntimeHead,
  trusting,
  unseen,
  validateCommit
} from "../../../src/kernel/validateCommit.js"
import * as Recent from "../recent.js"
import type { Member, MemberError } from "../storeMember.js"
import { type Accepted, apply } from "./apply.js"
import * as CommitEnd from "./commitEnd.js"
import type { SqlFault } from "./database.js"
import { encode, type Encoded } from "./encode.js"
import * as Lookup from "./lookup.js"
import type { OpenFile } from "./open.js"
import type { Quarantine } from "./quarantine.js"
import type { StoredHead } from "./rows.js"
import { rowsPerRuntime } from "./schema.js"
import type { Shapes } from "./shapes.js"
import * as Transaction from "./transaction.js"

/** The answer to one member of a batch. @since 0.1.0 @category models */
export type Answer = Exit.Exit<CommitAck, MemberError>

/** Begins and writes batches; `write` must follow a successful `begin`. @since 0.1.0 @category models */
export interface BatchWriter {
  readonly begin: (restore: Transaction.Restore) => Effect.Effect<void, MemberError>
  readonly write: (members: ReadonlyArray<Member<Encoded>>) => Effect.Effect<ReadonlyArray<Answer>>
}

/**
 * The heads of open runtimes, as their last batch left them; a failed batch clears all. It is a bounded cache: a session
 * that ends without a last write stays in it, and the batch reads a missing head from the table.
 *
 * @since 0.1.0
 * @category models
 */
export type Heads = Recent.Recent<RuntimeId, StoredHead>

/** Makes an empty cache of heads. The default limit takes a few megabytes and covers several batches. @since 0.1.0 @category constructors */
export const makeHeads = (limit = 4096): Heads => Recent.make(limit)

/**
 * Makes the writer of a file. The store runs it in a single worker.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  file: OpenFile,
  quarantine: Quarantine,
  shapes: Shapes,
  patience: Duration.Duration,
  heads = makeHeads()
): Effect.Effect<BatchWriter, SqlFault> =>
  Effect.map(file.writer.all("SELECT coalesce(max(rt), 0) + 1 AS next FROM runtime"), (rows) => {
    const nextRt = Number(rows[0]?.["next"])
    const cells: Cells = {
      file,
      quarantine,
      shapes,
      patience,
      nextRt,
      commitSeq: file.commitSeq,
      heads,
      broken: undefined
    }
    return {
      begin: (restore) => begin(cells, restore),
      write: (members) => write(cells, members)
    }
  })

// --- internal ---

/** The mutable state of the single worker. */
interface Cells {
  readonly file: OpenFile
  readonly quarantine: Quarantine
  readonly shapes: Shapes
  readonly patience: Duration.Duration
  nextRt: number
  commitSeq: number
  readonly heads: Heads
  /** why nothing is written again: the file is damaged, lost, or owned by another writer */
  broken: CommitError | undefined
}

const begin = (cells: Cells, restore: Transaction.Restore): Effect.Effect<void, MemberError> =>
  Effect.suspend(() =>
    cells.broken === undefined
      ? Effect.mapError(
        Effect.catchAll(
          Transaction.begin(cells.file.writer, cells.patience, restore),
          CommitEnd.unlessLost(cells.file)
        ),
        faultOf
      )
      : Effect.fail(cells.broken)
  )

const write = (cells: Cells, members: ReadonlyArray<Member<Encoded>>): Effect.Effect<ReadonlyArray<Answer>> =>
  attempt(cells, members, "trusting").pipe(
    Effect.catchTag(
      "ConstraintFailed",
      () => Effect.zipRight(begin(cells, withoutPause), attempt(cells, members, "checking"))
    ),
    Effect.catchAll((fault) =>
      members.length > 1 && (fault._tag === "ConstraintFailed" || fault._tag === "StoreFull")
        ? oneByOne(cells, members)
        : Effect.succeed(members.map((member): Answer => Exit.fail(answerOf(fault, member))))
    )
  )

/** A batch is uninterruptible, so its pauses are not made interruptible. */
const withoutPause: Transaction.Restore = (self) => self

const oneByOne = (cells: Cells, members: ReadonlyArray<Member<Encoded>>): Effect.Effect<ReadonlyArray<Answer>> =>
  Effect.forEach(members, (member) =>
    begin(cells, withoutPause).pipe(
      Effect.zipRight(write(cells, [member])),
      Effect.map((answers): Answer => answers[0] ?? Exit.die("a batch has one exit per member")),
      Effect.catchAll((error) => Effect.succeed<Answer>(Exit.fail(error)))
    ))

type Fault = SqlFault | MemberError

type Mode = "trusting" | "checking"

/** One attempt inside the transaction that `begin` opened. Afterwards no transaction is open, in every case. */
const attempt = (
  cells: Cells,
  members: ReadonlyArray<Member<Encoded>>,
  mode: Mode
): Effect.Effect<ReadonlyArray<Answer>, Fault> =>
  Effect.gen(function*() {
    const heads = new Map<RuntimeId, StoredHead>()
    const db = cells.file.writer
    const answers = new Map<Member<Encoded>, Answer>()
    const written: Array<Accepted> = []
    for (const round of roundsOf(members)) {
      const accepted = yield* runRound({ cells, heads, answers, mode, batchSize: members.length }, round)
      for (const one of accepted) {
        heads.set(one.head.runtimeId, { rt: one.rt, head: one.head })
        written.push(one)
      }
    }
    // an answer may repeat an earlier acknowledgement, so the names of the store are checked before it is given
    if (written.length === 0) yield* Effect.zipRight(Transaction.rollback(db), cells.file.verify)
    else yield* finish(cells, written, heads)
    return members.map((member) => answers.get(member) ?? Exit.die("a member of a batch was forgotten"))
  }).pipe(
    Effect.catchIf(CommitEnd.isOfFile, CommitEnd.unlessLost(cells.file)),
    Effect.tapErrorCause((cause) => undone(cells, cause))
  )

/** Cleans up after a failed attempt: forgets the heads in memory, and rolls back unless the outcome is unknown. */
const undone = (cells: Cells, cause: Cause.Cause<Fault>): Effect.Effect<unknown> =>
  Effect.suspend(() => {
    const fault = Option.getOrNull(Cause.failureOption(cause))
    if (fault?._tag === "WriterFenced" || fault?._tag === "StoreCorrupt" || fault?._tag === "StoreLost") {
      cells.broken = fault
    }
    cells.heads.clear()
    if (fault?._tag !== "StoreOutcomeUnknown") return Transaction.rollback(cells.file.writer)
    // rows may already have this number; the connection was reopened or is closed, so it has no transaction
    cells.commitSeq++
    return Effect.void
  })

/** Splits a batch so that a round has one member per runtime. If a runtime has two, the second sees the first's writes. */
const roundsOf = (members: ReadonlyArray<Member<Encoded>>): ReadonlyArray<ReadonlyArray<Member<Encoded>>> => {
  const rounds: Array<Array<Member<Encoded>>> = []
  const turns = new Map<RuntimeId, number>()
  for (const member of members) {
    const turn = turns.get(member.runtimeId) ?? 0
    turns.set(member.runtimeId, turn + 1)
    const round = rounds[turn]
    if (round === undefined) rounds.push([member])
    else round.push(member)
  }
  return rounds
}

interface Candidate extends Lookup.Asked {
  readonly member: Member<Encoded>
  readonly rows: Encoded
}

/** One attempt of a batch. */
interface Attempt {
  readonly cells: Cells
  /** the heads that this attempt has written */
  readonly heads: ReadonlyMap<RuntimeId, StoredHead>
  readonly answers: Map<Member<Encoded>, Answer>
  readonly mode: Mode
  readonly batchSize: number
}

const runRound = (
  self: Attempt,
  round: ReadonlyArray<Member<Encoded>>
): Effect.Effect<ReadonlyArray<Accepted>, Fault> =>
  Effect.gen(function*() {
    const { cells, mode } = self
    const db = cells.file.writer
    const heads = yield* headsOf(self, round)
    const images = yield* Lookup.images(db, openings(round, heads))
    const candidates: Array<Candidate> = []
    for (const member of round) {
      const candidate = candidateOf(cells, member, heads, images)
      if (Exit.isSuccess(candidate)) candidates.push(candidate.value)
      else self.answers.set(member, Exit.failCause(candidate.cause))
    }
    const views = mode === "trusting"
      ? candidates.map(({ commit, head }) => trusting(head, commit))
      : yield* Lookup.views(db, candidates)
    const accepted: Array<Accepted> = []
    for (const [i, candidate] of candidates.entries()) {
      const view = views[i]
      if (view !== undefined) judge(self, candidate, view, accepted)
    }
    if (accepted.length > 0) yield* cells.shapes.write(db)
    yield* apply(db, accepted, { token: cells.file.token, commitSeq: cells.commitSeq + 1 })
    return accepted
  })

/** Takes the heads from memory if it has all of the round; otherwise reads them. An opening always reads. */
const headsOf = (
  { cells, heads, mode }: Attempt,
  round: ReadonlyArray<Member<Encoded>>
): Effect.Effect<Lookup.Heads, Fault> => {
  const found = new Map<string, Either.Either<StoredHead>>()
  for (const member of round) {
    const head = heads.get(member.runtimeId) ?? cells.heads.get(member.runtimeId)
    if (head !== undefined && member._tag === "Commit") found.set(member.runtimeId, Either.right(head))
  }
  return mode === "trusting" && found.size === round.length
    ? Effect.succeed(found)
    : Lookup.heads(cells.file.writer, cells.file.token, round.map((member) => member.runtimeId))
}

const openings = (round: ReadonlyArray<Member<Encoded>>, heads: Lookup.Heads): ReadonlyArray<number> =>
  round.flatMap((member) => {
    const stored = heads.get(member.runtimeId)
    return member._tag === "Open" && stored !== undefined && Either.isRight(stored) ? [stored.right.rt] : []
  })

const candidateOf = (
  cells: Cells,
  member: Member<Encoded>,
  heads: Lookup.Heads,
  images: ReadonlyMap<number, Lookup.ImageRows>
): Exit.Exit<Candidate, MemberError> => {
  const stored = heads.get(member.runtimeId)
  if (stored !== undefined && Either.isLeft(stored)) return Exit.fail(stored.left)
  const session = sessionIdOf(member.runtimeId)
  if (session._tag === "None") {
    return Exit.fail(
      new CommitRefused({ runtimeId: member.runtimeId, detail: "it is not the runtime id of a session" })
    )
  }
  const { head, rt } = stored?.right ?? { head: unseen(member.runtimeId, session.value), rt: cells.nextRt++ }
  if (member._tag === "Commit") return Exit.succeed({ member, rt, head, commit: member.commit, rows: member.prepared })
  const image = imageOf(head, images.get(rt) ?? Lookup.noRows)
  return guarded(() =>
    Either.map(member.decide(image), (commit) => ({
      member,
      rt,
      head,
      commit,
      rows: encode(cells.shapes)(commit).prepared
    }))
  )
}

/** Runs a plan. A defect in it fails only its own member, because one session must not fail the batch of others. */
const guarded = <A>(plan: () => Either.Either<A, MemberError>): Exit.Exit<A, MemberError> =>
  Either.match(Either.try({ try: plan, catch: (defect) => Exit.die(defect) }), {
    onLeft: (died) => died,
    onRight: (decision) => Either.isRight(decision) ? Exit.succeed(decision.right) : Exit.fail(decision.left)
  })

const imageOf = (head: RuntimeHead, rows: Lookup.ImageRows): RuntimeImage => ({
  ...rows,
  runtimeId: head.runtimeId,
  exists: head.incarnation > 0,
  incarnation: head.incarnation + 1,
  revision: head.revision,
  lifecycle: head.lifecycle,
  nextAdmissionSeq: head.nextAdmissionSeq,
  head: head.body,
  epoch: head.epoch
})

const judge = (
  { answers, batchSize }: Attempt,
  candidate: Candidate,
  view: CommitView,
  accepted: Array<Accepted>
): void => {
  const { commit, head, member, rows, rt } = candidate
  const verdict = validateCommit(commit, view, member._tag === "Open" ? "open" : "commit")
  const ack = { requestId: commit.requestId, batchSize }
  if (Either.isLeft(verdict)) answers.set(member, Exit.fail(verdict.left))
  else if (verdict.right._tag === "Apply" && isBeyond(verdict.right.head)) {
    answers.set(member, Exit.fail(new CommitRefused({ runtimeId: member.runtimeId, detail: "the session is full" })))
  } else if (verdict.right._tag === "Replayed") {
    answers.set(member, Exit.succeed({ ...ack, revision: verdict.right.revision, replayed: true }))
  } else {
    answers.set(member, Exit.succeed({ ...ack, revision: verdict.right.head.revision, replayed: false }))
    accepted.push({
      rt,
      commit,
      rows,
      before: head,
      head: verdict.right.head,
      writesReceipt: verdict.right.writesReceipt
    })
  }
}

/** Whether the runtime would have more rows than it can number. */
const isBeyond = (head: RuntimeHead): boolean =>
  Math.max(head.nextAdmissionSeq, head.ended, head.bodyStart + head.body.messageCount) >= rowsPerRuntime

/**
 * Commits, then verifies the names of the files: a commit to files that lost their names is not acknowledged.
 */
const finish = (
  cells: Cells,
  written: ReadonlyArray<Accepted>,
  heads: ReadonlyMap<RuntimeId, StoredHead>
): Effect.Effect<void, Fault> =>
  cells.quarantine.write(cells.file.writer).pipe(
    Effect.zipRight(Transaction.commit(cells.file.writer, cells.patience)),
    Effect.catchTag("CommitAmbiguous", ({ fault }) => CommitEnd.resolve(cells.file, written, fault)),
    Effect.zipRight(cells.file.verify),
    Effect.zipRight(Effect.suspend(() => {
      cells.commitSeq++
      for (const [id, stored] of heads) {
        if (stored.head.open) cells.heads.set(id, stored)
        else cells.heads.delete(id)
      }
      cells.quarantine.written()
      cells.shapes.written()
      return cells.file.acknowledged(cells.commitSeq)
    }))
  )

const faultOf = (fault: SqlFault): MemberError =>
  fault._tag === "ConstraintFailed"
    ? new StoreIo({ operation: "BEGIN", code: "CONSTRAINT", detail: fault.detail })
    : fault

const answerOf = (fault: Fault, member: Member<Encoded>): MemberError => {
  switch (fault._tag) {
    case "ConstraintFailed":
      return new CommitRefused({ runtimeId: member.runtimeId, detail: fault.detail })
    case "StoreOutcomeUnknown":
      return member._tag === "Commit"
        ? new StoreOutcomeUnknown({ requestId: member.commit.requestId, detail: fault.detail })
        : fault
    default:
      return fault
  }
}
