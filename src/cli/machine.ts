/**
 * The machine of one command: on the store of `--db`, with the limits of the command line.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import * as RuntimeStoreSqlite from "../../layers/RuntimeStoreSqlite.js"
import type { MeerkatMachine } from "../../services/MeerkatMachine.js"
import * as MeerkatMachineConfig from "../../services/MeerkatMachineConfig.js"
import type { RuntimeStore } from "../../services/RuntimeStore.js"
import { type CliFailure, ofOpenError, usage } from "./failure.js"

/** @since 0.1.0 @category models */
export interface MachineFlags {
  readonly db: string
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
    RuntimeStoreSqlite.layer({ filename: flags.db, maxCommitBytes }),
    ofOpenError(flags.db)
  )
  return MeerkatMachineLive.layer.pipe(Layer.provideMerge(store), Layer.provide(limits))
}

/** Runs an effect with the machine; both are closed in order when it ends, however it ends. @since 0.1.0 @category running */
export const provide = (flags: MachineFlags) =>
<A, E, R>(
  self: Effect.Effect<A, E, R>
): Effect.Effect<A, E | CliFailure, Exclude<R, MeerkatMachine | RuntimeStore>> => Effect.provide(self, layer(flags))

// --- internal ---

/** Room for any answer that `--max-output` allows, and for what a document of it holds beside its text. */
const commitBytes = (maxOutput: number): number => 16 * 1024 * 1024 + 4 * maxOutput
