/**
 * The quarantine of unreadable terminal rows. Readers find them but do not write: the quarantine remembers them and the
 * next batch stores them. If the process ends before that, the next read finds them again.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { CorruptRow } from "../../../src/domain/RuntimeCommit.js"
import type { Database, Row, SqlFault } from "./database.js"
import { sha256 } from "./digest.js"

/** The quarantined rows of a store. @since 0.1.0 @category models */
export interface Quarantine {
  /** remembers a row, with its bytes as evidence */
  readonly add: (row: CorruptRow, raw: Row) => Effect.Effect<void>
  /** what is remembered and not yet written */
  readonly pending: () => ReadonlyArray<CorruptRow>
  /** writes the remembered rows in the transaction of a batch; call `written` once that is durable */
  readonly write: (db: Database) => Effect.Effect<void, SqlFault>
  readonly written: () => void
}

/** Makes an empty quarantine. @since 0.1.0 @category constructors */
export const make = (): Quarantine => {
  const seen = new Set<string>()
  let found: ReadonlyArray<Found> = []
  let inFlight: ReadonlyArray<Found> = []
  return {
    add: (row, raw) =>
      Effect.map(Clock.currentTimeMillis, (at) => {
        const bytes = Buffer.from(String(raw["doc"]))
        const evidence = sha256(bytes)
        const name = `${row.table} ${row.key} ${Buffer.from(evidence).toString("hex")}`
        if (seen.has(name)) return
        seen.add(name)
        found = [...found, { row, at, bytes, evidence }]
      }),
    pending: () => found.map(({ row }) => row),
    write: (db) => {
      inFlight = found
      return Effect.forEach(
        inFlight,
        ({ at, bytes, evidence, row }) =>
          db.run("INSERT OR IGNORE INTO quarantine VALUES (?, ?, ?, ?, ?, ?)", [
            row.table,
            row.key,
            evidence,
            at,
            row.detail,
            bytes
          ]),
        { discard: true }
      )
    },
    written: () => {
      found = found.filter((row) => !inFlight.includes(row))
    }
  }
}

// --- internal ---

interface Found {
  readonly row: CorruptRow
  readonly at: number
  readonly bytes: Uint8Array
  readonly evidence: Uint8Array
}
