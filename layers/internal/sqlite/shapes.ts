/**
 * The part of inputs' facts that hardly varies (kind, policy, semantics, counters): long documents of which there are
 * few. They are stored once and named by number.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { Database, SqlFault } from "./database.js"

/** @since 0.1.0 @category models */
export interface Shapes {
  /** The number of a shape; a new one is written with the next batch, which is the first that can use it. */
  readonly idOf: (doc: string) => number
  /** writes what is new, in the transaction of a batch; to be followed by `written` once that is durable */
  readonly write: (db: Database) => Effect.Effect<void, SqlFault>
  readonly written: () => void
}

/** @since 0.1.0 @category constructors */
export const make = (db: Database): Effect.Effect<Shapes, SqlFault> =>
  Effect.map(db.all("SELECT id, doc FROM shape"), (rows) => {
    const ids = new Map(rows.map((row) => [String(row["doc"]), Number(row["id"])]))
    // beyond all that are there, also where one in between is lost: a number that is taken is nobody else's
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
