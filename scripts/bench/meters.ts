/**
 * Counts work without a clock: the meters of `npm run bench:counts`.
 *
 * Meters use public API or wrap platform functions, in the measuring process only. The shipped layers do not know them.
 *
 * - operations: Effect asks its scheduler once per evaluated operation whether to yield;
 * - tasks: the tasks that the scheduler receives; fibers: the fibers that a supervisor sees start;
 * - timers, immediates, hashes, stringifies: calls of the platform's functions;
 * - statements, rows: calls of the SQLite driver's statements, and the rows that they changed.
 */
import Database from "better-sqlite3"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as Scheduler from "effect/Scheduler"
import * as Supervisor from "effect/Supervisor"
import { Session } from "node:inspector"
import { createRequire, syncBuiltinESMExports } from "node:module"

const require = createRequire(import.meta.url)

/** The counts since the meters were installed. */
export interface Counts {
  operations: number
  tasks: number
  fibers: number
  timers: number
  immediates: number
  hashes: number
  stringifies: number
  statements: number
  rows: number
}

export const counts: Counts = {
  operations: 0,
  tasks: 0,
  fibers: 0,
  timers: 0,
  immediates: 0,
  hashes: 0,
  stringifies: 0,
  statements: 0,
  rows: 0
}

/** Counts the fibers that start under it; it keeps no reference to them. */
class FiberMeter extends Supervisor.AbstractSupervisor<void> {
  override get value() {
    return Effect.void
  }
  override onStart<A, E, R>(_: Context.Context<R>, __: Effect.Effect<A, E, R>, ___: unknown, ____: unknown): void {
    counts.fibers++
  }
}

/** Behaves like the default scheduler, and counts. */
class CountingScheduler implements Scheduler.Scheduler {
  private tasks: Array<Scheduler.Task> = []
  private running = false
  private depth = 0

  shouldYield(fiber: Fiber.RuntimeFiber<unknown, unknown>): number | false {
    counts.operations++
    return fiber.currentOpCount > 2048 ? 0 : false
  }
  scheduleTask(task: Scheduler.Task): void {
    counts.tasks++
    this.tasks.push(task)
    if (this.running) return
    this.running = true
    this.next()
  }
  private next(): void {
    if (this.depth++ < 2048) {
      void Promise.resolve().then(() => this.drain())
      return
    }
    this.depth = 0
    realSetTimeout(() => this.drain(), 0)
  }
  private drain(): void {
    const tasks = this.tasks
    this.tasks = []
    for (const task of tasks) task()
    if (this.tasks.length === 0) this.running = false
    else this.next()
  }
}

const realSetTimeout = globalThis.setTimeout

/** Wraps the platform's functions. Call it once, before the measured modules do any work. */
export const install = (): void => {
  const timeout = globalThis.setTimeout
  globalThis.setTimeout = Object.assign((...args: Parameters<typeof timeout>) => {
    counts.timers++
    return timeout(...args)
  }, timeout)
  const immediate = globalThis.setImmediate
  globalThis.setImmediate = Object.assign((...args: Parameters<typeof immediate>) => {
    counts.immediates++
    return immediate(...args)
  }, immediate)
  JSON.stringify = new Proxy(JSON.stringify, {
    apply: (stringify, self, args) => {
      counts.stringifies++
      return Reflect.apply(stringify, self, args)
    }
  })
  const crypto = require("node:crypto") as Record<string, (...args: ReadonlyArray<unknown>) => unknown>
  const zlib = require("node:zlib") as Record<string, (...args: ReadonlyArray<unknown>) => unknown>
  for (const [holder, name] of [[crypto, "createHash"], [crypto, "hash"], [zlib, "crc32"]] as const) {
    const real = holder[name]
    if (real === undefined) continue
    holder[name] = (...args) => {
      counts.hashes++
      return real(...args)
    }
  }
  syncBuiltinESMExports()
  meterStatements()
}

/** Wraps the statements of the driver, which share a prototype. */
const meterStatements = (): void => {
  const db = new Database(":memory:")
  const prototype = Object.getPrototypeOf(db.prepare("SELECT 1")) as Record<
    string,
    (...args: Array<unknown>) => unknown
  >
  db.close()
  for (const name of ["run", "get", "all", "iterate"]) {
    const real = prototype[name]
    if (real === undefined) continue
    prototype[name] = function(...args) {
      counts.statements++
      const result = real.apply(this, args)
      if (name === "run") counts.rows += (result as { readonly changes: number }).changes
      return result
    }
  }
}

/** Runs an effect and counts its operations and those of every fiber it starts. */
export const counted = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  self.pipe(Effect.supervised(new FiberMeter()), Effect.withScheduler(new CountingScheduler()))

export const reading = (): Counts => ({ ...counts })

/** Returns the difference of two readings, per unit. */
export const between = (before: Counts, after: Counts, units: number): Counts => {
  const per = (name: keyof Counts) => (after[name] - before[name]) / units
  return {
    operations: per("operations"),
    tasks: per("tasks"),
    fibers: per("fibers"),
    timers: per("timers"),
    immediates: per("immediates"),
    hashes: per("hashes"),
    stringifies: per("stringifies"),
    statements: per("statements"),
    rows: per("rows")
  }
}

/** Returns the bytes that the body allocates, collected or not, by the sampling heap profiler. */
export const allocated = async (body: () => Promise<void>): Promise<number> => {
  const session = new Session()
  session.connect()
  const post = (method: string, params: object = {}) =>
    new Promise<unknown>((resolve, reject) =>
      session.post(method, params, (error, result) => error === null ? resolve(result) : reject(error))
    )
  await post("HeapProfiler.enable")
  await post("HeapProfiler.startSampling", {
    samplingInterval: 16_384,
    includeObjectsCollectedByMajorGC: true,
    includeObjectsCollectedByMinorGC: true
  })
  await body()
  const { profile } = await post("HeapProfiler.stopSampling") as {
    readonly profile: { readonly samples: ReadonlyArray<{ readonly size: number }> }
  }
  session.disconnect()
  return profile.samples.reduce((sum, { size }) => sum + size, 0)
}

/** Returns the heap in use after a full collection. */
export const liveHeap = (): number => {
  globalThis.gc?.()
  globalThis.gc?.()
  return process.memoryUsage().heapUsed
}
