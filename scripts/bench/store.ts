/** Workload: the store alone, against a loop that executes the same statements. */
import Database from "better-sqlite3"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { join } from "node:path"
import * as RuntimeStoreSqlite from "../../layers/RuntimeStoreSqlite.js"
import { RuntimeStore } from "../../services/RuntimeStore.js"
import { EpochId, RequestId, RunId, runtimeIdOf, SessionId, Sha256 } from "../../src/domain/Ids.js"
import * as Message from "../../src/domain/Message.js"
import type { RuntimeCommit } from "../../src/domain/RuntimeCommit.js"
import { atLeast, inFolder, median, say } from "./support.js"
import type { Workload } from "./support.js"

interface Executed {
  readonly database: Database.Database
  readonly sql: string
  readonly params: ReadonlyArray<unknown>
}

type Method = (this: Database.Statement, ...given: Array<unknown>) => unknown

/** Records every statement of the driver while the body runs. */
const recording = async <A>(
  body: (log: ReadonlyArray<Executed>) => Promise<A>
): Promise<readonly [A, ReadonlyArray<Executed>]> => {
  const log: Array<Executed> = []
  const probe = new Database(":memory:")
  const prototype = Object.getPrototypeOf(probe.prepare("SELECT 1")) as Record<"run" | "all" | "get", Method>
  probe.close()
  const { all, get, run } = prototype
  const spy = (method: Method): Method =>
    function(...given) {
      log.push({
        database: this.database,
        sql: this.source,
        params: given.map((value) => Array.isArray(value) ? Array.from(value) : value)
      })
      return method.apply(this, given)
    }
  Object.assign(prototype, { run: spy(run), all: spy(all), get: spy(get) })
  try {
    return [await body(log), log]
  } finally {
    Object.assign(prototype, { run, all, get })
  }
}

let counter = 0
const uuid = (): string => `0195f000-0000-7000-8000-${(++counter).toString(16).padStart(12, "0")}`
const at = 1_700_000_000_000
const none = { generation: 0, messageCount: 0, digest: null }

/** Makes commits with one appended message and a receipt each: the boundary of a small turn without its inputs. */
const commits = (session: SessionId, count: number): ReadonlyArray<RuntimeCommit> => {
  const made: Array<RuntimeCommit> = []
  let head: RuntimeCommitHead = none
  for (let i = 0; i < count; i++) {
    const next = { generation: 0, messageCount: i + 1, digest: Sha256.make(i.toString(16).padStart(64, "0")) }
    const runId = RunId.make(uuid())
    made.push({
      requestId: RequestId.make(uuid()),
      runtimeId: runtimeIdOf(session),
      sessionId: session,
      incarnation: 1,
      basis: i + 1,
      at,
      inputs: [],
      clearKeys: [],
      session: { _tag: "Append", base: head, messages: [Message.ofText("assistant", `answer ${i}`)], head: next },
      receipt: {
        receipt: {
          runId,
          sequence: 0,
          boundary: "run_start",
          contributingInputIds: [],
          conversationDigest: next.digest,
          messageCount: next.messageCount
        },
        outcome: { _tag: "Completed", result: { text: `answer ${i}` } }
      },
      operations: [],
      dropOperations: [],
      feed: [],
      slices: [],
      close: false
    })
    head = next
  }
  return made
}

type RuntimeCommitHead = NonNullable<RuntimeCommit["session"]>["base"]

const opening = (session: SessionId): RuntimeCommit => ({
  requestId: RequestId.make(uuid()),
  runtimeId: runtimeIdOf(session),
  sessionId: session,
  incarnation: 1,
  basis: 0,
  at,
  inputs: [],
  clearKeys: [],
  operations: [],
  dropOperations: [],
  feed: [],
  epoch: {
    epochId: EpochId.make(uuid()),
    retired: false,
    lastSeq: 0,
    droppedThrough: 0,
    cursors: { agentApplied: 0, observed: 0, injected: 0 }
  },
  slices: [],
  close: false
})

const submitters = 64

/** Returns the store's commits per second; calls `mark` when the timed part begins and ends. */
const ofStore = (filename: string, each: number, mark: () => void): Promise<readonly [number, number]> =>
  Effect.runPromise(
    Effect.gen(function*() {
      const store = yield* RuntimeStore
      const sessions = Array.from({ length: submitters }, (_, i) => SessionId.make(`s${i}`))
      yield* Effect.forEach(
        sessions,
        (session) =>
          store.openRuntime(runtimeIdOf(session), () => Either.right({ commit: opening(session), value: undefined }))
      )
      const prebuilt = sessions.map((session) => commits(session, each))
      let members = 0
      mark()
      const since = performance.now()
      yield* Effect.forEach(
        prebuilt,
        (own) =>
          Effect.forEach(own, (commit) =>
            Effect.map(store.commit(commit), (ack) => {
              members += ack.batchSize
            }), { discard: true }),
        { concurrency: "unbounded", discard: true }
      )
      const total = submitters * each
      const perSecond = total / (performance.now() - since) * 1000
      mark()
      return [perSecond, members / total] as const
    }).pipe(Effect.provide(RuntimeStoreSqlite.layer({ filename })))
  )

interface Recorded {
  readonly prologue: ReadonlyArray<Executed>
  readonly timed: ReadonlyArray<Executed>
}

const ofLoop = (filename: string, { prologue, timed }: Recorded, total: number): number => {
  const db = new Database(filename)
  const prepared = new Map<string, Database.Statement>()
  const execute = ({ params, sql }: Executed): void => {
    let statement = prepared.get(sql)
    if (statement === undefined) prepared.set(sql, statement = db.prepare(sql))
    if (statement.reader) statement.all(...params)
    else statement.run(...params)
  }
  for (const each of prologue) {
    // not every statement of the prologue may stay prepared: pragmas change what a statement means
    prepared.clear()
    execute(each)
  }
  const names = ["journal_mode", "synchronous", "page_size", "wal_autocheckpoint"]
  say(`loop: ${names.map((name) => `${name}=${String(db.pragma(name, { simple: true }))}`).join(" ")}`)
  const since = performance.now()
  for (const each of timed) execute(each)
  const perSecond = total / (performance.now() - since) * 1000
  db.close()
  return perSecond
}

/** Repeats only the recorded statements of the writing connection. */
const alone: Workload = ({ quick }) =>
  inFolder(async (folder) => {
    const each = quick ? 60 : 200
    const marks: Array<number> = []
    const [, executed] = await recording((log) =>
      ofStore(join(folder, "recorded.db"), each, () => marks.push(log.length))
    )
    const [from = 0, to = 0] = marks
    const writer = executed[from]?.database
    const recorded: Recorded = {
      prologue: executed.slice(0, from).filter(({ database }) => database === writer),
      timed: executed.slice(from, to)
    }
    const ratios: Array<number> = []
    let perSecond = 0
    let size = 0
    await ofStore(join(folder, "warm.db"), each, () => undefined)
    for (let round = 0; round < (quick ? 5 : 9); round++) {
      const loop = ofLoop(join(folder, `loop${round}.db`), recorded, submitters * each)
      const [store, members] = await ofStore(join(folder, `store${round}.db`), each, () => undefined)
      perSecond = store
      size = members
      ratios.push(store / loop * 100)
    }
    const note = `${Math.round(perSecond)} commits/s, ${size.toFixed(0)} per batch`
    return [
      atLeast("store alone, 64 submitters, over a loop with the same statements", median(ratios), "%", 60, 80, note)
    ]
  })

export const workloads: Record<string, Workload> = { store: alone }
