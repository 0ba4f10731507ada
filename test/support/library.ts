/** A process of the library that works on a file and ends in order. The program works on the same file before or after it. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import * as RuntimeStoreSqlite from "../../layers/RuntimeStoreSqlite.js"
import { MeerkatMachine, type MeerkatMachineService } from "../../services/MeerkatMachine.js"

/** Uses the machine of such a process with the sessions of the file. */
export const on = <A, E>(filename: string, use: (machine: MeerkatMachineService) => Effect.Effect<A, E>) =>
  Effect.flatMap(MeerkatMachine, use).pipe(
    Effect.provide(Layer.provide(MeerkatMachineLive.layer, RuntimeStoreSqlite.layer({ filename }))),
    Effect.orDie
  )
