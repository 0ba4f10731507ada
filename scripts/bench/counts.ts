/**
 * The workloads of the count gates, in their own process. Prints one JSON object of figures by name.
 *
 * Each session has one input in flight, with a prompt of 200 bytes. Callers run on their own runtime: their operations
 * are counted separately (`callerOperations`), so that work cannot hide there.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import { cpSync, mkdtempSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type * as CoreExecutor from "../../services/CoreExecutor.js"
import type { MeerkatMachineService, SessionHandle } from "../../services/MeerkatMachine.js"
import { SessionId } from "../../src/domain/Ids.js"
import { allocated, between, counted, install, liveHeap, reading } from "./meters.js"

install()

// import after the installation of the meters
const MeerkatMachineLive = await import("../../layers/MeerkatMachineLive.js")
const RuntimeStoreSqlite = await import("../../layers/RuntimeStoreSqlite.js")
const { MeerkatMachine } = await import("../../services/MeerkatMachine.js")
const Turn = await import("../../services/Turn.js")

const folder = mkdtempSync(join(process.env["MEERKAT_BENCH_DIR"] ?? tmpdir(), "meerkat-counts-"))
const figures: Record<string, number> = {}
const note = (name: string, value: number) => {
  figures[name] = Number(value.toFixed(3))
}

const prompt = "x".repeat(200)
const answering = (text: string): CoreExecutor.CoreExecutor => {
  const answer = Turn.reply(text)
  return { apply: () => Effect.succeed(answer) }
}

/** Runs a body on a machine; counts the fibers of the machine only. */
const onMachine = async <A>(
  filename: string,
  body: (machine: MeerkatMachineService) => Promise<A>,
  around: <B, E, R>(self: Effect.Effect<B, E, R>) => Effect.Effect<B, E, R> = (self) => self
): Promise<A> => {
  const scope = Effect.runSync(Scope.make())
  const layer = MeerkatMachineLive.layer.pipe(Layer.provide(RuntimeStoreSqlite.layer({ filename })))
  const machine = await Effect.runPromise(
    Effect.provide(
      MeerkatMachine,
      await Effect.runPromise(around(counted(Layer.buildWithScope(layer, scope))))
    )
  )
  const result = await body(machine)
  await Effect.runPromise(Scope.close(scope, Exit.void))
  return result
}

const rounds = (handles: ReadonlyArray<SessionHandle>, times: number, text: string): Promise<void> =>
  Effect.runPromise(
    Effect.forEach(
      handles,
      (session) => Effect.forEach(Array.from({ length: times }), () => session.ask(text), { discard: true }),
      { concurrency: "unbounded", discard: true }
    )
  )

const attached = (machine: MeerkatMachineService, count: number, executor: CoreExecutor.CoreExecutor) =>
  Effect.runPromise(
    Effect.forEach(
      Array.from({ length: count }, (_, i) => SessionId.make(`s${i}`)),
      (id) => Effect.as(machine.ensureSessionWithExecutor(id, executor), machine.session(id))
    )
  )

const ofTurns = async (name: string, sessions: number, times: number) => {
  await onMachine(join(folder, `${name}.db`), async (machine) => {
    const handles = await attached(machine, sessions, answering("ok"))
    await rounds(handles, Math.max(3, Math.ceil(300 / sessions)), prompt)
    const turns = sessions * times
    const before = reading()
    await rounds(handles, times, prompt)
    const spent = between(before, reading(), turns)
    for (const [what, value] of Object.entries(spent)) note(`${name}.${what}`, value)
    const bytes = await allocated(() => rounds(handles, times, prompt))
    note(`${name}.bytes`, bytes / turns)
  })
}

/** Counts the operations that a caller evaluates per `ask`, in addition to the machine's. */
const ofCaller = () =>
  onMachine(join(folder, "caller.db"), async (machine) => {
    const [session] = await attached(machine, 1, answering("ok"))
    if (session === undefined) return
    await rounds([session], 100, prompt)
    const times = 200
    const one = Effect.forEach(Array.from({ length: times }), () => session.ask(prompt), { discard: true })
    const before = reading()
    await Effect.runPromise(counted(one))
    const all = between(before, reading(), times).operations
    note("caller.operations", all - (figures["one.operations"] ?? 0))
    note("one.operationsInAll", all)
  })

/** Measures with a tracer that drops its spans. */
const ofTraced = () => {
  const span = (
    name: string,
    parent: Tracer.Span["parent"],
    context: Tracer.Span["context"],
    links: Tracer.Span["links"],
    startTime: bigint,
    kind: Tracer.SpanKind
  ): Tracer.Span => ({
    _tag: "Span",
    name,
    spanId: "00f067aa0ba902b7",
    traceId: "4bf92f3577b34da6a3ce929d0e0e4736",
    parent,
    context,
    status: { _tag: "Started", startTime },
    attributes: new Map(),
    links,
    sampled: true,
    kind,
    end: () => {},
    attribute: () => {},
    event: () => {},
    addLinks: () => {}
  })
  const tracer = Tracer.make({ span, context: (execution) => execution() })
  return onMachine(join(folder, "traced.db"), async (machine) => {
    const handles = await attached(machine, 1, answering("ok"))
    await rounds(handles, 100, prompt)
    const before = reading()
    await rounds(handles, 300, prompt)
    note("traced.operations", between(before, reading(), 300).operations)
  }, Effect.withTracer(tracer))
}

