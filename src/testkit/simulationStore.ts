/** @since 0.1.0 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import { RuntimeStore } from "../../services/RuntimeStore.js"
import type { CommitAck, RuntimeCommit } from "../domain/RuntimeCommit.js"
import type { CommitError } from "../domain/StoreErrors.js"
import { StoreBusy, StoreFull, StoreIo, StoreOutcomeUnknown } from "../domain/StoreErrors.js"

/** Probabilities of what a store does to a call. @since 0.1.0 @category models */
export interface StoreFaults {
  /** nothing is written and the call fails: busy, full, or an error of the medium */
  readonly refuse: number
  /** it is written, and nobody is told */
  readonly lostAck: number
  /** nothing is written, and nobody is told */
  readonly lostCall: number
  /** the call takes up to `delayMs` */
  readonly delay: number
  readonly delayMs: number
  /** reads fail */
  readonly refuseRead: number
}

/** @since 0.1.0 @category constructors */
export const noFaults: StoreFaults = { refuse: 0, lostAck: 0, lostCall: 0, delay: 0, delayMs: 0, refuseRead: 0 }

/** How often each fault was injected. @since 0.1.0 @category models */
export type FaultCounts = Record<Exclude<keyof StoreFaults, "delayMs">, number>

/** @since 0.1.0 @category constructors */
export const noCounts = (): FaultCounts => ({ refuse: 0, lostAck: 0, lostCall: 0, delay: 0, refuseRead: 0 })

const refusals = [
  () => new StoreBusy({ operation: "commit", waitedMs: 1 }),
  () => new StoreFull({ operation: "commit", detail: "simulated" }),
  () => new StoreIo({ operation: "commit", code: "SIMULATED", detail: "simulated" })
]

/** Thrown at each call, so that the faults of the moment hold. */
const chance = (p: () => number) => Effect.map(Random.next, (x) => x < p())

/**
 * A store that does to every call what the faults of the moment say; `faults` is asked each time, so that a workload
 * can end with a phase without any.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  faults: () => StoreFaults,
  counts: FaultCounts
): Layer.Layer<RuntimeStore, never, RuntimeStore> =>
  Layer.effect(
    RuntimeStore,
    Effect.map(RuntimeStore, (store) => {
      const count = (kind: keyof FaultCounts) =>
        Effect.sync(() => {
          counts[kind]++
        })
      const delayed = Effect.flatMap(chance(() => faults().delay), (hit) =>
        hit
          ? Effect.zipRight(
            count("delay"),
            Effect.flatMap(Random.nextIntBetween(1, Math.max(2, faults().delayMs)), (ms) => Effect.sleep(ms))
          )
          : Effect.void)
      const refused = Effect.flatMap(chance(() => faults().refuse), (hit) =>
        hit
          ? Effect.zipRight(
            count("refuse"),
            Effect.flatMap(Random.nextIntBetween(0, refusals.length), (i) => Effect.fail(refusals[i]?.() ?? busy()))
          )
          : Effect.void)
      const read = Effect.flatMap(chance(() => faults().refuseRead), (hit) =>
        hit ? Effect.zipRight(count("refuseRead"), Effect.fail(busy())) : Effect.void)
      const unknown = (commit: RuntimeCommit) =>
        Effect.fail(new StoreOutcomeUnknown({ requestId: commit.requestId, detail: "simulated" }))
      const commit = (value: RuntimeCommit): Effect.Effect<CommitAck, CommitError> =>
        Effect.gen(function*() {
          yield* delayed
          yield* refused
          if (
            yield* chance(() =>
              faults().lostCall
            )
          ) return yield* Effect.zipRight(count("lostCall"), unknown(value))
          const ack = yield* store.commit(value)
          if (yield* chance(() => faults().lostAck)) return yield* Effect.zipRight(count("lostAck"), unknown(value))
          return ack
        })
      return RuntimeStore.of({
        ...store,
        commit,
        openRuntime: (id, plan) => Effect.zipRight(Effect.zipRight(delayed, refused), store.openRuntime(id, plan)),
        witness: (id) => Effect.zipRight(read, store.witness(id)),
        terminalInput: (id, input) => Effect.zipRight(read, store.terminalInput(id, input)),
        findKey: (id, key) => Effect.zipRight(read, store.findKey(id, key))
      })
    })
  )

const busy = () => new StoreBusy({ operation: "read", waitedMs: 1 })
