/** Workloads: log bytes, the cost of a long history, heap per session. */
import * as Effect from "effect/Effect"
import { statSync } from "node:fs"
import { join } from "node:path"
import type { CoreExecutor } from "../../services/CoreExecutor.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import * as SessionId from "../../src/domain/Ids.js"
import * as Message from "../../src/domain/Message.js"
import { atMost, executor, inFolder, median, onMachine, raw, twoCommits } from "./support.js"
import type { Workload } from "./support.js"

const turns = (filename: string, times: number, after: (done: number) => void) =>
  onMachine(
    filename,
    Effect.scoped(Effect.gen(function*() {
      const machine = yield* MeerkatMachine
      const session = yield* machine.sessionScoped("s", executor(0))
      after(0)
      for (let i = 0; i < times; i++) yield* session.ask(`hello ${i}`)
      after(times)
    }))
  )

/** Measures in a file with a thousand turns; the measured turns are few, so the log does not restart. */
const log: Workload = () =>
  inFolder(async (folder) => {
    const filename = join(folder, "store.db")
    await turns(filename, 1000, () => undefined)
    const sizes: Array<number> = []
    await turns(filename, 200, () => sizes.push(statSync(`${filename}-wal`).size))
    const [before = 0, after = 0] = sizes
    const note = after < 4 * 1024 * 1024 ? "" : "the log started over: too low"
    return [atMost("WAL bytes per small turn", (after - before) / 200 / 1024, "KiB", 8, 4, note)]
  })

const kilobyte: CoreExecutor = {
  apply: () =>
    Effect.succeed({
      session: { _tag: "Append", messages: [Message.ofText("assistant", "x".repeat(1024))] },
      terminal: { _tag: "RunResult", result: { text: "ok" } }
    })
}

/** Raw commits in between show how much the machine itself changed in the meantime. */
const late: Workload = ({ quick }) =>
  inFolder(async (folder) => {
    const last = quick ? 2000 : 10_000
    const program = raw(join(folder, "raw.db"))
    const taken: Array<number> = []
    const base: Array<number> = []
    await onMachine(
      join(folder, "store.db"),
      Effect.scoped(Effect.gen(function*() {
        const machine = yield* MeerkatMachine
        const session = yield* machine.sessionScoped("s", kilobyte)
        for (let i = 0; i < last; i++) {
          if (i === 100 || i === last - 100) base.push(yield* Effect.promise(() => twoCommits(program, 200, 0)))
          const since = performance.now()
          yield* session.ask(`hello ${i}`)
          taken.push(performance.now() - since)
        }
      }))
    )
    program.close()
    const [early = 1, now = 1] = base
    const ratio = median(taken.slice(last - 100)) / median(taken.slice(100, 200))
    const note = `raw commits in the meantime ${(now / early).toFixed(2)} ×`
    return [atMost(`cost of turns ${last - 100}–${last} over turns 100–200`, ratio, "×", 1.2, 1.05, note)]
  })

const used = (): number => {
  globalThis.gc?.()
  globalThis.gc?.()
  return process.memoryUsage().heapUsed
}

const heap: Workload = ({ quick }) =>
  inFolder((folder) =>
    onMachine(
      join(folder, "store.db"),
      Effect.gen(function*() {
        const machine = yield* MeerkatMachine
        const count = quick ? 2000 : 10_000
        const ids = Array.from({ length: 2 * count + 100 }, (_, i) => SessionId.SessionId.make(`s${i}`))
        const apply = executor(0)
        const register = (from: number, to: number) =>
          Effect.forEach(ids.slice(from, to), (id) => machine.registerSession(id), { concurrency: 64, discard: true })
        const attach = (from: number, to: number) =>
          Effect.forEach(ids.slice(from, to), (id) => machine.ensureSessionWithExecutor(id, apply), {
            concurrency: 64,
            discard: true
          })
        yield* register(0, 50)
        yield* attach(50, 100)
        yield* Effect.sleep(50)
        const start = used()
        yield* register(100, 100 + count)
        yield* Effect.sleep(50)
        const registered = used()
        yield* attach(100 + count, 100 + 2 * count)
        yield* Effect.sleep(50)
        const attached = used()
        return [
          atMost("heap per session, registered", (registered - start) / count / 1024, "KiB", 6, 2, `${count} sessions`),
          atMost(
            "heap per session, attached idle",
            (attached - registered) / count / 1024,
            "KiB",
            24,
            12,
            `${count} sessions`
          )
        ]
      })
    )
  )

const horde: Workload = ({ quick }) =>
  inFolder((folder) =>
    onMachine(
      join(folder, "store.db"),
      Effect.gen(function*() {
        const machine = yield* MeerkatMachine
        const count = quick ? 20_000 : 100_000
        const since = performance.now()
        yield* Effect.forEach(
          Array.from({ length: count }, (_, i) => SessionId.SessionId.make(`s${i}`)),
          (id) => machine.registerSession(id),
          { concurrency: 512, discard: true }
        )
        const seconds = (performance.now() - since) / 1000
        const note = quick ? "a fifth of it; the bars too" : ""
        const share = quick ? 0.2 : 1
        return [
          atMost(`${count} registered sessions: time`, seconds, "s", 60 * share, 20 * share, note),
          atMost(
            `${count} registered sessions: RSS`,
            process.memoryUsage().rss / 2 ** 30,
            "GiB",
            1.5 * share,
            0.5 * share,
            note
          )
        ]
      })
    )
  )

export const workloads: Record<string, Workload> = { log, late, heap, horde }
