/** Writes docs/reference/kernel.md: the rows of the table, and the moves of operations and of the drain slot. */
import type { Move } from "../../../src/kernel/matrix.js"
import { document } from "../../../src/kernel/matrix.js"
import { operationRows } from "../../../src/kernel/operationRows.js"
import { rows } from "../../../src/kernel/table.js"
import { drainSlot } from "./drainSlot.js"
import { walk } from "./engine.js"

export const kernelDocument = (): string => document(rows, { operation: operationMoves, "drain slot": drainMoves() })

// --- internal ---

const operationMoves: ReadonlyArray<Move> = operationRows.flatMap(({ from, on, to }) =>
  to === "same" ? [] : from.map((status) => ({ on, from: status, to }))
)

/** The slot is one function without rows, so its moves are those that its exploration made. */
const drainMoves = (): ReadonlyArray<Move> =>
  Array.from(walk(drainSlot).rows.keys()).flatMap((row) => {
    const [name = "", from = "", to = ""] = row.split(" ")
    return [{ on: name.replace("drain.", ""), from, to }]
  })
