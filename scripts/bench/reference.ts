/**
 * The reference program P: the least that a supervised, durable turn costs in Effect.
 *
 * One parked loop fiber per session takes inputs from its inbox. An append-only log with group commit keeps each input
 * and each answer (WAL, `synchronous = FULL`). A caller receives its answer after the commit. P has no kernel, schema,
 * digest, retry or recovery: the cost of the machine beyond P is the price of its guarantees.
 */
import Database from "better-sqlite3"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"

interface Row {
  readonly session: string
  readonly seq: number
  readonly kind: 0 | 1
  readonly body: string
  readonly resume: (effect: Effect.Effect<void>) => void
}

/** A log that commits the rows of one pass of the event loop, or of one millisecond. */
class Log {
  private readonly db: Database.Database
  private readonly insert: Database.Statement
  private readonly begin: Database.Statement
  private readonly commit: Database.Statement
  private rows: Array<Row> = []
  private armed = false
  private seen = 0
  private since = 0

  constructor(filename: string) {
    this.db = new Database(filename)
    this.db.pragma("journal_mode = WAL")
    this.db.pragma("synchronous = FULL")
    this.db.exec(
      "CREATE TABLE IF NOT EXISTS log (id INTEGER PRIMARY KEY, session TEXT, seq INTEGER, kind INTEGER, body TEXT)"
    )
    this.insert = this.db.prepare("INSERT INTO log (session, seq, kind, body) VALUES (?, ?, ?, ?)")
    this.begin = this.db.prepare("BEGIN IMMEDIATE")
    this.commit = this.db.prepare("COMMIT")
  }

  /** Appends a row; completes when it is durable. */
  append(session: string, seq: number, kind: 0 | 1, body: string): Effect.Effect<void> {
    return Effect.async<void>((resume) => {
      this.rows.push({ session, seq, kind, body, resume })
      if (this.armed) return
      this.armed = true
      this.seen = 0
      this.since = performance.now()
      setImmediate(this.tick)
    })
  }

  close(): void {
    this.db.close()
  }

  private readonly tick = (): void => {
    if (this.rows.length !== this.seen && performance.now() - this.since < 1) {
      this.seen = this.rows.length
      setImmediate(this.tick)
      return
    }
    this.armed = false
    const batch = this.rows
    this.rows = []
    this.begin.run()
    for (const row of batch) this.insert.run(row.session, row.seq, row.kind, row.body)
    this.commit.run()
    for (const row of batch) row.resume(Effect.void)
  }
}

interface Input {
  readonly seq: number
  readonly text: string
}

/** One session: its inbox, its waiters, and the loop that a supervisor can interrupt. */
class Session {
  private readonly inbox: Array<Input> = []
  private wake: ((effect: Effect.Effect<ReadonlyArray<Input>>) => void) | null = null
  private readonly waiters = new Map<number, (effect: Effect.Effect<string>) => void>()
  private next = 0
  readonly loop: Fiber.RuntimeFiber<never>

  constructor(
    private readonly id: string,
    private readonly log: Log,
    private readonly apply: () => Effect.Effect<string>
  ) {
    this.loop = Effect.runFork(
      Effect.forever(Effect.flatMap(this.take, (batch) => Effect.forEach(batch, this.turn, { discard: true })))
    )
  }

  /** Stores the input, and completes with the answer. */
  ask(text: string): Effect.Effect<string> {
    const seq = this.next++
    const accepted = Effect.map(
      this.log.append(this.id, seq, 0, JSON.stringify({ text })),
      () => this.offer({ seq, text })
    )
    return Effect.zipRight(accepted, Effect.async<string>((resume) => void this.waiters.set(seq, resume)))
  }

  private readonly take = Effect.async<ReadonlyArray<Input>>((resume) => {
    if (this.inbox.length > 0) resume(Effect.succeed(this.inbox.splice(0)))
    else this.wake = resume
  })

  private readonly turn = ({ seq }: Input): Effect.Effect<void> =>
    Effect.flatMap(this.apply(), (answer) =>
      Effect.map(this.log.append(this.id, seq, 1, answer), () => {
        this.waiters.get(seq)?.(Effect.succeed(answer))
        this.waiters.delete(seq)
      }))

  private offer(input: Input): void {
    const { wake } = this
    if (wake === null) {
      this.inbox.push(input)
      return
    }
    this.wake = null
    wake(Effect.succeed([input]))
  }
}

export interface Reference {
  /** Lets every session ask that many times in sequence; completes when all have their answers. */
  readonly round: (times: number, text: string) => Promise<void>
  /** The same work as an effect, for the meters. */
  readonly rounds: (times: number, text: string) => Effect.Effect<void>
  readonly close: () => Promise<void>
}

/** Opens the log and starts the loops. */
export const open = (
  filename: string,
  sessions: number,
  apply: () => Effect.Effect<string> = () => Effect.succeed("ok")
): Reference => {
  const log = new Log(filename)
  const all = Array.from({ length: sessions }, (_, i) => new Session(`s${i}`, log, apply))
  const rounds = (times: number, text: string) =>
    Effect.forEach(
      all,
      (session) => Effect.forEach(Array.from({ length: times }), () => session.ask(text), { discard: true }),
      { concurrency: "unbounded", discard: true }
    )
  return {
    rounds,
    round: (times, text) => Effect.runPromise(rounds(times, text)),
    close: async () => {
      await Effect.runPromise(Fiber.interruptAll(all.map(({ loop }) => loop)))
      log.close()
    }
  }
}
