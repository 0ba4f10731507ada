/**
 * Members of a store's worker, whatever the store: commits, and openings that become commits once their image is read.
 * The layers of the stores call it. It owns the ceiling of a commit. Invariant: a commit that only ends inputs, or
 * changes their facts, is never too large.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import type { RequestId, RuntimeId } from "../../src/domain/Ids.js"
import { RequestId as RequestIdSchema } from "../../src/domain/Ids.js"
import type { CommitAck, Opening, RuntimeCommit, RuntimeImage } from "../../src/domain/RuntimeCommit.js"
import {
  type CommitError,
  CommitTooLarge,
  CommitUnencodable,
  type ReadError,
  StoreBusy,
  StoreClosed,
  StoreOutcomeUnknown
} from "../../src/domain/StoreErrors.js"
import type { GroupCommit } from "./groupCommit.js"
import { textOf } from "./rendering.js"
import { storable } from "./storable.js"

/** The plan of an opening said no. Never leaves the store: the caller gets the plan's own error. @since 0.1.0 @category errors */
export class PlanRefused extends Data.TaggedError("PlanRefused") {}

/** One commit; `prepared` is what the store made of it before it was queued. @since 0.1.0 @category models */
export interface CommitMember<P> {
  readonly _tag: "Commit"
  readonly runtimeId: RuntimeId
  readonly commit: RuntimeCommit
  readonly prepared: P
  readonly bytes: number
}

/** One opening. `decide` is pure and may be asked again when a batch is repeated. @since 0.1.0 @category models */
export interface OpenMember {
  readonly _tag: "Open"
  readonly runtimeId: RuntimeId
  readonly decide: (image: RuntimeImage) => Either.Either<RuntimeCommit, PlanRefused>
  readonly bytes: number
}

/** @since 0.1.0 @category models */
export type Member<P> = CommitMember<P> | OpenMember

/** What a member can end with. @since 0.1.0 @category errors */
export type MemberError = CommitError | PlanRefused

/** How a store makes members of commits. @since 0.1.0 @category models */
export interface MemberOptions<P> {
  /** most that a commit may add, as it is stored */
  readonly ceiling: number
  readonly prepare: (commit: RuntimeCommit) => Prepared<P>
}

/** @since 0.1.0 @category models */
export interface Prepared<P> {
  readonly prepared: P
  /** the weight of the whole commit in a batch, in UTF-16 units: never more than its bytes, never less than a third */
  readonly bytes: number
  /** bytes that the commit adds: not those of the ends of inputs and of changed facts, which are bounded already */
  readonly added: () => number
}

/**
 * The most that a commit may add as it is stored, where callers may give `maxCommitBytes`. A turn adds its answer twice,
 * as outcome and as message, and what its inputs said. JSON takes up to six bytes for a byte of text. What is beside the
 * texts has another MiB.
 *
 * @since 0.1.0
 * @category constructors
 */
export const storedCeiling = (maxCommitBytes: number): number => 3 * 6 * maxCommitBytes + 1024 * 1024

/** Limits and the answers that every store's worker shares. @since 0.1.0 @category constructors */
export const workerOptions = <P>(deadline: Duration.Duration) => ({
  bytesOf: (member: Member<P>) => member.bytes,
  maxMembers: 512,
  maxBytes: 4 * 1024 * 1024,
  deadline,
  unknown: (member: Member<P>, detail: string): MemberError =>
    new StoreOutcomeUnknown({ requestId: requestIdOf(member), detail }),
  overdue: (_: Member<P>, waitedMs: number): MemberError => new StoreBusy({ operation: "commit", waitedMs }),
  closed
})

/**
 * The two writing verbs of a store over its worker.
 *
 * @since 0.1.0
 * @category constructors
 */
export const verbs = <P>(worker: GroupCommit<Member<P>, CommitAck, MemberError>, options: MemberOptions<P>) => ({
  commit: (given: RuntimeCommit): Effect.Effect<CommitAck, CommitError> =>
    Effect.suspend(() => {
      const encoded = encode(given, options)
      if (Either.isLeft(encoded)) return Effect.fail(encoded.left)
      const { bytes, commit, prepared } = encoded.right
      // no unit has more than three bytes: they are counted only where they can be too many
      const added = bytes * 3 > options.ceiling ? encoded.right.added() : 0
      if (added > options.ceiling) return Effect.fail(new CommitTooLarge({ bytes: added, limit: options.ceiling }))
      const member: Member<P> = { _tag: "Commit", runtimeId: commit.runtimeId, commit, prepared, bytes }
      return Effect.catchTag(worker.submit(member), "PlanRefused", () => Effect.dieMessage("a commit has no plan"))
    }),
  openRuntime: <A, E>(
    runtimeId: RuntimeId,
    plan: (image: RuntimeImage) => Either.Either<Opening<A>, E>
  ): Effect.Effect<{ readonly ack: CommitAck; readonly value: A }, E | CommitError | ReadError> =>
    Effect.suspend(() => {
      let planned = Option.none<Either.Either<Opening<A>, E | CommitUnencodable>>()
      const decide = (image: RuntimeImage) => {
        const opening = Either.flatMap(plan(image), storableOpening)
        planned = Option.some(opening)
        return Either.mapBoth(opening, { onLeft: () => new PlanRefused(), onRight: (value) => value.commit })
      }
      return worker.submit({ _tag: "Open", runtimeId, decide, bytes: openingBytes }).pipe(
        Effect.flatMap((ack) =>
          Option.isSome(planned) && Either.isRight(planned.value)
            ? Effect.succeed({ ack, value: planned.value.right.value })
            : Effect.dieMessage("an opening was acknowledged without a plan")
        ),
        Effect.catchTag("PlanRefused", () =>
          Option.isSome(planned) && Either.isLeft(planned.value)
            ? Effect.fail(planned.value.left)
            : Effect.dieMessage("an opening was refused without a plan"))
      )
    })
})

// --- internal ---

const closed: MemberError = new StoreClosed()

/** What an opening is taken to weigh in a batch: its commit is not known yet. */
const openingBytes = 1024

/** The commit that is queued, and what the store made of it. A commit that has no end throws on the way. */
const encode = <P>(given: RuntimeCommit, { prepare }: MemberOptions<P>) =>
  Either.flatMap(
    Either.try({
      try: () => Either.map(storable(given), (commit) => ({ commit, ...prepare(commit) })),
      catch: (cause) => new CommitUnencodable({ detail: textOf(cause) })
    }),
    identity
  )

const storableOpening = <A>(opening: Opening<A>): Either.Either<Opening<A>, CommitUnencodable> =>
  Either.map(storable(opening.commit), (commit) => commit === opening.commit ? opening : { ...opening, commit })

const noRequest = RequestIdSchema.make("00000000-0000-0000-0000-000000000000")

const requestIdOf = <P>(member: Member<P>): RequestId => member._tag === "Commit" ? member.commit.requestId : noRequest
