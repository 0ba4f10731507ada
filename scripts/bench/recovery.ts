/** Workloads: cold starts of sessions with queued inputs and of the command line program. */
import Database from "better-sqlite3"
import * as Effect from "effect/Effect"
import { spawnSync } from "node:child_process"
import { cpSync, existsSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import { SessionId } from "../../src/domain/Ids.js"
import { atMost, inFolder, median, onMachine, say } from "./support.js"
import type { Row, Workload } from "./support.js"

const beside = (name: string): string => fileURLToPath(new URL(name, import.meta.url))

const node = (...given: ReadonlyArray<string>) => {
  const since = performance.now()
  const { status, stderr, stdout } = spawnSync(process.execPath, given, { encoding: "utf8" })
  return { status, stdout, stderr, ms: performance.now() - since }
}

const seed = (filename: string, count: number) =>
  onMachine(
    filename,
    Effect.gen(function*() {
      const machine = yield* MeerkatMachine
      yield* Effect.forEach(
        Array.from({ length: count }, (_, i) => SessionId.make(`s${i}`)),
        (id) => Effect.zipRight(machine.registerSession(id), machine.session(id).prompt("hello")),
        {
          concurrency: 256,
          discard: true
        }
      )
    })
  )

const pending = (filename: string): number => {
  const db = new Database(filename, { readonly: true })
  const row = db.prepare("SELECT count(*) AS n FROM input_open").get() as { readonly n: number }
  db.close()
  return row.n
}

/** Measures recovery; each round gets a copy of the same file. */
const cold = async (count: number, rounds: number, bar: number, moonshot: number): Promise<ReadonlyArray<Row>> =>
  inFolder(async (folder) => {
    const filename = join(folder, "seed.db")
    await seed(filename, count)
    if (pending(filename) !== count) throw new Error(`${pending(filename)} of ${count} inputs are queued`)
    const live: Array<number> = []
    const done: Array<number> = []
    const ratios: Array<number> = []
    for (let round = 0; round < rounds; round++) {
      cpSync(filename, join(folder, `raw${round}.db`))
      cpSync(filename, join(folder, `own${round}.db`))
      const base = node(beside("./coldRaw.js"), join(folder, `raw${round}.db`))
      say(`raw: ${base.stdout.trim()}${base.stderr}`)
      const own = node(beside("./coldMachine.js"), join(folder, `own${round}.db`), String(count))
      if (own.status !== 0) throw new Error(own.stderr)
      const told = JSON.parse(own.stdout) as { readonly live: number; readonly done: number }
      live.push(told.live / 1000)
      done.push(told.done / 1000)
      ratios.push(told.live / base.ms)
    }
    const what = `cold recovery from process start, ${count} sessions with one queued input`
    return [
      atMost(
        `${what}: all live`,
        median(live),
        "s",
        bar,
        moonshot,
        `all inputs completed at ${median(done).toFixed(2)} s`
      ),
      atMost(`${what}: over raw reads and writes`, median(ratios), "×", 3, null)
    ]
  })

const recovery: Workload = async ({ quick }) => [
  ...await cold(1000, quick ? 3 : 5, 1, 0.5),
  ...quick ? [] : await cold(10_000, 3, 4, 1.5)
]

const cli: Workload = async ({ quick }) => {
  const what = "CLI cold start over bare node"
  const main = beside("../../src/cli/main.js")
  const skipped = (note: string) => [atMost(what, Number.NaN, "×", 4, 2.6, `skipped: ${note}`)]
  if (!existsSync(main)) return skipped("src/cli/main.ts is not there")
  const first = node(main, "--version")
  if (first.status !== 0) {
    return skipped((first.stderr.split("\n").find((line) => line.includes("rror")) ?? "it fails").trim())
  }
  const ratios: Array<number> = []
  const taken: Array<number> = []
  for (let round = 0; round < (quick ? 9 : 25); round++) {
    const bare = node("-e", "0").ms
    const own = node(main, "--version").ms
    taken.push(own)
    ratios.push(own / bare)
  }
  return [atMost(what, median(ratios), "×", 4, 2.6, `--version in ${median(taken).toFixed(0)} ms`)]
}

export const workloads: Record<string, Workload> = { recovery, cli }
