/**
 * The shapes of inputs: the facts that hardly vary (kind, policy, semantics, counters). They are long but few, so each
 * is stored once and referred to by number. The encoding of commits uses them.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { Database, SqlFault } from "./database.js"

/** The shapes of a store. @since 0.1.0 @category models */
export interface Shapes {
  /** returns the number of a shape; a new shape is written with the next batch, the first that can refer to it */
  readonly idOf: (doc: string) => number
  /** writes new shapes in the transaction of a batch; call `written` once that is durable */
  readonly write: (db: Database) => Effect.Effect<void, SqlFault>
  readonly written: () => void
}

/** Reads the stored shapes. @since 0.1.0 @category constructors */
export const make = (db: Database): Effect.Effect<Shapes, SqlFault> =>
  Effect.map(db.all("SELECT id, doc FROM shape"), (rows) => {
    const ids = new Map(rows.map((row) => [String(row["doc"]), Number(row["id"])]))
    // above every stored number, even if rows in between were lost, so that no number is used twice
    let last = Math.max(0, ...ids.values())
    let fresh: ReadonlyArray<readonly [number, string]> = []
    let inFlight = fresh
    return {
      idOf: (doc) => {
        const known = ids.get(doc)
        if (known !== undefined) return known
        const id = ++last
        ids.set(doc, id)
        fresh = [...fresh, [id, doc]]
        return id
      },
      write: (writer) =>
        Effect.suspend(() => {
          inFlight = fresh
          return Effect.forEach(inFlight, (row) =>
            writer.run("INSERT OR IGNORE INTO shape (id, doc) VALUES (?, ?)", row), {
            discard: true
          })
        }),
      written: () => {
        if (inFlight.length > 0) fresh = fresh.filter((row) => !inFlight.includes(row))
      }
    }
  })
