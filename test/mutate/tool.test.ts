/** The mutation check itself: a mutant is exactly its described change, and a test that notices it is found. */
import { assert, describe, it } from "@effect/vitest"
import { transformSync } from "esbuild"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import type { Known, Reach } from "../../scripts/mutate/campaign.js"
import { cover, tryOne } from "../../scripts/mutate/campaign.js"
import type { Instrumented } from "../../scripts/mutate/instrument.js"
import { edited, instrument } from "../../scripts/mutate/instrument.js"
import { makeRunner } from "../../scripts/mutate/runner.js"
import { prepare, sampled } from "../../scripts/mutate/workplace.js"

const url = (code: string): string => `data:text/javascript;base64,${Buffer.from(code).toString("base64")}`
const compiled = (text: string): string => transformSync(text, { loader: "ts", format: "esm" }).code
const switchFor = (id: number): string => url(`export const __m = (id) => id === ${id}`)

const sample = `
export const steps: Array<string> = []
let last = 0
export const f = (n: number): string => {
  steps.length = 0
  if (n > 2) last = 2
  else if (n === 1) last = 1
  else last = n
  steps.push("a")
  return n > 0 && last < 2 ? "small" : "other"
}
export const row = { guards: { positive: (n: number) => n > 0 }, emit: (n: number) => [{ _tag: "Put", n }] }
`

type Sample = Readonly<{
  f: (n: number) => string
  row: { guards: { positive: (n: number) => boolean }; emit: (n: number) => ReadonlyArray<unknown> }
}>

/** The behaviour of the sample as data. */
const trace = ({ f, row }: Sample) => [
  [-1, 0, 1, 2, 3].map(f),
  [-1, 1].map(row.guards.positive),
  row.emit(1)
]

const loadWith = async (id: number): Promise<unknown> => {
  const { text } = instrument("src/kernel/sample.ts", sample, 0, switchFor(id))
  return trace(await import(/* @vite-ignore */ url(compiled(text))) as Sample)
}

const plain = async (text: string): Promise<unknown> =>
  trace(await import(/* @vite-ignore */ url(compiled(text))) as Sample)

const mutants: Instrumented["mutants"] = instrument("src/kernel/sample.ts", sample, 0, "").mutants

/** The third test fails for the rest of its process once a mutant was switched on. */
const sampleTests = `
import { it } from "vitest"
let spoilt = false
it("is broken", () => { throw new Error("always") })
it("passes", () => {})
it("is spoilt", () => {
  spoilt ||= process.env.MEERKAT_MUTANT !== "-1"
  if (spoilt) throw new Error("spoilt")
})
`

const memory = (): Known => {
  const known = new Map<number, Reach>()
  return { get: ({ id }) => known.get(id), put: ({ id }, reach) => void known.set(id, reach) }
}

describe("the mutation check", () => {
  it("a file with all mutants switched off behaves like the file", async () => {
    assert.deepStrictEqual(await loadWith(-1), await plain(sample))
  })

  it("a mutant that is switched on behaves like its change made by hand", async () => {
    for (const { edits, id } of mutants) {
      assert.deepStrictEqual(await loadWith(id), await plain(edited(sample, edits)), mutants[id]?.key ?? "")
    }
  })

  it("guards, bounds, steps and emits are mutated, each under a unique key", () => {
    const operators = new Set(mutants.map(({ operator }) => operator))
    for (
      const expected of [
        "assignment removed",
        "boundary moved",
        "branch never taken",
        "branch always taken",
        "condition true",
        "emit dropped",
        "guard of a row dropped",
        "left operand only",
        "statement removed"
      ]
    ) {
      assert.isTrue(operators.has(expected), expected)
    }
    assert.strictEqual(new Set(mutants.map(({ key }) => key)).size, mutants.length)
  })

  it(
    "mutants of the kernel are caught by its tests, and an unreached mutant is reported",
    { timeout: 240_000 },
    async () => {
      const workplace = prepare()
      const runner = makeRunner(workplace.folder, ["test/kernel/run.test.ts"])
      const fileOf = (id: number) => workplace.mutants[id]?.file
      const first = (file: string, operator: string) =>
        workplace.mutants.filter((mutant) => mutant.file === file && mutant.operator === operator).slice(0, 1)
      try {
        const coverage = await cover(runner, false, memory(), () => undefined)
        assert.deepStrictEqual(coverage.broken, [])
        const verdicts: Array<string> = []
        for (
          const mutant of [
            ...first("src/kernel/commands/run.ts", "boundary moved"),
            ...first("src/kernel/rows/run.ts", "emit dropped"),
            ...first("layers/internal/groupCommit.ts", "branch never taken")
          ]
        ) {
          verdicts.push(
            (await tryOne(runner, coverage, mutant, { budgetMs: 10_000, fileOf, isNew: () => false })).verdict
          )
        }
        assert.deepStrictEqual(verdicts, ["caught", "caught", "unreached"])
      } finally {
        runner.stop()
        workplace.remove()
      }
    }
  )

  it(
    "a test that also fails without the mutant does not count; one that only the mutant spoilt does",
    { timeout: 240_000 },
    async () => {
      const workplace = prepare()
      writeFileSync(join(workplace.folder, "test", "sample.test.js"), sampleTests)
      const told: Array<string> = []
      const runner = makeRunner(workplace.folder, ["test/sample.test.ts"], (text) => told.push(text))
      const put = (...tests: ReadonlyArray<number>) => ({
        mutant: 0,
        cover: false,
        tests: tests.map((test) => ({ test, timeoutMs: 5_000 }))
      })
      try {
        assert.strictEqual((await runner.run(put(0, 1, 2))).caught?.test, 2)
        assert.isNull((await runner.runFresh(put(0))).caught)
        assert.deepStrictEqual(told.map((text) => text.split(": ")[1]), Array(2).fill("test/sample.test.ts is broken"))
      } finally {
        runner.stop()
        workplace.remove()
      }
    }
  )

  it("a sample depends only on its seed and includes every file", () => {
    const all = ["one.ts", "two.ts"].flatMap((file, f) =>
      instrument(`src/kernel/${file}`, sample, f * 1000, "").mutants
    )
    const keys = (seed: number) => sampled(all, 6, seed).map(({ key }) => key)
    assert.deepStrictEqual(keys(1), keys(1))
    assert.notDeepEqual(keys(1), keys(2))
    assert.strictEqual(new Set(sampled(all, 1, 1).map(({ file }) => file)).size, 2)
  })
})
