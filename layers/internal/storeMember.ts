/**
 * The members of every store's worker: commits, and openings that become commits after their image was read. The layers of
 * the stores call this module. It owns the size limit of a commit. Invariant: a commit that only ends inputs or changes
 * their facts is never too large.
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

/** The plan of an opening failed. The error stays inside the store: the caller gets the plan's own error. @since 0.1.0 @category errors */
export class PlanRefused extends Data.TaggedError("PlanRefused") {}

/** One commit; `prepared` is its form for the store, made before it was queued. @since 0.1.0 @category models */
export interface CommitMember<P> {
  readonly _tag: "Commit"
  readonly runtimeId: RuntimeId
  readonly commit: RuntimeCommit
  readonly prepared: P
  readonly bytes: number
}

/** One opening. `decide` is pure and may be called again when a batch is repeated. @since 0.1.0 @category models */
export interface OpenMember {
  readonly _tag: "Open"
  readonly runtimeId: RuntimeId
  readonly decide: (image: RuntimeImage) => Either.Either<RuntimeCommit, PlanRefused>
  readonly bytes: number
}

/** A member of a batch. @since 0.1.0 @category models */
export type Member<P> = CommitMember<P> | OpenMember

/** The errors of a member. @since 0.1.0 @category errors */
export type MemberError = CommitError | PlanRefused

/** How a store makes members of commits. @since 0.1.0 @category models */
export interface MemberOptions<P> {
  /** the most bytes that a commit may add, in stored form */
  readonly ceiling: number
  readonly prepare: (commit: RuntimeCommit) => Prepared<P>
}

/** The stored form of a commit, with its sizes. @since 0.1.0 @category models */
export interface Prepared<P> {
  readonly prepared: P
  /** the weight of the whole commit in a batch, in UTF-16 units: at most its bytes, and at least a third of them */
  readonly bytes: number
  /** the bytes that the commit adds, without ends of inputs and changed facts, because those are bounded already */
  readonly added: () => number
}

/**
 * Returns the most bytes that a commit may add in stored form, for a limit of `maxCommitBytes` in the caller's bytes. A
 * turn adds its answer twice, as outcome and as message, and the messages of its inputs. JSON takes up to six bytes for a
 * byte of text. Everything else has one MiB.
 *
 * @since 0.1.0
 * @category constructors
 */
export const storedCeiling = (maxCommitBytes: number): number => 3 * 6 * maxCommitBytes + 1024 * 1024

/** The limits and error answers of every store's worker. @since 0.1.0 @category constructors */
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
 * Makes the two writing calls of a store, `openRuntime` and `commit`, on top of its worker.
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
      // a UTF-16 unit has at most three bytes, so bytes are counted only if they may exceed the ceiling
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

/** The weight of an opening in a batch, assumed because its commit is not known yet. */
const openingBytes = 1024

/** Checks and encodes a commit for the queue. Encoding throws for a value that contains itself, so it is caught here. */
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
