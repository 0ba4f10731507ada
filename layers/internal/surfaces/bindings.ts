/**
 * Bindings of sessions, by session id.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { BindingsControl, SessionRuntimeBindings } from "../../../services/SessionBindings.js"
import type { RuntimeDriverError } from "../../../src/domain/Errors.js"
import type { SessionId } from "../../../src/domain/Ids.js"
import * as Bindings from "../bindings.js"
import type { Entry } from "../entry.js"
import type { MachineParts } from "../machineParts.js"
import { call, traced } from "../machineParts.js"
import { commitTerminalReceipt } from "../serviceTurn.js"

/** Bindings of sessions, registered if need be. */
export const bindings = (parts: MachineParts): BindingsControl => {
  const prepared = (
    sessionId: SessionId,
    prepare: (parts: MachineParts, entry: Entry) => Effect.Effect<SessionRuntimeBindings, RuntimeDriverError>
  ) => Effect.map(parts.acquireFor(sessionId, (entry) => prepare(parts, entry)), ({ outcome }) => outcome)
  return {
    prepareBindings: (sessionId) => traced("prepareBindings", prepared(sessionId, Bindings.bind)),
    prepareLocalSessionBindings: (sessionId) =>
      traced("prepareLocalSessionBindings", prepared(sessionId, Bindings.local)),
    verifyBindings: Bindings.verify,
    commitServiceTurnTerminalReceipt: (sessionId) =>
      call("commitServiceTurnTerminalReceipt", parts.registry.lookup(sessionId), commitTerminalReceipt)
  }
}
