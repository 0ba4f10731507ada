/**
 * Rule: all errors are values. A call may die only of a scripted defect; any other defect is a bug of the machine.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import type { Journal } from "./Journal.js"
import { violate } from "./Journal.js"

/**
 * A defect with the type of an error that neither JSON nor a cause printer can render.
 *
 * @since 0.1.0
 * @category models
 */
export const strange = { rows: 1n }

/**
 * Records a violation, under the name of the call, if a call dies of an unscripted defect.
 *
 * @since 0.1.0
 * @category combinators
 */
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