/** Measures log bytes in a file with stored turns; few turns follow, so that the log does not restart. */
const ofLog = async (name: string, answer: string) => {
  const filename = join(folder, `${name}.db`)
  await onMachine(filename, async (machine) => {
    const handles = await attached(machine, 1, answering(answer))
    await rounds(handles, 300, "hello, small turn")
  })
  await onMachine(filename, async (machine) => {
    const handles = await attached(machine, 1, answering(answer))
    await rounds(handles, 5, "hello, small turn")
    const before = statSync(`${filename}-wal`).size
    await rounds(handles, 200, "hello, small turn")
    note(`${name}.bytes`, (statSync(`${filename}-wal`).size - before) / 200)
  })
}

/** Measures a registration, an attachment and a handle; retains the handles, as applications do. */
const ofSessions = () =>
  onMachine(join(folder, "sessions.db"), async (machine) => {
    const executor = answering("ok")
    const ids = Array.from({ length: 2100 }, (_, i) => SessionId.make(`s${i}`))
    const each = (from: number, to: number, body: (id: SessionId) => Effect.Effect<unknown, unknown>) =>
      Effect.runPromise(Effect.orDie(Effect.forEach(ids.slice(from, to), body, { discard: true })))
    await each(0, 100, (id) => machine.ensureSessionWithExecutor(id, executor))
    const measured = async (name: string, from: number, body: (id: SessionId) => Effect.Effect<unknown, unknown>) => {
      await Effect.runPromise(Effect.sleep(50))
      const heap = liveHeap()
      const before = reading()
      await each(from, from + 1000, body)
      await Effect.runPromise(Effect.sleep(50))
      note(`${name}.operations`, between(before, reading(), 1000).operations)
      note(`${name}.heap`, (liveHeap() - heap) / 1000)
    }
    await measured("registration", 100, (id) => machine.registerSession(id))
    await measured("attachment", 100, (id) => machine.ensureSessionWithExecutor(id, executor))
    const kept: Array<SessionHandle> = []
    await Effect.runPromise(Effect.sleep(50))
    const heap = liveHeap()
    for (const id of ids.slice(100, 1100)) kept.push(machine.session(id))
    note("handle.heap", (liveHeap() - heap) / kept.length)
  })

/** Measures from an open file to sessions that are attached and drained. */
const ofRecovery = async () => {
  const filename = join(folder, "seed.db")
  const count = 500
  await onMachine(filename, (machine) =>
    Effect.runPromise(
      Effect.forEach(
        Array.from({ length: count }, (_, i) => SessionId.make(`s${i}`)),
        (id) => Effect.zipRight(machine.registerSession(id), machine.session(id).prompt("hello")),
        { concurrency: 64, discard: true }
      )
    ))
  const copy = join(folder, "recovered.db")
  cpSync(filename, copy)
  const executor: CoreExecutor.CoreExecutor = { apply: () => Effect.never }
  const layer = MeerkatMachineLive.layerResuming({ executorFor: () => Effect.succeed(executor) }).pipe(
    Layer.provide(RuntimeStoreSqlite.layer({ filename: copy }))
  )
  const scope = Effect.runSync(Scope.make())
  const before = reading()
  await Effect.runPromise(counted(Layer.buildWithScope(layer, scope)))
  const spent = between(before, reading(), count)
  note("recovery.operations", spent.operations)
  note("recovery.tasks", spent.tasks)
  note("recovery.statements", spent.statements)
  await Effect.runPromise(Scope.close(scope, Exit.void))
}

/** Counts the timers of attached sessions without work. */
const ofIdle = () =>
  onMachine(join(folder, "idle.db"), async (machine) => {
    const handles = await attached(machine, 100, answering("ok"))
    await rounds(handles, 2, prompt)
    await new Promise((resolve) => setImmediate(resolve))
    await Effect.runPromise(Effect.sleep(1500))
    const before = reading()
    await Effect.runPromise(Effect.sleep(1000))
    const spent = between(before, reading(), 1)
    note("idle.timers", spent.timers - 1)
    note("idle.operations", spent.operations)
    note("idle.statements", spent.statements)
  })

try {
  await ofTurns("one", 1, 300)
  await ofTurns("thousand", 1000, 5)
  await ofCaller()
  await ofTraced()
  await ofLog("log.small", "ok")
  await ofLog("log.kilobyte", "y".repeat(1024))
  await ofSessions()
  await ofRecovery()
  await ofIdle()
  console.log(JSON.stringify(figures))
} finally {
  rmSync(folder, { recursive: true, force: true })
}
