/**
 * The process that is killed: sessions on one store file, clients that never stop, and executors that log what they do.
 * It logs an acknowledgement before it continues.
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Layer from "effect/Layer"
import * as CoreExecutorCommand from "../../layers/CoreExecutorCommand.js"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import * as RuntimeStoreSqlite from "../../layers/RuntimeStoreSqlite.js"
import type { CoreExecutor, Turn } from "../../services/CoreExecutor.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import * as MeerkatMachineConfig from "../../services/MeerkatMachineConfig.js"
import * as Reply from "../../services/Turn.js"
import type { CompletionOutcome } from "../../src/domain/Completion.js"
import { ApplyFailed } from "../../src/domain/Errors.js"
import { SessionId } from "../../src/domain/Ids.js"
import type { Input } from "../../src/domain/Input.js"
import * as Log from "./log.js"
import { type Random, random } from "./random.js"

/** The only argument, as JSON: what this life does. */
export interface Job {
  readonly db: string
  readonly log: string
  readonly life: number
  readonly seed: number
  readonly sessions: number
  readonly executor: "library" | "command"
  /** the agent of the command executor, a shell script, and the file of its log */
  readonly agent: string
  readonly agentLog: string
  /** finishes everything instead of starting new work, and exits */
  readonly drain: boolean
}

const isJob = (value: unknown): value is Job => typeof value === "object" && value !== null && "db" in value

const parsed: unknown = JSON.parse(process.argv[2] ?? "null")
if (!isJob(parsed)) throw new Error("the driver takes one job")
const job: Job = parsed
const log = Log.open(job.log)
const { life } = job
const past = Log.read(job.log)
log.write({ _: "phase", life, phase: "begun", drain: job.drain })

const wrong = (what: string) => Effect.sync(() => log.write({ _: "wrong", life, what }))

// --- executors ---

const keyOf = (input: Input): string => input.header.idempotencyKey ?? "?"
const isSlow = (key: string) => key.includes("slow")
let answers = 0

/** Answers with the key, the process and the attempt. */
const library = (chance: Random): CoreExecutor["apply"] => (turn) => {
  const keys = turn.inputs.map(keyOf)
  const pause = keys.some(isSlow) && !job.drain ? 60_000 : chance.pick([0, 0, 1, 5, 15, 30, 45])
  const fails = chance.chance(0.02)
  return Effect.suspend(() => {
    const answer = `${keys.join("+")} answered by ${life}.${++answers}`
    const body = pause === 0 ? Effect.yieldNow() : Effect.sleep(pause)
    return Effect.zipRight(
      body,
      fails
        ? Effect.fail(new ApplyFailed({ cause: "RuntimeTurn", detail: answer }))
        : Effect.succeed(Reply.reply(answer))
    )
  })
}

const command = (): CoreExecutor["apply"] =>
  CoreExecutorCommand.make({
    command: { argv: ["/bin/sh", job.agent] },
    grace: "150 millis",
    env: { TORTURE_LOG: job.agentLog, TORTURE_LIFE: String(life), TORTURE_DRAIN: job.drain ? "1" : "0" }
  }).apply

/** Logs what the executor does. It logs an answer before the machine receives it. */
const telling = (apply: CoreExecutor["apply"]): CoreExecutor => ({
  apply: (turn: Turn) => {
    const tell = (what: "start" | "end" | "fail" | "interrupt", answer: string) => {
      for (const key of turn.inputs.map(keyOf)) {
        log.write({ _: what, life, session: turn.sessionId, key, answer })
      }
    }
    return Effect.suspend(() => {
      tell("start", "")
      return Effect.onExit(apply(turn), (exit) =>
        Effect.sync(() => {
          if (Exit.isSuccess(exit)) {
            const { terminal } = exit.value
            tell("end", terminal?._tag === "RunResult" ? terminal.result.text : "")
          } else tell(Cause.isInterrupted(exit.cause) ? "interrupt" : "fail", "")
        }))
    })
  }
})

// --- clients ---

const endOf = (outcome: CompletionOutcome): string =>
  outcome._tag === "Completed" ? `Completed ${outcome.result.text}` : outcome._tag

/** False for outcomes that are told but not stored: the waiter is released, the input stays open. */
const isStored = ({ _tag }: CompletionOutcome) =>
  _tag !== "RuntimeTerminated" && _tag !== "CompletedWithFinalizationFailure"

interface Client {
  readonly session: string
  readonly chance: Random
  readonly executor: CoreExecutor
  /** keys of earlier lives, and whether they were acknowledged */
  readonly known: Map<string, boolean>
  open: number
}

