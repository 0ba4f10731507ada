/** @since 0.1.0 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import type { CoreExecutor } from "../../services/CoreExecutor.js"
import { make } from "../../services/CoreExecutor.js"
import type { MeerkatMachineService, Prompted } from "../../services/MeerkatMachine.js"
import * as Turn from "../../services/Turn.js"
import type { CompletionOutcome } from "../domain/Completion.js"
import { ApplyFailed, TurnCancelled } from "../domain/Errors.js"
import type { InputId, SessionId } from "../domain/Ids.js"
import { SessionId as SessionIdSchema } from "../domain/Ids.js"

/** What clients know; it outlives the process that dies. @since 0.1.0 @category models */
export interface Journal {
  readonly accepted: Map<InputId, SessionId>
  readonly outcomes: Map<InputId, CompletionOutcome>
  readonly operations: Record<string, number>
  readonly errors: Record<string, number>
  /** calls that have not come back */
  readonly pending: Set<string>
}

/** @since 0.1.0 @category constructors */
export const newJournal = (): Journal => ({
  accepted: new Map(),
  outcomes: new Map(),
  operations: {},
  errors: {},
  pending: new Set()
})

/** Probabilities of how a turn goes. @since 0.1.0 @category models */
export interface ExecutorScript {
  readonly fail: number
  readonly die: number
  /** ends only by interruption */
  readonly hang: number
  readonly slow: number
}

/** An executor that goes by the dice of the world. @since 0.1.0 @category constructors */
export const executor = (script: ExecutorScript): Effect.Effect<CoreExecutor> =>
  make((turn) =>
    Effect.gen(function*() {
      const dice = yield* Random.next
      if (dice < script.hang) return yield* Effect.never
      if (dice < script.hang + script.die) return yield* Effect.dieMessage("simulated")
      if (dice < script.hang + script.die + script.fail) {
        return yield* (dice * 1000) % 2 < 1
          ? new ApplyFailed({ cause: "RuntimeTurn", detail: "simulated" })
          : new TurnCancelled({ detail: "simulated" })
      }
      if ((yield* Random.next) < script.slow) yield* Effect.sleep(yield* Random.nextIntBetween(1, 200))
      return Turn.reply(`answer ${turn.inputs.length}`)
    })
  )

const script: ExecutorScript = { fail: 0.15, die: 0.08, hang: 0.04, slow: 0.5 }

const bump = (counts: Record<string, number>, key: string) => {
  counts[key] = (counts[key] ?? 0) + 1
}

const noted = (journal: Journal, session: SessionId) => ({ completion, outcome }: Prompted) =>
  Effect.suspend(() => {
    if (outcome._tag === "Accepted") journal.accepted.set(outcome.inputId, session)
    return Effect.fork(
      Effect.map(completion.wait, (ended) => {
        const before = journal.outcomes.get(completion.inputId)
        if (before === undefined || before._tag === "RuntimeTerminated") {
          journal.outcomes.set(completion.inputId, ended)
        }
      })
    )
  })

type Action = (
  machine: MeerkatMachineService,
  id: SessionId,
  journal: Journal
) => Effect.Effect<unknown, { readonly _tag: string }>

