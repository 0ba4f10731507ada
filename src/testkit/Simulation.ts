/** @since 0.1.0 */
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Stream from "effect/Stream"
import * as HandoverLive from "../../layers/HandoverLive.js"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import * as RuntimeStoreMemory from "../../layers/RuntimeStoreMemory.js"
import type { MeerkatMachineService } from "../../services/MeerkatMachine.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import { RuntimeStore } from "../../services/RuntimeStore.js"
import type { CompletionOutcome } from "../domain/Completion.js"
import type { InputId } from "../domain/Ids.js"
import { runtimeIdOf, SessionId } from "../domain/Ids.js"
import * as Sim from "./Sim.js"
import type { Journal } from "./simulationClient.js"
import { client, executor, newJournal } from "./simulationClient.js"
import type { FaultCounts, StoreFaults } from "./simulationStore.js"
import * as SimulationStore from "./simulationStore.js"

/** What one seed is put through. @since 0.1.0 @category models */
export interface SimulationOptions {
  readonly seed: number
  readonly sessions: number
  readonly clients: number
  /** operations per client */
  readonly operations: number
  readonly faults: StoreFaults
  /** processes that die in the middle before the last one is allowed to finish */
  readonly crashes: number
  readonly preempt: number
}

/** @since 0.1.0 @category models */
export interface SimulationReport {
  readonly seed: number
  /** empty, or what went wrong */
  readonly violations: ReadonlyArray<string>
  readonly steps: number
  readonly restarts: number
  readonly faults: FaultCounts
  readonly operations: Readonly<Record<string, number>>
  readonly errors: Readonly<Record<string, number>>
  readonly trace: number
}

/** @since 0.1.0 @category constructors */
export const defaults: Omit<SimulationOptions, "seed"> = {
  sessions: 3,
  clients: 3,
  operations: 10,
  faults: { refuse: 0.03, lostAck: 0.02, lostCall: 0.02, delay: 0.1, delayMs: 40, refuseRead: 0.03 },
  crashes: 1,
  preempt: 0.05
}

/** Runs one seed: lives that end in the middle, then one that is left alone, then the books are checked. @since 0.1.0 @category running */
export const simulate = (options: SimulationOptions): SimulationReport => {
  const image = RuntimeStoreMemory.makeImage()
  const journal = newJournal()
  const counts = SimulationStore.noCounts()
  const violations: Array<string> = []
  const next = Sim.prng(options.seed)
  let steps = 0
  let trace = 0
  for (let life = 0; life <= options.crashes; life++) {
    journal.pending.clear()
    const last = life === options.crashes
    const result = Sim.run(lifeOf(options, image, journal, counts, violations, last), {
      seed: Math.imul(options.seed + 1, 7919) + life,
      preempt: options.preempt,
      maxSteps: 400_000,
      ...(last ? {} : { crashAt: 50 + Math.floor(next() * 4000) })
    })
    steps += result.steps
    trace = (Math.imul(trace, 31) + result.trace) | 0
    if (result.end === "exit" && result.exit !== null && result.exit._tag === "Failure") {
      violations.push(`life ${life} died: ${Cause.pretty(result.exit.cause)}`)
    }
    if (result.end === "deadlock" || result.end === "stepLimit") {
      violations.push(`life ${life} ended in ${result.end}, pending: ${Array.from(journal.pending).join("; ")}`)
    }
  }
  return {
    seed: options.seed,
    violations,
    steps,
    restarts: options.crashes,
    faults: counts,
    operations: journal.operations,
    errors: journal.errors,
    trace
  }
}

const sessionId = (index: number): SessionId => SessionId.make(`s${index}`)

const lifeOf = (
  options: SimulationOptions,
  image: RuntimeStoreMemory.MemoryImage,
  journal: Journal,
  counts: FaultCounts,
  violations: Array<string>,
  last: boolean
): Effect.Effect<void> => {
  const phase = { faulty: true }
  const store = SimulationStore.layer(() => phase.faulty ? options.faults : SimulationStore.noFaults, counts).pipe(
    Layer.provide(RuntimeStoreMemory.layerNoDeps({ image })),
    Layer.provide(HandoverLive.layerYield)
  )
  const ids = Array.from({ length: options.sessions }, (_, index) => sessionId(index))
  const body = Effect.gen(function*() {
    const machine = yield* MeerkatMachine
    const clients = yield* Effect.forEach(
      Array.from({ length: options.clients }, (_, index) => index),
      () => Effect.fork(client(machine, ids, options.operations, journal))
    )
    yield* Effect.forEach(clients, (fiber) => Fiber.await(fiber), { discard: true })
    phase.faulty = false
    if (last) yield* settle(machine, ids, journal, violations)
    return machine
  })
  return body.pipe(
    Effect.provide(Layer.provideMerge(MeerkatMachineLive.layer, store)),
    Effect.flatMap((machine) =>
      Effect.map(machine.fiberCount, (left) => {
        if (left > 0) violations.push(`${left} fibers survived the machine's layer`)
      })
    ),
    Effect.provide(Logger.remove(Logger.defaultLogger))
  )
}