const offer = (client: Client, key: string, steer: boolean) =>
  Effect.gen(function*() {
    const machine = yield* MeerkatMachine
    const { session } = client
    const handle = machine.session(SessionId.make(session))
    const text = `${key} ${"please ".repeat(1 + client.chance.below(40))}`
    log.write({ _: "offer", life, session, key })
    const options = { idempotencyKey: key }
    const { completion, outcome } = yield* steer ? handle.steer(text, options) : handle.prompt(text, options)
    const fresh = outcome._tag === "Accepted"
    const id = outcome._tag === "Accepted" ? outcome.inputId : outcome.existingId
    if (fresh && client.known.get(key) === true) yield* wrong(`${session} ${key} was acknowledged and is not known`)
    log.write({ _: "ack", life, session, key, id, fresh })
    client.known.set(key, true)
    client.open++
    const told = Effect.map(completion.wait, (end) => {
      client.open--
      if (isStored(end)) log.write({ _: "done", life, session, key, end: endOf(end) })
    })
    return yield* Effect.forkScoped(told)
  })

/** Repeats commands that a restart or teardown may refuse; any other error is wrong. */
const tolerant = <A, R>(what: string, self: Effect.Effect<A, { readonly _tag: string; readonly message: string }, R>) =>
  Effect.catchAll(
    self,
    (error) => error._tag === "NotReady" ? Effect.void : wrong(`${what}: ${error._tag} ${error.message}`)
  )

const step = (client: Client, n: number) =>
  Effect.gen(function*() {
    const { chance, session } = client
    const machine = yield* MeerkatMachine
    const id = SessionId.make(session)
    const dice = chance.next()
    const old = Array.from(client.known.keys())
    const again = old[chance.below(Math.max(1, old.length))]
    if (dice < 0.06 && again !== undefined) yield* offer(client, again, false)
    else if (dice < 0.09) {
      yield* machine.unregisterSession(id)
      yield* machine.ensureSessionWithExecutor(id, client.executor)
    } else if (client.open < 10) {
      const key = `${session}.${life}.${n}${dice > 0.996 ? ".slow" : ""}`
      yield* offer(client, key, dice < 0.16)
    }
    const pause = chance.pick([0, 0, 1, 2, 5, 10, 25])
    yield* pause === 0 ? Effect.yieldNow() : Effect.sleep(pause)
    // bursts and pauses, because sessions must not run in step
    if (chance.chance(0.05)) yield* Effect.sleep(60)
  })

const work = (client: Client) =>
  Effect.gen(function*() {
    for (let n = 0;; n++) yield* tolerant(`${client.session} step ${n}`, step(client, n))
  })

/** Submits every key again: an acknowledged input must be known, and every input must end. */
const drain = (client: Client) =>
  Effect.gen(function*() {
    const fibers = yield* Effect.forEach(Array.from(client.known.keys()), (key) => offer(client, key, false))
    yield* Effect.forEach(fibers, Fiber.join, { discard: true })
  })

// --- the life ---

const clientOf = (n: number): Client => {
  const session = `s${n}`
  const chance = random(job.seed * 1_000_003 + life * 1009 + n)
  const known = new Map<string, boolean>()
  for (const entry of past) {
    if (entry._ === "offer" && entry.session === session) known.set(entry.key, known.get(entry.key) ?? false)
    if (entry._ === "ack" && entry.session === session) known.set(entry.key, true)
  }
  const executor = telling(job.executor === "library" ? library(chance) : command())
  return { session, chance, executor, known, open: 0 }
}

const stopped = Deferred.unsafeMake<void>(FiberId.none)
process.once("SIGTERM", () => Deferred.unsafeDone(stopped, Effect.void))

const living = Effect.gen(function*() {
  log.write({ _: "phase", life, phase: "opened" })
  const machine = yield* MeerkatMachine
  const clients = Array.from({ length: job.sessions }, (_, n) => clientOf(n))
  yield* Effect.forEach(
    clients,
    ({ executor, session }) => machine.ensureSessionWithExecutor(SessionId.make(session), executor),
    { concurrency: "unbounded", discard: true }
  )
  log.write({ _: "phase", life, phase: "ready" })
  process.stdout.write("ready\n")
  const all = (one: (client: Client) => ReturnType<typeof drain>) =>
    Effect.forEach(clients, one, { concurrency: "unbounded", discard: true })
  yield* job.drain
    ? all(drain)
    : Effect.raceFirst(Effect.forEach(clients, work, { concurrency: "unbounded" }), Deferred.await(stopped))
  log.write({ _: "phase", life, phase: "closing" })
})

const store = RuntimeStoreSqlite.layer({ filename: job.db })
const environment = MeerkatMachineLive.layer.pipe(
  Layer.provide(store),
  Layer.provide(MeerkatMachineConfig.layer({ retryBase: Duration.millis(5), retryCap: Duration.millis(20) }))
)

Effect.runCallback(Effect.provide(Effect.scoped(living), environment), {
  onExit: (exit) => {
    if (Exit.isFailure(exit)) {
      log.write({ _: "wrong", life, what: `the driver ended: ${Cause.pretty(exit.cause)}` })
      process.exitCode = 1
    } else log.write({ _: "phase", life, phase: "closed" })
    process.exit()
  }
})
