/**
 * The operations surface: `opsLifecycleRegistry` of the machine and `operations` of a session handle.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { OperationsControl, SessionOperations } from "../../../services/SessionOperations.js"
import { OpOwnerRetired } from "../../../src/domain/Errors.js"
import type { SessionId } from "../../../src/domain/Ids.js"
import type { MachineParts, Resolve } from "../machineParts.js"

/** Finds the operations of a session by its id. */
export const operations = (parts: MachineParts): OperationsControl => ({
  opsLifecycleRegistry: (sessionId) =>
    Effect.sync(() => Option.map(Option.fromNullable(parts.registry.find(sessionId)), parts.operations))
})

/** The operations of one session; `resolve` decides at each call which incarnation is addressed. */
export const sessionOperations = (
  parts: MachineParts,
  sessionId: SessionId,
  resolve: Resolve
): SessionOperations => {
  const live = Effect.mapBoth(resolve, {
    onFailure: () => new OpOwnerRetired({ sessionId }),
    onSuccess: parts.operations
  })
  const via = <A, E, R>(use: (own: SessionOperations) => Effect.Effect<A, E, R>) => Effect.flatMap(live, use)
  return {
    sessionId,
    run: (work, options) => via((own) => own.run(work, options)),
    external: (options) => via((own) => own.external(options)),
    register: (options) => via((own) => own.register(options)),
    provisioningSucceeded: (id) => via((own) => own.provisioningSucceeded(id)),
    progress: (id) => via((own) => own.progress(id)),
    peerReady: (id, peer) => via((own) => own.peerReady(id, peer)),
    requestRetire: (id) => via((own) => own.requestRetire(id)),
    complete: (id, answer) => via((own) => own.complete(id, answer)),
    fail: (id, error) => via((own) => own.fail(id, error)),
    provisioningFailed: (id, error) => via((own) => own.provisioningFailed(id, error)),
    abort: (id, reason) => via((own) => own.abort(id, reason)),
    cancel: (id, reason) => via((own) => own.cancel(id, reason)),
    markRetired: (id) => via((own) => own.markRetired(id)),
    terminateOwner: (reason) => via((own) => own.terminateOwner(reason)),
    get: (id) => via((own) => own.get(id)),
    list: via((own) => own.list),
    watch: (id) => via((own) => own.watch(id)),
    waitAll: (ids) => via((own) => own.waitAll(ids)),
    collectCompleted: via((own) => own.collectCompleted),
    listSince: (after) => via((own) => own.listSince(after)),
    watermark: via((own) => own.watermark),
    cursors: via((own) => own.cursors),
    feed: (after) => Stream.unwrap(Effect.map(live, (own) => own.feed(after)))
  }
}
