/**
 * Builds commands from folds. An *external* command is refused once a session is being unregistered; an *internal* one,
 * of the loop or the teardown, is not.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import type { Command, Decision, Rejection } from "../../domain/Command.js"
import type { Env } from "../../domain/SessionState.js"
import type { Fold } from "../table.js"
import * as Table from "../table.js"

/** The result of a command's rule. @since 0.1.0 @category models */
export type Ruling<A> = Either.Either<Decision<A>, Rejection>

/** The name of the guard that fails while a session is being unregistered (D7). @since 0.1.0 @category constructors */
export const draining = "registration_is_draining"

/** Whether the command was refused because the session is being unregistered. @since 0.1.0 @category guards */
export const isDraining = (rejection: Rejection): boolean =>
  rejection._tag === "GuardRejected" && rejection.failed.includes(draining)

/**
 * Makes a command of the loop or the teardown: it is accepted until the session is gone.
 *
 * @since 0.1.0
 * @category constructors
 */
export const internal = <A>(name: string, rule: (fold: Fold, env: Env) => Ruling<A>): Command<A> => ({
  name,
  decide: (state, env) => rule(Table.begin(name, state), env)
})

/**
 * Makes a command of any other caller: it is refused once the session is being unregistered.
 *
 * @since 0.1.0
 * @category constructors
 */
export const external = <A>(name: string, rule: (fold: Fold, env: Env) => Ruling<A>): Command<A> =>
  internal(
    name,
    (fold, env) =>
      fold.state.registration._tag === "Draining" ? Either.left(Table.refuse(fold, draining)) : rule(fold, env)
  )

/** Turns a fold into the command's decision; a refused step stays a refusal. @since 0.1.0 @category combinators */
export const answered = <A>(step: Table.Step, reply: (fold: Fold) => A): Ruling<A> =>
  Either.map(step, (fold) => Table.answer(fold, reply(fold)))
