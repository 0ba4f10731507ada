/**
 * Builds the machine of one command on the store of `--db`, with the limits of the command line. The commands `run`,
 * `send` and `resume` call it. It closes machine and store in order, and reports the loss of the store.
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

/** The options that the machine needs. @since 0.1.0 @category models */
export interface MachineFlags {
  readonly db: string
  readonly acceptLoss: boolean
  readonly attempts: number
  readonly maxOutput: number
}

/**
 * Builds the store and the machine. Fails when the store cannot be opened or the environment holds an invalid limit. Keys
 * never expire, so that the same `--key` always names the same input.
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
    (error) => usage(`An environment variable is invalid: ${String(error)}`)
  )
  const store = Layer.mapError(
    RuntimeStoreSqlite.layer({ filename: flags.db, acceptRegress: flags.acceptLoss, maxCommitBytes }),
    ofOpenError(flags.db)
  )
  return MeerkatMachineLive.layer.pipe(Layer.provideMerge(store), Layer.provide(limits))
}

/**
 * Runs an effect with the machine, and closes machine and store in order when it ends, fails or is interrupted. If the
 * store is lost during the effect or at its close, the program fails with that loss instead of the effect's result.
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

/** Lets the effect report its outcomes after a loss of the store, and interrupts it after `farewell`. */
const untilLost = <A, E, R>(self: Effect.Effect<A, E, R>, lost: Effect.Effect<never, StoreLost>) =>
  firstOf(self, Effect.mapError(Effect.tapError(lost, () => Effect.sleep(farewell)), ofLost))

const farewell = Duration.millis(500)

/** Fails if the store is lost. */
const hasEnded = (lost: Effect.Effect<never, StoreLost>): Effect.Effect<void, StoreLost> =>
  firstOf(lost, Effect.sleep(0))

/** Returns a limit for commits that fits every answer of `--max-output`, with the rest of its JSON document. */
const commitBytes = (maxOutput: number): number => 16 * 1024 * 1024 + 4 * maxOutput
