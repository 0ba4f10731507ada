/** Workloads: bursts, unregistrations, and many sessions with little work. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { join } from "node:path"
import { monitorEventLoopDelay } from "node:perf_hooks"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import { SessionId } from "../../src/domain/Ids.js"
import { atLeast, atMost, executor, inFolder, median, onMachine, rate, raw } from "./support.js"
import type { Workload } from "./support.js"

const burst: Workload = ({ quick }) =>
  inFolder(async (folder) => {
    const program = raw(join(folder, "raw.db"))
    rate(program, 200)
    const ratios: Array<number> = []
    await onMachine(
      join(folder, "store.db"),
      Effect.gen(function*() {
        const machine = yield* MeerkatMachine
        for (let round = 0; round < (quick ? 3 : 7); round++) {
          const l = rate(program, 500)
          const id = SessionId.make(`s${round}`)
          yield* machine.registerSession(id)
          const session = machine.session(id)
          const since = performance.now()
          yield* Effect.forEach(
            Array.from({ length: 10_000 }, (_, i) => i),
            (i) => session.prompt(`hello ${i}`),
            { concurrency: "unbounded", discard: true }
          )
          ratios.push(10_000 / (performance.now() - since) * 1000 / l)
          yield* machine.unregisterSession(id)
        }
      })
    )
    program.close()
    return [atLeast("burst of 10,000 accepts into one session", median(ratios), "L", 1.2, 3)]
  })

const unregister: Workload = ({ quick }) =>
  inFolder((folder) =>
    onMachine(
      join(folder, "store.db"),
      Effect.gen(function*() {
        const machine = yield* MeerkatMachine
        const before = yield* machine.fiberCount
        const taken: Array<number> = []
        let resolved = 0
        for (let round = 0; round < (quick ? 3 : 7); round++) {
          const ids = Array.from({ length: 1000 }, (_, i) => SessionId.make(`s${round}-${i}`))
          const waiters = yield* Effect.forEach(ids, (id) =>
            Effect.gen(function*() {
              yield* machine.ensureSessionWithExecutor(id, executor(0))
              const { completion } = yield* machine.session(id).prompt("later", { hold: true })
              return yield* Effect.fork(completion.wait)
            }), { concurrency: 64 })
          const since = performance.now()
          yield* Effect.forEach(ids, (id) => machine.unregisterSession(id), { concurrency: "unbounded", discard: true })
          yield* Effect.forEach(waiters, Fiber.join, { discard: true })
          taken.push(performance.now() - since)
          resolved += waiters.length
        }
        yield* Effect.sleep(100)
        const leaked = (yield* machine.fiberCount) - before
        const note = `${resolved} waiters resolved, ${leaked} fibers left`
        return [atMost("unregister 1,000 sessions, a waiter each", median(taken), "ms", 500, 100, note)]
      })
    )
  )

const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length

const many: Workload = ({ quick }) =>
  inFolder((folder) =>
    onMachine(
      join(folder, "store.db"),
      Effect.gen(function*() {
        const machine = yield* MeerkatMachine
        const ids = Array.from({ length: 5000 }, (_, i) => SessionId.make(`s${i}`))
        yield* Effect.forEach(ids, (id) => machine.ensureSessionWithExecutor(id, executor(5)), {
          concurrency: 64,
          discard: true
        })
        yield* Effect.sleep(200)
        const idle = timers()
        const cpu = process.cpuUsage()
        // longer than an occasional keep-alive of the runtime
        yield* Effect.sleep(3000)
        const spent = process.cpuUsage(cpu)
        const until = performance.now() + (quick ? 4000 : 15_000)
        const work = (id: SessionId) =>
          Effect.gen(function*() {
            const session = machine.session(id)
            while (performance.now() < until) yield* session.ask("hello")
          })
        const delay = monitorEventLoopDelay({ resolution: 1 })
        const active = yield* Effect.fork(
          Effect.forEach(ids.slice(0, 200), work, { concurrency: "unbounded", discard: true })
        )
        yield* Effect.sleep(500)
        delay.enable()
        yield* Fiber.join(active)
        delay.disable()
        const ms = (nanos: number) => Math.max(0, nanos / 1e6 - 1)
        return [
          atMost("5,000 idle sessions: timers", idle - 1, "", 0, 0, "the pause of the measurement left out"),
          atMost("5,000 idle sessions: CPU in 3 s", (spent.user + spent.system) / 1000, "ms", null, null),
          atMost("event-loop stall at 5,000 sessions, 200 active, p99", ms(delay.percentile(99)), "ms", 20, 5),
          atMost("event-loop stall at 5,000 sessions, 200 active, max", ms(delay.max), "ms", 100, 20)
        ]
      })
    )
  )

export const workloads: Record<string, Workload> = { burst, unregister, many }
