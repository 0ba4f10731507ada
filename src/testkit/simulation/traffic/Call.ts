/**
 * The type of a client's call, and what calls of several surfaces share: how they pick arguments and record answers.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { EndReport, Prompted } from "../../../../services/MeerkatMachine.js"
import type { InputId, OperationId, RunId, SessionId } from "../../../domain/Ids.js"
import {
  InputId as InputIdSchema,
  OperationId as OperationIdSchema,
  RunId as RunIdSchema
} from "../../../domain/Ids.js"
import type { Input } from "../../../domain/Input.js"
import type { Crew } from "../Crew.js"
import { answered, follow } from "../Crew.js"
import type { Dice } from "../Dice.js"
import * as Inputs from "../Inputs.js"
import { sent } from "../Journal.js"
import * as Patience from "./Patience.js"
import { patient } from "./Patience.js"

/** Calls one method on one session, with arguments from the dice. @since 0.1.0 @category models */
export type Call = (crew: Crew, id: SessionId) => Effect.Effect<unknown, { readonly _tag: string }>

/**
 * Makes a stop. After its return nothing may run, unless another client brought the session up meanwhile.
 *
 * @since 0.1.0
 * @category combinators
 */
export const stopping = <A, E>(
  crew: Crew,
  method: string,
  id: SessionId,
  stop: Effect.Effect<A, E>
): Effect.Effect<void, E> =>
  Effect.suspend(() => {
    const { brought, stopped } = crew.world
    const before = brought.get(id)?.begun ?? 0
    const alone = (brought.get(id)?.active ?? 0) === 0
    return Effect.map(
      patient(crew.world, { method, sessionId: id, waits: Patience.untilFree(crew, id) }, stop),
      (done) => {
        if (Option.isSome(done) && alone && (brought.get(id)?.begun ?? 0) === before) stopped.set(id, before)
      }
    )
  })

/**
 * Makes a destruction. A caller from inside the session learns only that it has begun.
 *
 * @since 0.1.0
 * @category combinators
 */
export const destroying = <E>(
  crew: Crew,
  method: string,
  id: SessionId,
  destroy: Effect.Effect<EndReport, E>
): Effect.Effect<void, E> =>
  Effect.map(patient(crew.world, { method, sessionId: id, waits: Patience.atOnce }, destroy), (done) => {
    if (Option.isSome(done) && done.value.joined) crew.world.journal.destroyed.add(id)
  })

/** Picks an input of the session that clients know. @since 0.1.0 @category accessors */
export const inputOf = ({ world: { dice, journal } }: Crew, id: SessionId): InputId => {
  const known = Array.from(journal.inputs.values()).slice(-30).filter(({ sessionId }) => sessionId === id)
  return known[dice.below(Math.max(1, known.length))]?.inputId ?? InputIdSchema.make(dice.uuid())
}

/** Picks a run of the session. @since 0.1.0 @category accessors */
export const runOf = ({ world: { dice, journal } }: Crew, id: SessionId): RunId => {
  const known = Array.from(journal.runs.values()).slice(-20).filter(({ sessionId }) => sessionId === id)
  return known[dice.below(Math.max(1, known.length))]?.runId ?? RunIdSchema.make(dice.uuid())
}

/** Picks an operation of the session. @since 0.1.0 @category accessors */
export const operationOf = ({ world: { dice, journal } }: Crew, id: SessionId): OperationId => {
  const known = Array.from(journal.operations.values()).slice(-20).filter(({ sessionId }) => sessionId === id)
  return known[dice.below(Math.max(1, known.length))]?.id ?? OperationIdSchema.make(dice.uuid())
}

/** Records a new input before the call, because a refused input must never be stored. @since 0.1.0 @category inputs */
export const withInput = <A, E extends { readonly _tag: string }>(
  crew: Crew,
  id: SessionId,
  call: (input: Input) => Effect.Effect<A, E>,
  make: (dice: Dice, now: number) => Input = Inputs.any
): Effect.Effect<readonly [Input, A], E> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) => {
    const input = make(crew.world.dice, now)
    const { durability, id: inputId, idempotencyKey, supersessionKey } = input.header
    const noted = sent(crew.world.journal, {
      inputId,
      sessionId: id,
      durability,
      key: idempotencyKey ?? null,
      supersessionKey: supersessionKey ?? null
    })
    return Effect.mapBoth(call(input), {
      onFailure: (error) => {
        // a call that failed without an answer of the store may have happened
        if (error._tag !== "Internal" && error._tag !== "StoreError") noted.answer = "refused"
        return error
      },
      onSuccess: (answer) => [input, answer] as const
    })
  })

/** The fields of an input that the journal records. @since 0.1.0 @category inputs */
export const fieldsOf = ({ header }: Input) => ({
  durability: header.durability,
  key: header.idempotencyKey ?? null,
  supersessionKey: header.supersessionKey ?? null
})

/** Records an accepted prompt, and waits for its outcome in the background. @since 0.1.0 @category inputs */
export const prompted = (crew: Crew, id: SessionId, key?: string, supersessionKey?: string) =>
(
  { completion, outcome }: Prompted
): Effect.Effect<void> =>
  Effect.suspend(() => {
    answered(crew, id, outcome, { durability: "durable", key: key ?? null, supersessionKey: supersessionKey ?? null })
    return follow(crew, completion)
  })