const actions: ReadonlyArray<readonly [string, number, Action]> = [
  ["register", 2, (machine, id) => machine.registerSession(id)],
  [
    "ensure",
    4,
    (machine, id) => Effect.flatMap(executor(script), (made) => machine.ensureSessionWithExecutor(id, made))
  ],
  ["unregister", 1, (machine, id) => machine.unregisterSession(id)],
  ["prompt", 8, (machine, id, journal) => Effect.flatMap(machine.session(id).prompt("hello"), noted(journal, id))],
  [
    "keyed",
    3,
    (machine, id, journal) =>
      Effect.flatMap(
        Random.nextIntBetween(0, 3),
        (key) => Effect.flatMap(machine.session(id).prompt("hello", { idempotencyKey: `k${key}` }), noted(journal, id))
      )
  ],
  [
    "hold",
    1,
    (machine, id, journal) => Effect.flatMap(machine.session(id).prompt("held", { hold: true }), noted(journal, id))
  ],
  ["steer", 3, (machine, id, journal) => Effect.flatMap(machine.session(id).steer("now"), noted(journal, id))],
  [
    "retract",
    1,
    (machine, id) =>
      Effect.flatMap(
        machine.listActiveInputs(id),
        (inputs) => inputs[0] === undefined ? Effect.void : machine.retractInput(id, inputs[0])
      )
  ],
  [
    "promote",
    1,
    (machine, id) =>
      Effect.flatMap(
        machine.listActiveInputs(id),
        (inputs) => inputs[0] === undefined ? Effect.void : machine.promoteInput(id, inputs[0])
      )
  ],
  ["cancel", 2, (machine, id) => machine.hardCancelCurrentRun(id, "simulated")],
  ["yield", 1, (machine, id) => machine.cancelAfterBoundary(id, "simulated")],
  ["reset", 1, (machine, id) => machine.resetRuntime(id)],
  ["recycle", 1, (machine, id) => machine.recycleRuntime(id)],
  ["retire", 1, (machine, id) => machine.retireRuntime(id)],
  ["recover", 1, (machine, id) => machine.recoverRuntime(id)],
  ["silent", 1, (machine, id) => machine.setSessionSilentIntents(id, ["x"])],
  ["snapshot", 1, (machine, id) => machine.meerkatMachineSpineSnapshot(id)],
  ["wake", 1, (machine, id) => machine.wakeRuntimeIfActiveInputs(id)],
  [
    "inputState",
    1,
    (machine, id, journal) =>
      Option.match(Option.fromNullable(Array.from(journal.accepted.keys())[0]), {
        onNone: () => Effect.void,
        onSome: (input) => machine.inputState(id, input)
      })
  ]
]

/** Ends that change what a session is for good are rarer, and the stop only where it can be undone. */
const rare: ReadonlyArray<readonly [string, number, Action]> = [
  ["stop", 1, (machine, id) => machine.stopRuntimeExecutor(id, "simulated")],
  ["destroy", 1, (machine, id) => machine.destroyRuntime(id)]
]

const table = [...actions.map(([name, weight, act]) => [name, weight * 6, act] as const), ...rare]
const total = table.reduce((sum, [, weight]) => sum + weight, 0)

const choose = Effect.map(Random.nextIntBetween(0, total), (drawn) => {
  let left = drawn
  for (const [name, weight, act] of table) {
    if (left < weight) return [name, act] as const
    left -= weight
  }
  return [actions[0]?.[0] ?? "register", actions[0]?.[2] ?? (() => Effect.void)] as const
})

/** A stop waits for the run in progress, and one that hangs never ends: its caller gives up. Nothing else may hang. */
const bounded = <E>(name: string, call: Effect.Effect<unknown, E>): Effect.Effect<unknown, E> =>
  name === "stop" ? Effect.timeoutOption(call, "1 minute") : call

/** One client: random calls on random sessions, some of them interrupted in the middle. @since 0.1.0 @category running */
export const client = (
  machine: MeerkatMachineService,
  sessions: ReadonlyArray<SessionId>,
  operations: number,
  journal: Journal
): Effect.Effect<void> =>
  Effect.gen(function*() {
    for (let i = 0; i < operations; i++) {
      const [name, act] = yield* choose
      const id = sessions[yield* Random.nextIntBetween(0, sessions.length)] ?? SessionIdSchema.make("s0")
      bump(journal.operations, name)
      const label = `${name} of ${id} (${i})`
      const call = Effect.suspend(() => {
        journal.pending.add(label)
        return Effect.catchAll(bounded(name, act(machine, id, journal)), (error) =>
          Effect.sync(() => bump(journal.errors, error._tag)))
      }).pipe(Effect.ensuring(Effect.sync(() =>
        journal.pending.delete(label)
      )))
      if ((yield* Random.next) < 0.1) {
        const fiber = yield* Effect.fork(call)
        yield* Effect.sleep(Duration.millis(yield* Random.nextIntBetween(0, 5)))
        yield* Fiber.interruptFork(fiber)
      } else {
        yield* call
      }
      yield* Effect.sleep(Duration.millis(yield* Random.nextIntBetween(0, 60)))
    }
  })
