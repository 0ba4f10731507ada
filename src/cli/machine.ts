/**
 * The machine of one command: on the store of `--db`, with the limits of the command line.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { firstOf } from "../../layers/internal/race.js"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import * as RuntimeStoreSqlite from "../../layers/RuntimeStoreSqlite.js"
import type { MeerkatMachine } from "../../services/MeerkatMachine.js"
import * as MeerkatMachineConfig from "../../services/MeerkatMachineConfig.js"
import { RuntimeStore } from "../../services/RuntimeStore.js"
import type { StoreLost } from "../domain/StoreErrors.js"
import { type CliFailure, ofLost, ofOpenError, usage } from "./failure.js"

/** @since 0.1.0 @category models */
export interface MachineFlags {
  readonly db: string
  readonly acceptLoss: boolean
  readonly attempts: number
  readonly maxOutput: number
}

/**
 * Builds the store and the machine. The program keeps keys for ever: the same `--key` means the same input, whenever.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (flags: MachineFlags): Layer.Layer<MeerkatMachine | RuntimeStore, CliFailure> => {
  const maxCommitBytes = commitBytes(flags.maxOutput)
  const limits = Layer.mapError(
    MeerkatMachineConfig.layerConfig({
      maxAttempts: flags.attempts,
      keyRetention: Option.none(),
      keyRetentionCount: Option.none(),
      maxCommitBytes
    }),
    (error) => usage(`The environment is wrong: ${String(error)}`)
  )
  const store = Layer.mapError(
    RuntimeStoreSqlite.layer({ filename: flags.db, acceptRegress: flags.acceptLoss, maxCommitBytes }),
    ofOpenError(flags.db)
  )
  return MeerkatMachineLive.layer.pipe(Layer.provideMerge(store), Layer.provide(limits))
}

/**
 * Runs an effect with the machine; both are closed in order when it ends, however it ends. When the store is lost
 * meanwhile, or found to be lost when it is closed, the program ends with that, whatever the effect came to.
 *
 * @since 0.1.0
 * @category running
 */
export const provide = (flags: MachineFlags) =>
<A, E, R>(
  self: Effect.Effect<A, E, R>
): Effect.Effect<A, E | CliFailure, Exclude<R, MeerkatMachine | RuntimeStore>> =>
  Effect.gen(function*() {
    let lost: Effect.Effect<never, StoreLost> = Effect.never
    const exit = yield* Effect.flatMap(RuntimeStore, (store) => {
      lost = store.lost
      return untilLost(self, lost)
    }).pipe(Effect.provide(layer(flags)), Effect.exit)
    yield* Effect.mapError(hasEnded(lost), ofLost)
    return yield* exit
  })

// --- internal ---

/** Its waiters hear of a loss and end it, with what they know; whatever does not end is ended. */
const untilLost = <A, E, R>(self: Effect.Effect<A, E, R>, lost: Effect.Effect<never, StoreLost>) =>
  firstOf(self, Effect.mapError(Effect.tapError(lost, () => Effect.sleep(farewell)), ofLost))

const farewell = Duration.millis(500)

/** Fails if the store has been lost by now. */
const hasEnded = (lost: Effect.Effect<never, StoreLost>): Effect.Effect<void, StoreLost> =>
  firstOf(lost, Effect.sleep(0))

/** Room for any answer that `--max-output` allows, and for what a document of it holds beside its text. */
const commitBytes = (maxOutput: number): number => 16 * 1024 * 1024 + 4 * maxOutput
