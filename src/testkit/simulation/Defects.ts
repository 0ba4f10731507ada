/**
 * All errors are values: what a call dies of was scripted, or is a mistake of the machine.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import type { Journal } from "./Journal.js"
import { violate } from "./Journal.js"

/** Of the type of an error, and neither JSON nor a printer of causes gets over it. @since 0.1.0 @category models */
export const strange = { rows: 1n }

/** Has a defect that nobody scripted told, under the name of the call. @since 0.1.0 @category combinators */
export const watched =
  (journal: Journal, label: string) => <A, E, R>(call: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.tapDefect(call, (cause) =>
      Effect.sync(() => {
        const unscripted = Chunk.filter(Cause.defects(cause), (defect) => !isScripted(defect))
        for (const defect of unscripted) violate(journal, "defect", `${label} died of ${wordsOf(defect)}`)
      }))

// --- internal ---

const isScripted = (defect: unknown): boolean => defect === strange || wordsOf(defect).includes("simulated")

const wordsOf = (defect: unknown): string => defect instanceof Error ? defect.message : typeof defect
