import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { existsSync, readFileSync } from "node:fs"
import { rows } from "../../src/kernel/table.js"
import { Coverage, gaps } from "../support/explore/coverage.js"
import type { Findings, Slice } from "../support/explore/engine.js"
import { walk } from "../support/explore/engine.js"
import { failures, markdown, parts } from "../support/explore/report.js"
import { isFull } from "../support/worlds.js"

const doc = new URL("../../docs/verification/exploration.md", import.meta.url)

/** The slices that a short run explores; `npm run test:proof` explores all. */
const small = ["inputs: ephemeral", "operations: two, 1 kept", "tools: deferred", "intents", "drain slot"]

describe("every state that commands and crashes lead to", () => {
  const coverage = new Coverage()
  const slices: Array<Findings> = []

  const all = parts(coverage)
  for (const { explore, name } of isFull ? all : all.filter(({ name }) => small.includes(name))) {
    it.live(name, () =>
      Effect.gen(function*() {
        const walking = explore()
        let step = walking.next()
        while (step.done !== true) {
          // yields to the event loop, so that the test process answers its parent on a slow machine
          yield* Effect.sleep(0)
          step = walking.next()
        }
        const findings = step.value
        slices.push(findings)
        assert.isTrue(findings.closed)
        for (const { counterExample, id, says } of findings.predicates) assert.isNull(counterExample, `${id}: ${says}`)
      }), 900_000)
  }

  it("has the slices that a short run explores", () => {
    assert.deepStrictEqual(small.filter((name) => !all.some((part) => part.name === name)), [])
  })

  // the following tests need all slices
  if (!isFull) return

  it("every row fires, every guard holds and fails, and every cell agrees with the phase matrix", () => {
    assert.deepStrictEqual(failures({ slices, coverage }), [])
  })

  it("docs/verification/exploration.md equals the result (npm run explore -- --write)", () => {
    assert.strictEqual(existsSync(doc) ? readFileSync(doc, "utf8") : "", markdown({ slices, coverage }))
  })

  it("the check reports a row that never fires, a guard that always holds and a wrong cell", () => {
    const [first, ...rest] = slices
    const missing = failures({ coverage, slices: rest })
    assert.isDefined(first)
    assert.include(missing, "the row run.beginInline never fires")
    const invented = {
      id: "run.x",
      slice: "run",
      on: "BeginInline",
      from: ["Stopped"],
      to: [],
      guards: { never: null }
    } as const
    const told = gaps(coverage, [...rows, invented])
    assert.include(told, "guard run.x never never holds")
    assert.include(told, "cell run BeginInline Stopped is guarded in the table, and was refused")
    assert.include(gaps(new Coverage(), rows), "TerminalPhase never happens")
  })
})

describe("the walk itself", () => {
  /** A counter that goes up to 3 and down to 1, and cannot leave 3. */
  const toy: Slice<number, string> = {
    name: "toy",
    about: "",
    start: 0,
    moves: (n) => [
      { name: "up", kind: "work", make: () => n < 3 ? to(n + 1, "up") : refused },
      { name: "down", kind: "client", make: () => n === 2 ? to(1, "down") : refused }
    ],
    keyOf: String,
    dump: String,
    states: [{ id: "S", says: "never 3", check: (n) => n === 3 ? ["it is 3"] : [] }],
    steps: [{ id: "T", says: "never down", check: (_, made) => made === "down" ? ["it went down"] : [] }],
    paths: [
      { id: "W", says: "back to 1 by clients", from: () => true, along: ["client"], to: (n) => n === 1 },
      { id: "L", says: "always on to 3", from: () => true, along: ["work"], to: (n) => n === 3 }
    ],
    atMost: 10
  }
  const to = (node: number, made: string) => Either.right({ node, made, rows: [made] })
  const refused = Either.left({ reasons: ["no"] })

  it("counts states, steps, refusals, depth and rows", () => {
    const { accepted, closed, depth, refusals, rejected, rows, states } = walk(toy)
    assert.deepStrictEqual({ states, accepted, rejected, depth, closed }, {
      states: 4,
      accepted: 4,
      rejected: 4,
      depth: 3,
      closed: true
    })
    assert.deepStrictEqual(Array.from(rows), [["up", 3], ["down", 1]])
    assert.deepStrictEqual(Array.from(refusals), [["down: no", 3], ["up: no", 1]])
  })

  it("returns the shortest counterexample of each predicate and continues when one breaks", () => {
    const found = Object.fromEntries(walk(toy).predicates.map(({ counterExample, id }) => [id, counterExample?.trace]))
    assert.deepStrictEqual(found, {
      S: ["up", "up", "up"],
      T: ["up", "up", "down"],
      P30: undefined,
      W: [],
      L: undefined
    })
  })

  it("reports a move that mutates its state, and a slice that does not close", () => {
    const box = { value: 0 }
    const impure = walk<typeof box, string>({
      name: "impure",
      about: "",
      start: box,
      moves: () => [{ name: "poke", kind: "work", make: () => Either.left({ reasons: [String(box.value++)] }) }],
      keyOf: () => "",
      dump: ({ value }) => String(value),
      states: [],
      steps: [],
      paths: [],
      atMost: 10
    })
    assert.deepStrictEqual(impure.predicates.map(({ counterExample }) => counterExample?.details), [[
      "a move changed it"
    ]])
    assert.isFalse(walk({ ...toy, atMost: 1 }).closed)
  })
})
