/**
 * How commands are made of folds, and which of them a session still takes while it is being taken down.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import type { Command, Decision, Rejection } from "../../domain/Command.js"
import type { Env } from "../../domain/SessionState.js"
import type { Fold } from "../table.js"
import * as Table from "../table.js"

/** What a command's rule answers. @since 0.1.0 @category models */
export type Ruling<A> = Either.Either<Decision<A>, Rejection>

/** Name of the condition that a session under teardown fails (D7). @since 0.1.0 @category constructors */
export const draining = "registration_is_draining"

/** Whether the command was refused because the session is being unregistered. @since 0.1.0 @category guards */
export const isDraining = (rejection: Rejection): boolean =>
  rejection._tag === "GuardRejected" && rejection.failed.includes(draining)

/** A command of the loop or of the teardown: taken until the end. @since 0.1.0 @category constructors */
export const internal = <A>(name: string, rule: (fold: Fold, env: Env) => Ruling<A>): Command<A> => ({
  name,
  decide: (state, env) => rule(Table.begin(name, state), env)
})

/** A command of everyone else: refused once the session is being unregistered. @since 0.1.0 @category constructors */
export const external = <A>(name: string, rule: (fold: Fold, env: Env) => Ruling<A>): Command<A> =>
  internal(
    name,
    (fold, env) =>
      fold.state.registration._tag === "Draining" ? Either.left(Table.refuse(fold, draining)) : rule(fold, env)
  )

/** The answer of a fold that came through. @since 0.1.0 @category combinators */
export const answered = <A>(step: Table.Step, reply: (fold: Fold) => A): Ruling<A> =>
  Either.map(step, (fold) => Table.answer(fold, reply(fold)))
