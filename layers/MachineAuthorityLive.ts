/**
 * Opens sessions: reads the stored state, plans the recovery, and returns the authority of the new incarnation.
 *
 * The machine calls it once per registration. Invariant: only a run that ended with its process counts as crashed; so the
 * plan includes what this process knows about its own earlier incarnations.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import { IdGen } from "../services/IdGen.js"
import type { OpenFailure, SessionAuthority as Authority } from "../services/MachineAuthority.js"
import { MachineAuthority } from "../services/MachineAuthority.js"
import { MeerkatMachineConfig } from "../services/MeerkatMachineConfig.js"
import { RuntimeStore } from "../services/RuntimeStore.js"
import { Internal } from "../src/domain/Errors.js"
import type { SessionId } from "../src/domain/Ids.js"
import { runtimeIdOf } from "../src/domain/Ids.js"
import type { RuntimeImage } from "../src/domain/RuntimeCommit.js"
import type { CommitError, ReadError, StoreLost } from "../src/domain/StoreErrors.js"
import { isRetryable } from "../src/domain/StoreErrors.js"
import { planOpening } from "../src/kernel/opening.js"
import * as FreshIds from "./internal/freshIds.js"
import { kernelLimits } from "./internal/limits.js"
import * as Remembered from "./internal/remembered.js"
import * as SessionAuthority from "./internal/sessionAuthority.js"
import * as Spawn from "./internal/spawn.js"

const storeFailure = (sessionId: SessionId) => (error: CommitError | ReadError): Internal =>
  new Internal({
    detail: `the store could not open session "${sessionId}": ${error._tag}: ${error.message}`,
    cause: error,
    retryable: isRetryable(error)
  })

/** The number of terminal rows that a store of this kind keeps per session; null for all (D32). */
const retention = (kind: "memory" | "sqlite", configured: Option.Option<number>): number | null =>
  Option.getOrElse(configured, () => kind === "memory" ? 4096 : null)

const make = Effect.gen(function*() {
  const store = yield* RuntimeStore
  const config = yield* MeerkatMachineConfig
  const ids = FreshIds.make(yield* IdGen)
  const spawner = yield* Spawn.make
  const limits = kernelLimits(config)
  const budget = Remembered.budget(config.maxKeptBytes)
  const memory = Remembered.memory()
  const deps = {
    store,
    ids,
    limits,
    retainTerminal: retention(store.kind, config.terminalRetention),
    resolveTimeout: config.resolveTimeout
  }

  const authorities = new Set<Authority>()
  const giveUp = (lost: StoreLost) =>
    Effect.forEach(Array.from(authorities), (authority) => authority.requireReload(`StoreLost: ${lost.message}`), {
      discard: true
    })
  // a session without commits would not notice the loss, and its waiters would wait without end
  yield* Effect.forkScoped(Effect.catchAll(store.lost, giveUp))

  const open = (sessionId: SessionId): Effect.Effect<Authority, OpenFailure, Scope.Scope> =>
    Effect.gen(function*() {
      const requestId = yield* ids.request
      const epochCandidate = yield* ids.epoch
      const clock = yield* Effect.clock
      const plan = (image: RuntimeImage) =>
        Either.map(
          // the time of the opening itself: the call may have waited in the store's queue
          planOpening({
            sessionId,
            image,
            requestId,
            epochCandidate,
            now: clock.unsafeCurrentTimeMillis(),
            limits,
            remembered: memory.get(sessionId)
          }),
          (opening) => ({
            commit: opening.commit,
            value: { state: opening.value.state, incarnation: image.incarnation, rows: opening.value.rows }
          })
        )
      const opened = yield* store.openRuntime(runtimeIdOf(sessionId), plan)
      memory.delete(sessionId)
      const scope = yield* Effect.scope
      const authority = SessionAuthority.make({
        deps,
        spawner,
        scope,
        state: opened.value.state,
        incarnation: opened.value.incarnation,
        revision: opened.ack.revision,
        stageFlushMs: Duration.toMillis(config.stageFlush),
        eventBuffer: config.eventBuffer,
        now: () => clock.unsafeCurrentTimeMillis(),
        budget,
        remember: (remembered) => memory.set(sessionId, remembered)
      })
      authorities.add(authority)
      yield* Scope.addFinalizer(
        scope,
        Effect.suspend(() => {
          authorities.delete(authority)
          return authority.shutdown
        })
      )
      return authority
    }).pipe(
      Effect.catchIf(
        (error): error is CommitError | ReadError => error._tag !== "RecoveryCorruption" && error._tag !== "Destroyed",
        (error) => Effect.fail(storeFailure(sessionId)(error))
      )
    )
  return MachineAuthority.of({ open, fiberCount: Effect.sync(spawner.live) })
})

/** The authorities of a machine. @since 0.1.0 @category layers */
export const layer: Layer.Layer<MachineAuthority, never, RuntimeStore | IdGen> = Layer.scoped(MachineAuthority, make)
