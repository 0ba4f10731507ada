/** Workloads of turns in one session and in many: latency, throughput, COMMITs per input. */
import * as Effect from "effect/Effect"
import { join } from "node:path"
import type { SessionHandle } from "../../services/MeerkatMachine.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import * as Reference from "./reference.js"
import {
  atLeast,
  atMost,
  batches,
  executor,
  inFolder,
  median,
  onMachine,
  quantile,
  rate,
  raw,
  say,
  twoCommits
} from "./support.js"
import type { Row, Workload } from "./support.js"

const sessions = (count: number, ms: number) =>
  Effect.flatMap(MeerkatMachine, (machine) =>
    Effect.forEach(
      Array.from({ length: count }, (_, i) => `s${i}`),
      (id) => machine.sessionScoped(id, executor(ms)),
      { concurrency: 64 }
    ))

const asks = (session: SessionHandle, times: number, taken: Array<number>) =>
  Effect.gen(function*() {
    for (let i = 0; i < times; i++) {
      const since = performance.now()
      yield* session.ask(`hello ${i}`)
      taken.push(performance.now() - since)
    }
  })

/** Measures pairs of raw program and machine alternately, in the same file system. */
const one = (ms: number, bar: number | null, moonshot: number | null): Workload => ({ quick }) =>
  inFolder(async (folder) => {
    const program = raw(join(folder, "raw.db"))
    say(`raw: ${program.pragmas}`)
    const filename = join(folder, "store.db")
    const times = quick ? 150 : 400
    const ratios: Array<number> = []
    const p50: Array<number> = []
    let perInput = 0
    await onMachine(
      filename,
      Effect.scoped(Effect.gen(function*() {
        const [session] = yield* sessions(1, ms)
        if (session === undefined) return
        yield* asks(session, 300, [])
        yield* Effect.promise(() => twoCommits(program, 100, 0))
        for (let round = 0; round < (quick ? 5 : 9); round++) {
          const base = yield* Effect.promise(() => twoCommits(program, times, ms))
          const before = batches(filename)
          const taken: Array<number> = []
          yield* asks(session, times, taken)
          perInput = (batches(filename) - before) / times
          p50.push(median(taken))
          ratios.push(median(taken) / base)
        }
      }))
    )
    program.close()
    const kind = ms === 0 ? "at once" : `${ms} ms`
    const note = `p50 ${median(p50).toFixed(2)} ms`
    const over = ms === 0 ? "over two raw commits" : `over two raw commits with ${ms} ms between`
    return [
      atMost(`one session, apply ${kind}: accept → completed p50, ${over}`, median(ratios), "×", bar, moonshot, note),
      atMost(`COMMITs per completed input, 1 session, apply ${kind}`, perInput, "", 2.05, 2)
    ]
  })

const many =
  (count: number, ms: number, rateBars: readonly [number, number], commitBars: readonly [number, number]): Workload =>
  ({ quick }) =>
    inFolder(async (folder) => {
      const program = raw(join(folder, "raw.db"))
      const filename = join(folder, "store.db")
      const each = Math.max(3, Math.round((quick ? 6000 : 20_000) / count))
      const ratios: Array<number> = []
      const rates: Array<number> = []
      const slow: Array<number> = []
      let perInput = 0
      await onMachine(
        filename,
        Effect.scoped(Effect.gen(function*() {
          const all = yield* sessions(count, ms)
          yield* Effect.forEach(all, (session) => asks(session, 2, []), { concurrency: "unbounded" })
          rate(program, 200)
          for (let round = 0; round < (quick ? 3 : 7); round++) {
            const l = rate(program, 500)
            const before = batches(filename)
            const taken: Array<number> = []
            const since = performance.now()
            yield* Effect.forEach(all, (session) => asks(session, each, taken), { concurrency: "unbounded" })
            const perSecond = count * each / (performance.now() - since) * 1000
            perInput = (batches(filename) - before) / (count * each)
            rates.push(perSecond)
            ratios.push(perSecond / l)
            slow.push(quantile(taken, 0.99))
          }
        }))
      )
      program.close()
      const kind = ms === 0 ? "at once" : `${ms} ms`
      const note = `${Math.round(median(rates))}/s, p99 ${median(slow).toFixed(0)} ms`
      const rows: ReadonlyArray<Row> = [
        atLeast(`${count} sessions, apply ${kind}: completed inputs/s`, median(ratios), "L", ...rateBars, note),
        atMost(`COMMITs per completed input, ${count} sessions, apply ${kind}`, perInput, "", ...commitBars)
      ]
      return rows
    })

