/** The tables and diagrams that are generated from the transition table. */
import { assert, describe, it } from "@effect/vitest"
import { document, phaseMatrix, stateDiagram, transitionTable } from "../../src/kernel/matrix.js"
import { rows } from "../../src/kernel/table.js"

describe("the generated tables", () => {
  it("list every row, each under a unique id", () => {
    assert.strictEqual(new Set(rows.map(({ id }) => id)).size, rows.length)
    const listed = transitionTable(rows)
    for (const { id } of rows) assert.include(listed, `| ${id} |`)
  })

  it("show in the phase matrix where a trigger leads from each phase", () => {
    const matrix = phaseMatrix(rows, "lifecycle")
    assert.include(matrix, "| lifecycle | Idle | Attached | Running | Retired | Stopped | Destroyed |")
    assert.include(matrix, "| Retire | Retired | Retired | =? = | = | · | · |")
    assert.include(matrix, "| Destroy | Destroyed | Destroyed | Destroyed | Destroyed | Destroyed | · |")
  })

  it("show each move of a slice once in the diagram", () => {
    const lines = stateDiagram(rows, "lifecycle", "run").split("\n")
    assert.strictEqual(lines[0], "stateDiagram-v2")
    assert.strictEqual(new Set(lines).size, lines.length)
    assert.isTrue(lines.some((line) => line.startsWith("  Attached --> Running: BeginRun")))
    assert.isFalse(lines.some((line) => line.startsWith("  Destroyed -->")))
  })

  it("have one section per slice in the document", () => {
    for (const slice of ["lifecycle", "registration", "run", "input", "rows"]) {
      assert.include(document(rows), `${slice === "rows" ? "## Rows" : `### ${slice}`}\n`)
    }
  })
})
