/** What the workloads share: table rows, statistics, stores in their own folders, the raw program. */
import Database from "better-sqlite3"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import * as RuntimeStoreSqlite from "../../layers/RuntimeStoreSqlite.js"
import type * as CoreExecutor from "../../services/CoreExecutor.js"
import type { MeerkatMachine } from "../../services/MeerkatMachine.js"
import * as Turn from "../../services/Turn.js"

/** One line of the table. `atMost` tells whether a good value is below or above the bar. */
export interface Row {
  readonly what: string
  readonly value: number
  readonly unit: string
  readonly atMost: boolean
  readonly bar: number | null
  readonly moonshot: number | null
  readonly note?: string
}

export interface Options {
  readonly quick: boolean
}

export type Workload = (options: Options) => Promise<ReadonlyArray<Row>>

export const atMost = (
  what: string,
  value: number,
  unit: string,
  bar: number | null,
  moonshot: number | null,
  note = ""
) => ({
  what,
  value,
  unit,
  bar,
  moonshot,
  note,
  atMost: true
})

export const atLeast: typeof atMost = (...given) => ({ ...atMost(...given), atMost: false })

export const quantile = (values: ReadonlyArray<number>, q: number): number => {
  const sorted = Array.from(values).sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN
}

export const median = (values: ReadonlyArray<number>): number => quantile(values, 0.5)

/** Passes a new folder to the body and removes it afterwards. */
export const inFolder = async <A>(body: (folder: string) => Promise<A>): Promise<A> => {
  const folder = mkdtempSync(join(process.env["MEERKAT_BENCH_DIR"] ?? tmpdir(), "meerkat-bench-"))
  try {
    return await body(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Runs a program on its own machine in that file. */
export const onMachine = <A, E>(filename: string, program: Effect.Effect<A, E, MeerkatMachine>): Promise<A> =>
  Effect.runPromise(Effect.provide(
    program,
    MeerkatMachineLive.layer.pipe(Layer.provide(RuntimeStoreSqlite.layer({ filename })))
  ))

const answer = Turn.reply("ok")

/** Answers at once, or after that many milliseconds. */
export const executor = (ms: number): CoreExecutor.CoreExecutor => ({
  apply: () => ms === 0 ? Effect.succeed(answer) : Effect.as(Effect.sleep(ms), answer)
})

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))

const asked = ["journal_mode", "synchronous", "page_size", "wal_autocheckpoint"] as const

export interface Raw {
  readonly commit: () => void
  readonly pragmas: string
  readonly close: () => void
}

/** Opens the raw program for comparisons: one row of 200 bytes per FULL commit. */
export const raw = (filename: string): Raw => {
  const db = new Database(filename)
  db.pragma("journal_mode = WAL")
  db.exec("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, doc TEXT NOT NULL) STRICT")
  db.pragma("synchronous = FULL")
  const insert = db.prepare("INSERT INTO t (doc) VALUES (?)")
  const doc = "x".repeat(200)
  insert.run(doc)
  const pragmas = asked.map((name) => `${name}=${String(db.pragma(name, { simple: true }))}`).join(" ")
  return { pragmas, commit: () => void insert.run(doc), close: () => void db.close() }
}

/** Measures L: the commits per second of the raw program. */
export const rate = (program: Raw, ms: number): number => {
  const since = performance.now()
  let count = 0
  while (performance.now() - since < ms) {
    program.commit()
    count++
  }
  return count / (performance.now() - since) * 1000
}

/** Returns the p50 of two raw commits, with a pause in between as long as the executor takes. */
export const twoCommits = async (program: Raw, times: number, pause: number): Promise<number> => {
  const taken: Array<number> = []
  for (let i = 0; i < times; i++) {
    const since = performance.now()
    program.commit()
    if (pause > 0) await sleep(pause)
    program.commit()
    taken.push(performance.now() - since)
  }
  return median(taken)
}

/** Returns how many batches the store has committed, as its rows show. */
export const batches = (filename: string): number => {
  const db = new Database(filename, { readonly: true })
  const row = db.prepare("SELECT coalesce(max(commit_seq), 0) AS n FROM runtime").get() as { readonly n: number }
  db.close()
  return row.n
}

/** Prints to standard error; standard output has only the table. */
export const say = (text: string): void => void process.stderr.write(`${text}\n`)
