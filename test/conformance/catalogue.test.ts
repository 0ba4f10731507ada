// @effect-diagnostics nodeBuiltinImport:off
/**
 * The catalogue of behaviours, by id. Tests name each row in their titles. At least one test of a row runs over memory
 * and over SQLite. Where a decision overrides a row, a comment beside the test names the decision.
 */
import { assert, describe, it } from "@effect/vitest"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

/** The row numbers of each table. */
const catalogue: Readonly<Record<string, string>> = {
  REG: "01 02 03 04 05 06 07 08 09 13 14 15 16 17 18 20 21 23",
  ENS: "01 02 03 04 05 06 07 08 09 10 11 12 13 15 16 17 19 20",
  UNR: "01 02 03 04 05 06 07 08 09 10 11 12 13 15 17 18 19 20 22 24 25",
  ING: "03 04 05 06 07 08 09 11 12 13 14 16 18 21 22 24 26 30 31 32 36 41",
  LOOP: "01 03 04 05 06 07 08 10 11 12 14 16 18 20 21 24 25 26 28 30 33",
  BAT: "01 02 03 04 06 07 09 10 13 18",
  INT: "01 02 03 07 09 10 11 12 13 14 17 18 19 20 21 22 23 24 26 27",
  CMP: "01 02 03 05 06 07 08 09 10 11 12",
  RUN: "01 02 03 04 05 06 07",
  RCV: "01 02 03 04 05 06 07 08 11 12 16 17 18 22 24 29",
  OPS: "01 02 03 04 08 09 11 12 13 14 16 19 20 22 24 25 26 27 28 30",
  FEED: "01 02 04 07 08 09 10 12 13 15",
  STO: "01 02 03 04 05 06 09 11 14",
  CTL: "01 02 04 05 06 07 08 09 11 12 13 15 17 18 19 20 24 25 28",
  VIS: "01 02 03 06 08 09 10 11 12",
  LLM: "01 03 04 07 08 10",
  DRN: "01 02 03 04 05 06 07 11 13 15 16",
  BND: "01 02 03 04 07 08 10",
  SNP: "01 02 03 04 05 06 07 08 09 10 11 12"
}

/** Rows that a decision overrides in whole or in part (docs/explanation/decisions). */
const overridden: Readonly<Record<string, string>> = {
  "REG-03": "D3",
  "REG-09": "D4",
  "REG-14": "D1",
  "REG-15": "D3",
  "REG-16": "D3",
  "ENS-05": "D6",
  "ENS-07": "D5",
  "ENS-11": "D5",
  "ENS-12": "D6",
  "ENS-15": "D12",
  "ENS-20": "D8",
  "UNR-08": "D17",
  "UNR-09": "D3",
  "UNR-13": "D7",
  "UNR-15": "D7",
  "UNR-20": "D28",
  "ING-12": "D19",
  "ING-21": "D9",
  "LOOP-03": "D9",
  "LOOP-04": "D9",
  "LOOP-08": "D10",
  "LOOP-10": "D8",
  "LOOP-11": "D21",
  "LOOP-12": "D21",
  "LOOP-14": "D20",
  "LOOP-16": "D11",
  "BAT-09": "D15",
  "INT-03": "D17",
  "INT-09": "D16",
  "INT-10": "D16",
  "CMP-05": "D19",
  "RUN-07": "D21",
  "RCV-02": "D11",
  "RCV-03": "D11",
  "RCV-05": "D20",
  "RCV-06": "D20",
  "RCV-07": "D20",
  "RCV-08": "D20",
  "RCV-12": "D1",
  "RCV-16": "D1",
  "RCV-18": "D3",
  "OPS-20": "D28",
  "OPS-22": "D29",
  "OPS-28": "D28",
  "FEED-12": "D29",
  "CTL-13": "D24",
  "CTL-15": "D24",
  "VIS-03": "D1",
  "SNP-03": "D26",
  "SNP-11": "D17"
}

/** Rows that concern a single store or no store, with the reason. */
const oneStore: Readonly<Record<string, string>> = {
  "CMP-11": "a schedule",
  "ING-36": "a schedule",
  "LOOP-20": "a schedule",
  "LOOP-33": "a schedule",
  "RCV-08": "D20: the other store refuses such rows"
}

const root = fileURLToPath(new URL("..", import.meta.url))

interface Title {
  readonly file: string
  readonly text: string
  readonly ids: ReadonlyArray<string>
  /** whether the test runs over both stores */
  readonly both: boolean
  /** the lines around the test: the first 8 of the file, the 9 before the title, and the title */
  readonly around: string
}

/** Titles that begin with ids of the catalogue: `row("REG-01 …")`, `it("CTL-05 CTL-06 …")`. */
const call = /\b(row|memoryRow|it(?:\.\w+)*)\(\s*["'`]((?:[A-Z]{3,4}-\d{2}[ ,]+)+[^"'`\n]*)/g

const titlesOf = (file: string): ReadonlyArray<Title> => {
  const source = readFileSync(join(root, file), "utf8")
  const stores = /\["memory", RuntimeStoreMemory/.test(source)
  return Array.from(source.matchAll(call), (match) => {
    const [whole, how = "", text = ""] = match
    const lead = /^(?:[A-Z]{3,4}-\d{2}[ ,]+)+/.exec(text)?.[0] ?? ""
    const before = source.slice(0, match.index).split("\n")
    return {
      file,
      text,
      ids: Array.from(lead.matchAll(/[A-Z]{3,4}-\d{2}/g), ([id]) => id),
      both: how === "row" || stores,
      // A comment can stand before the test, before the loop that makes it, or at the beginning of its file.
      around: [...before.slice(0, 8), ...before.slice(-9), whole].join("\n")
    }
  })
}

const files = ["conformance", "contract", "kernel", "machine"].flatMap((folder) =>
  readdirSync(join(root, folder)).filter((name) => name.endsWith(".test.ts")).map((name) => `${folder}/${name}`)
)
const titles = files.flatMap(titlesOf)
const ids = Object.entries(catalogue).flatMap(([table, rows]) => rows.split(" ").map((row) => `${table}-${row}`))
const named = (id: string) => titles.filter((title) => title.ids.includes(id))

describe("catalogue", () => {
  it("every row is named by a test", () => {
    assert.strictEqual(ids.length, 267)
    assert.deepStrictEqual(ids.filter((id) => named(id).length === 0), [])
  })

  it("every row runs over both stores", () => {
    assert.deepStrictEqual(
      ids.filter((id) => !(id in oneStore) && named(id).length > 0 && !named(id).some(({ both }) => both)),
      []
    )
  })

  it("every overridden row has its decision beside a test", () => {
    const silent = Object.entries(overridden).filter(([id, decision]) =>
      named(id).length > 0 && !named(id).some(({ around }) => new RegExp(`\\b${decision}\\b`).test(around))
    )
    assert.deepStrictEqual(silent, [])
  })
})