/** The phase without faults: everything that was accepted must come to an end that agrees with what clients were told. */
const settle = (
  machine: MeerkatMachineService,
  ids: ReadonlyArray<SessionId>,
  journal: Journal,
  violations: Array<string>
) =>
  Effect.gen(function*() {
    const calm = yield* executor({ fail: 0, die: 0, hang: 0, slow: 0 })
    for (const id of ids) {
      const attached = yield* Effect.either(machine.ensureSessionWithExecutor(id, calm))
      if (attached._tag === "Left" && attached.left._tag === "NotReady") {
        // Stopped in this life: registering it anew revives it.
        yield* Effect.ignore(machine.unregisterSession(id))
        yield* Effect.ignore(machine.ensureSessionWithExecutor(id, calm))
      }
      yield* drained(machine, id)
      const snapshot = yield* machine.meerkatMachineSpineSnapshot(id)
      if (snapshot._tag === "Some") {
        for (const broken of snapshot.value.violations) violations.push(`${id}: ${broken.id}: ${broken.detail}`)
      }
    }
    yield* Effect.forEach(journal.accepted, ([input, session]) => audit(input, session, journal, violations), {
      discard: true
    })
  }).pipe(Effect.asVoid)

/** Waits until nothing driving is left; held inputs stay, as they may. */
const drained = (machine: MeerkatMachineService, id: SessionId): Effect.Effect<void> =>
  Effect.iterate(0, {
    while: (round) => round < 400,
    body: (round) =>
      Effect.flatMap(machine.meerkatMachineSpineSnapshot(id), (snapshot) => {
        if (snapshot._tag === "None") return Effect.succeed(400)
        const { attachmentLive, queue, staged, state, steer } = snapshot.value
        const busy = staged.length > 0 || [...queue, ...steer].some((input) => !input.hold || state === "retired")
        return busy && attachmentLive ? Effect.as(Effect.sleep(1000), round + 1) : Effect.succeed(400)
      })
  }).pipe(Effect.asVoid)

const consumed = (outcome: CompletionOutcome): boolean =>
  outcome._tag === "Completed" || outcome._tag === "CompletedWithoutResult"

/** No loss, and no word that was taken back: what a client was told is what is stored. */
const audit = (
  input: InputId,
  session: SessionId,
  journal: Journal,
  violations: Array<string>
): Effect.Effect<void, never, RuntimeStore> =>
  Effect.gen(function*() {
    const store = yield* RuntimeStore
    const stored = yield* Effect.option(store.terminalInput(runtimeIdOf(session), input))
    const row = stored._tag === "Some" && stored.value._tag === "Some" ? stored.value.value : null
    const open = yield* isOpen(store, session, input)
    if (row === null && !open) violations.push(`${input} of ${session} was accepted and is gone`)
    if (row !== null && open) violations.push(`${input} of ${session} is open and terminal`)
    const told = journal.outcomes.get(input)
    if (
      told === undefined || told._tag === "RuntimeTerminated" || told._tag === "CompletedWithFinalizationFailure"
    ) return
    if (told._tag === "AbandonedWithError" && told.reason.startsWith("runtime finalization failed")) return
    if (row === null) violations.push(`${input}: a client was told ${told._tag}, the store has no end of it`)
    else if (consumed(told) !== consumed(row.outcome)) {
      violations.push(`${input}: a client was told ${told._tag}, the store says ${row.outcome._tag}`)
    }
  })

const isOpen = (store: RuntimeStore["Type"], session: SessionId, input: InputId) =>
  Effect.map(
    Effect.option(Effect.map(
      Stream.runCollect(store.inputs(runtimeIdOf(session))),
      (inputs) => Chunk.toReadonlyArray(inputs).some((state) => state.inputId === input && state.terminal === undefined)
    )),
    (found) => found._tag === "Some" && found.value
  )

/** Seeds `from`, `from + 1`, …, and what they came to together. @since 0.1.0 @category running */
export const sweep = (
  from: number,
  seeds: number,
  options: Partial<Omit<SimulationOptions, "seed">>,
  onReport: (report: SimulationReport) => void
): void => {
  for (let seed = from; seed < from + seeds; seed++) onReport(simulate({ ...defaults, ...options, seed }))
}
