/**
 * One simulated process from start to end: machine, clients, rival and audits. The simulation runs its program once per
 * life.
 *
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Scope from "effect/Scope"
import * as CommsRuntimeMailbox from "../../../layers/CommsRuntimeMailbox.js"
import type { CoreExecutor } from "../../../services/CoreExecutor.js"
import { MeerkatMachine } from "../../../services/MeerkatMachine.js"
import { RuntimeControlPlane } from "../../../services/RuntimeControlPlane.js"
import type { RuntimeStore } from "../../../services/RuntimeStore.js"
import type { SessionId } from "../../domain/Ids.js"
import { SessionId as SessionIdSchema } from "../../domain/Ids.js"
import * as Audit from "./Audit.js"
import type { Crew } from "./Crew.js"
import { violate } from "./Journal.js"
import * as Observe from "./Observe.js"
import * as Process from "./Process.js"
import * as Rival from "./Rival.js"
import * as Script from "./Script.js"
import * as Traffic from "./traffic/Traffic.js"
import type { World } from "./World.js"

/** Makes the executors under test; called once per attachment. @since 0.1.0 @category models */
export type ExecutorFor = (sessionId: SessionId) => Effect.Effect<CoreExecutor, never, Scope.Scope>

/** Options of one life. @since 0.1.0 @category models */
export interface LifeOptions {
  readonly world: World
  /** the store in the state in which this process finds it */
  readonly store: Layer.Layer<RuntimeStore>
  readonly sessions: number
  readonly clients: number
  /** the calls that are left, and how many of them are reserved for later lives */
  readonly budget: Traffic.Budget
  readonly reserve: number
  readonly thinkMs: number
  /** timers may fire while fibers can run */
  readonly hasty: boolean
  /** probability that a second process opens the same store */
  readonly rival: number
  /** true: the life is not interrupted, and all work must end in it */
  readonly last: boolean
  readonly phase: { calm: boolean }
  readonly executorFor: ExecutorFor | null
  readonly steps: () => number
}

/** Makes the program of a life, to be run in a simulated world. @since 0.1.0 @category running */
export const program = (options: LifeOptions): Effect.Effect<void> =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const machine = yield* Effect.provide(body(options, scope), Process.layer(options.world, options.store))
    // the machine abandons and fences what ignores its interruption; within this hour it ends
    yield* Effect.sleep("1 hour")
    afterwards(options.world, yield* machine.fiberCount)
    yield* Scope.close(scope, Exit.void)
  }).pipe(Effect.provide(Logger.remove(Logger.defaultLogger)), Effect.withTracerEnabled(false))

// --- internal ---

const body = (options: LifeOptions, scope: Scope.Scope) =>
  Effect.gen(function*() {
    const machine = yield* MeerkatMachine
    const crew = yield* crewOf(options, scope)
    yield* Traffic.boot(crew)
    const rival = yield* Effect.fork(rivals(options) ? Rival.visit(crew, options.store) : Effect.void)
    const clients = yield* Effect.forEach(
      Array.from({ length: options.clients }),
      () => Effect.fork(Traffic.client(crew, options.budget, options.reserve, options.thinkMs))
    )
    yield* Effect.forEach(clients, (fiber) => Fiber.await(fiber), { discard: true })
    yield* Fiber.await(rival)
    // under a hasty clock no session stays quiet for half an hour
    if (!options.hasty) yield* Audit.awake(crew)
    if (options.last) {
      options.phase.calm = true
      yield* Audit.settle(crew)
      yield* Audit.idle(crew, options.steps)
      yield* Audit.books(crew)
    }
    return machine
  })

/** Only where the image can be read: a file has one holder at a time. The last life runs without a rival. */
const rivals = ({ last, rival, world }: LifeOptions): boolean => !last && world.peek !== null && world.dice.hit(rival)

const crewOf = ({ executorFor, phase, sessions, world }: LifeOptions, scope: Scope.Scope) =>
  Effect.gen(function*() {
    const cell: { crew: Crew | null } = { crew: null }
    const calm = () => phase.calm
    const ids = [SessionIdSchema.make("s0"), ...others(sessions)] as const
    const spare = yield* twoInboxes
    const mailboxes = new Map(yield* Effect.forEach(ids, (id) => Effect.map(twoInboxes, (made) => [id, made] as const)))
    const scripted = () => Effect.succeed(Script.executor(() => cell.crew, world, calm))
    const crew: Crew = {
      world,
      machine: yield* MeerkatMachine,
      control: yield* RuntimeControlPlane,
      sessions: ids,
      executor: (id) => Effect.map((executorFor ?? scripted)(id), (made) => Observe.executor(world, made)),
      inboxes: (id) => mailboxes.get(id) ?? spare,
      scope
    }
    cell.crew = crew
    return crew
  })

const twoInboxes = Effect.map(
  Effect.all([CommsRuntimeMailbox.make(), CommsRuntimeMailbox.make()]),
  ([one, other]): NonEmptyReadonlyArray<CommsRuntimeMailbox.CommsMailbox> => [one, other]
)

const others = (sessions: number) => Array.from({ length: sessions - 1 }, (_, i) => SessionIdSchema.make(`s${i + 1}`))

/** Rule 21: every waiter was told, no fiber of the machine is left, and every call returned. */
const afterwards = ({ journal, pending, running, waiting }: World, fibers: number): void => {
  if (fibers > 0) violate(journal, "21 no fibers", `${fibers} fibers survived the machine's layer`)
  for (const [, id] of waiting) violate(journal, "21 every waiter resolves", `a waiter of ${id} was never told`)
  for (const label of pending) violate(journal, "21 every call returns", label)
  for (const runId of running) violate(journal, "21 no runs", `${runId} continues without a machine`)
}
