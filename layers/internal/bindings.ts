/**
 * The bundle that `prepareBindings` returns: one per incarnation, made only here.
 *
 * Callers: the bindings surface and the session handle.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { SessionRuntimeBindings } from "../../services/SessionBindings.js"
import type { RuntimeDriverError } from "../../src/domain/Errors.js"
import { prepareBindings } from "../../src/kernel/commands/service.js"
import { invalid } from "./driverError.js"
import type { Entry } from "./entry.js"
import * as Entries from "./entry.js"
import type { MachineParts } from "./machineParts.js"
import { submit } from "./machineParts.js"
import { mayBegin } from "./mayBegin.js"
import { serviceTurn } from "./serviceTurn.js"
import { sessionTools } from "./surfaces/tools.js"

/** The bundles that this module made. */
const minted = new WeakSet<object>()

/** Whether a value is a bundle that a machine made. @since 0.1.0 @category guards */
export const isBindings = (value: unknown): value is SessionRuntimeBindings =>
  typeof value === "object" && value !== null && minted.has(value)

/** The bundle of an incarnation: its handles stay with it, and fail once it is gone. */
const bundleOf = (parts: MachineParts, entry: Entry): SessionRuntimeBindings => {
  const known = entry.rare.unsafeGet().bindings
  if (known !== null) return known
  const { authority, sessionId } = entry
  const bundle: SessionRuntimeBindings = Object.freeze({
    sessionId,
    epochId: authority.unsafeState().operations.epoch.epochId,
    incarnation: authority.incarnation,
    turn: Object.freeze(serviceTurn(parts, entry)),
    operations: parts.operations(entry),
    tools: Object.freeze(sessionTools(parts, Effect.succeed(entry)))
  })
  minted.add(bundle)
  Entries.update(entry, () => ({ bindings: bundle }))
  return bundle
}

/** Binds a live session (D26) and gives its bundle. */
export const bind = (parts: MachineParts, entry: Entry): Effect.Effect<SessionRuntimeBindings, RuntimeDriverError> =>
  Effect.map(submit(entry, prepareBindings(entry.authority.incarnation)), () => bundleOf(parts, entry))

/** Gives the bundle of a live session without binding it. */
export const local = (parts: MachineParts, entry: Entry): Effect.Effect<SessionRuntimeBindings, RuntimeDriverError> =>
  Effect.map(Effect.suspend(() => mayBegin(entry, "call")), () => bundleOf(parts, entry))

export const verify = (value: unknown): Effect.Effect<SessionRuntimeBindings, RuntimeDriverError> =>
  Effect.suspend(() =>
    isBindings(value)
      ? Effect.succeed(value)
      : Effect.fail(invalid({ _tag: "NoBinding", detail: "expected bindings returned by prepareBindings" }))
  )
