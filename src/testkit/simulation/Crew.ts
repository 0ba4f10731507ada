/**
 * What the clients and executors of one simulated life share, and how they record what they are told. Traffic and
 * scripts call it.
 *
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import type { CommsMailbox } from "../../../layers/CommsRuntimeMailbox.js"
import type { CoreExecutor } from "../../../services/CoreExecutor.js"
import type { AcceptOutcome, Completion, MeerkatMachineService } from "../../../services/MeerkatMachine.js"
import type { RuntimeControlPlane } from "../../../services/RuntimeControlPlane.js"
import type { InputId, OperationId, SessionId } from "../../domain/Ids.js"
import { runtimeIdOf } from "../../domain/Ids.js"
import type { Sent, Started } from "./Journal.js"
import { count, note, sent, told, violate } from "./Journal.js"
import type { World } from "./World.js"
import { mayBeForgotten, mayLoseKey } from "./World.js"

/** What the clients and executors of one life use. @since 0.1.0 @category models */
export interface Crew {
  readonly world: World
  readonly machine: MeerkatMachineService
  readonly control: RuntimeControlPlane["Type"]
  readonly sessions: NonEmptyReadonlyArray<SessionId>
  /** makes an executor of the kind under test, watched by the journal */
  readonly executor: (sessionId: SessionId) => Effect.Effect<CoreExecutor, never, Scope.Scope>
  /** inboxes that the peers of a session write to */
  readonly inboxes: (sessionId: SessionId) => NonEmptyReadonlyArray<CommsMailbox>
  /** outlives the client that starts fibers in it, and ends with the life */
  readonly scope: Scope.Scope
}

type Fields = Pick<Sent, "durability" | "key" | "supersessionKey">

const plain: Fields = { durability: "durable", key: null, supersessionKey: null }

/** Rule 14: of all accepts with one key exactly one is accepted, and the others return its id. */
const keyed = (world: World, sessionId: SessionId, key: string, inputId: InputId, fresh: boolean): void => {
  const { journal } = world
  const place = `${sessionId} ${key}`
  // an ephemeral input holds its key only while its process lives
  if (journal.inputs.get(inputId)?.durability === "ephemeral") return
  const owner = journal.keys.get(place)
  if (owner === undefined || (owner !== inputId && mayLoseKey(world, owner))) journal.keys.set(place, inputId)
  else if (owner !== inputId) {
    violate(
      journal,
      "14 dedup",
      `${place} belongs to ${owner} and ${fresh ? "was given to" : "is said to be of"} ${inputId}`
    )
  }
}

/** Records the answer that a client got for its input. @since 0.1.0 @category journal */
export const answered = (crew: Crew, sessionId: SessionId, outcome: AcceptOutcome, fields: Fields = plain): void => {
  const { world } = crew
  const { journal } = world
  note(journal, `${sessionId} ${outcome._tag} ${outcome.inputId}`)
  count(journal, "accept", outcome._tag)
  if (outcome._tag === "Deduplicated") {
    if (fields.key !== null) keyed(world, sessionId, fields.key, outcome.existingId, false)
    return
  }
  const input = sent(journal, { ...fields, inputId: outcome.inputId, sessionId })
  input.answer = "accepted"
  if (fields.key !== null) keyed(world, sessionId, fields.key, outcome.inputId, true)
  if (fields.durability === "ephemeral" || world.peek === null) return
  const tables = world.peek(runtimeIdOf(sessionId))
  const isThere = tables?.open?.has(outcome.inputId) === true || tables?.ended?.has(outcome.inputId) === true
  if (!isThere && !mayBeForgotten(world, outcome.inputId)) {
    violate(journal, "16 durable before ack", `${outcome.inputId} was acknowledged, but is not stored`)
  }
}

/** Starts an operation and records its id. @since 0.1.0 @category journal */
export const starting = <E, R>(
  { journal, opened }: World,
  sessionId: SessionId,
  owner: Started["owner"],
  call: Effect.Effect<OperationId, E, R>
): Effect.Effect<OperationId, E, R> =>
  Effect.suspend(() => {
    const current = () => opened.get(runtimeIdOf(sessionId))?.incarnation ?? null
    const before = current()
    return Effect.tap(call, (id) =>
      Effect.sync(() => {
        journal.operations.set(id, { id, sessionId, owner, incarnation: current() === before ? before : null })
      }))
  })

/**
 * Waits for an outcome in the background. Rule 21: every waiter is told; rule 20: all are told the same.
 *
 * @since 0.1.0
 * @category journal
 */
export const follow = ({ scope, world }: Crew, { inputId, wait }: Completion): Effect.Effect<void> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.suspend(() => {
      const name = `${inputId} ${world.waiting.size} ${world.dice.below(1_000_000)}`
      world.waiting.set(name, inputId)
      const gone = Effect.sync(() => world.waiting.delete(name))
      return wait.pipe(
        Effect.map((outcome) => {
          world.waiting.delete(name)
          told(world.journal, inputId, outcome)
        }),
        Effect.interruptible,
        Effect.forkIn(scope),
        // Some clients give up and the work continues. A client that is interrupted before keeps its waiter.
        Effect.flatMap((fiber) =>
          world.dice.hit(0.05)
            ? restore(Effect.zipRight(
              Effect.sleep(world.dice.below(50)),
              Effect.asVoid(Effect.ensuring(Fiber.interrupt(fiber), gone))
            ))
            : Effect.void
        )
      )
    })
  )
