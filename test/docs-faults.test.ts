// @effect-diagnostics nodeBuiltinImport:off
/** Checks docs/verification/faults.md: every fault names a test that exists, or a reason why it cannot happen. */
import { existsSync, readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"

const root = new URL("..", import.meta.url)
const read = (path: string) => readFileSync(new URL(path, root), "utf8")

const rows = read("docs/verification/faults.md").split("\n").flatMap((line) => {
  const cells = line.split("|").map((cell) => cell.trim())
  return /^\| (K-|[TBDRSPCWL]\d)/.test(line) ? [{ id: cells[1] ?? "", shown: cells[3] ?? "" }] : []
})

const groups: ReadonlyArray<readonly [string, number]> = [
  ["T", 6],
  ["B", 4],
  ["D", 5],
  ["R", 9],
  ["S", 4],
  ["P", 6],
  ["C", 3],
  ["W", 7],
  ["L", 14]
]

const kills = [
  "K-accept-0",
  "K-accept-1",
  "K-accept-2",
  "K-accept-3",
  "K-accept-sup",
  "K-run-apply",
  "K-run-poison",
  "K-run-2",
  "K-run-3",
  "K-run-4",
  "K-run-5",
  "K-op-1",
  "K-op-2",
  "K-op-3",
  "K-op-5",
  "K-wake",
  "K-unreg",
  "K-open",
  "K-migrate"
]

describe("docs/verification/faults.md", () => {
  it("lists every fault once", () => {
    const expected = [
      ...kills,
      ...groups.flatMap(([group, count]) => Array.from({ length: count }, (_, n) => `${group}${n + 1}`))
    ]
    expect(rows.map(({ id }) => id).sort()).toEqual(expected.sort())
  })

  it("names an existing test or a reason for every fault", () => {
    for (const { id, shown } of rows) {
      const named = Array.from(shown.matchAll(/`(test\/[^`]+\.test\.ts)`: ?"([^"]+)"/g))
      if (named.length === 0) expect(shown, id).toMatch(/^cannot happen: .{20,}/)
      for (const [, path = "", name = ""] of named) {
        expect(existsSync(new URL(path, root)), `${id}: ${path}`).toBe(true)
        expect(read(path), `${id}: ${path}`).toContain(name)
      }
    }
  })
})