interface Cost {
  /** CPU of this process per turn, in microseconds */
  readonly cpu: number
  /** wall time per turn of one session, in milliseconds */
  readonly wall: number
}

const costOf = async (turns: number, perSession: number, body: () => Promise<void>): Promise<Cost> => {
  const cpu = process.cpuUsage()
  const since = performance.now()
  await body()
  const { system, user } = process.cpuUsage(cpu)
  return { cpu: (system + user) / turns, wall: (performance.now() - since) / perSession }
}

const prompt = "x".repeat(200)

/** Measures the machine and the reference program alternately: the cost of a turn over the least cost in Effect. */
const overReference = (count: number, bar: number, moonshot: number): Workload => ({ quick }) =>
  inFolder(async (folder) => {
    const reference = Reference.open(join(folder, "reference.db"), count)
    const each = Math.max(5, Math.round((quick ? 3000 : 10_000) / count))
    const pairs: Array<{ readonly own: Cost; readonly base: Cost }> = []
    await onMachine(
      join(folder, "store.db"),
      Effect.scoped(Effect.gen(function*() {
        const all = yield* sessions(count, 0)
        const round = Effect.forEach(
          all,
          (session) => Effect.forEach(Array.from({ length: each }), () => session.ask(prompt), { discard: true }),
          { concurrency: "unbounded", discard: true }
        )
        const own = () => Effect.runPromise(round)
        yield* Effect.promise(own)
        yield* Effect.promise(() => reference.round(each, prompt))
        for (let pair = 0; pair < (quick ? 5 : 9); pair++) {
          const base = yield* Effect.promise(() => costOf(count * each, each, () => reference.round(each, prompt)))
          pairs.push({ base, own: yield* Effect.promise(() => costOf(count * each, each, own)) })
        }
      }))
    )
    await reference.close()
    const note = (of: (cost: Cost) => number, unit: string) =>
      `${median(pairs.map(({ own }) => of(own))).toFixed(2)} against ${
        median(pairs.map(({ base }) => of(base))).toFixed(2)
      } ${unit}`
    const ratio = (of: (cost: Cost) => number) => median(pairs.map(({ base, own }) => of(own) / of(base)))
    const many = count === 1 ? "1 session" : `${count} sessions`
    return count === 1
      ? [
        atMost(
          `${many}: time of a turn over P`,
          ratio(({ wall }) => wall),
          "×",
          bar,
          moonshot,
          note(({ wall }) => wall, "ms")
        )
      ]
      : [
        atMost(
          `${many}: CPU of a turn over P`,
          ratio(({ cpu }) => cpu),
          "×",
          bar,
          moonshot,
          note(({ cpu }) => cpu, "µs")
        )
      ]
  })

export const workloads: Record<string, Workload> = {
  referenceOne: overReference(1, 4, 2),
  referenceHundred: overReference(100, 6, 3),
  referenceThousand: overReference(1000, 6, 3),
  one: one(0, 3, 1.6),
  one5: one(5, null, null),
  hundred: many(100, 0, [1, 2.5], [0.1, 0.03]),
  hundred5: many(100, 5, [1, 2.5], [0.1, 0.03]),
  thousand: many(1000, 0, [1.2, 3], [0.02, 0.005]),
  thousand5: many(1000, 5, [1.2, 3], [0.02, 0.005])
}
