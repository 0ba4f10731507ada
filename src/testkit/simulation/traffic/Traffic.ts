/**
 * What clients do: calls of every method that there is, by name.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type { SessionId } from "../../../domain/Ids.js"
import type { Crew } from "../Crew.js"
import { watched } from "../Defects.js"
import { count, note } from "../Journal.js"
import type { Call } from "./Call.js"
import { controlCalls } from "./controlCalls.js"
import { handleAreas, handleCalls } from "./handleCalls.js"
import { machineCalls, nobody } from "./machineCalls.js"

const named = (prefix: string, calls: Readonly<Record<string, Call>>): ReadonlyArray<readonly [string, Call]> =>
  Object.entries(calls).map(([name, call]) => [`${prefix}.${name}`, call] as const)

/** Every call by its full name. @since 0.1.0 @category traffic */
export const calls: ReadonlyArray<readonly [string, Call]> = [
  ...named("machine", machineCalls),
  ...named("session", handleCalls),
  ...Object.entries(handleAreas).flatMap(([area, methods]) => named(`session.${area}`, methods)),
  ...named("control", controlCalls)
]

/** Names of all calls, for coverage. @since 0.1.0 @category traffic */
export const names: ReadonlyArray<string> = calls.map(([name]) => name)

/** Calls that are left to be made, of all clients together; it outlives the process. @since 0.1.0 @category models */
export interface Budget {
  left: number
}

/**
 * A client: calls one after another, some of them given up in the middle, until no more than `reserve` are left for
 * later lives.
 *
 * @since 0.1.0
 * @category traffic
 */
export const client = (crew: Crew, budget: Budget, reserve: number, thinkMs: number): Effect.Effect<void> =>
  Effect.whileLoop({
    while: () => budget.left > reserve,
    body: () => {
      budget.left--
      return Effect.zipRight(oneCall(crew), think(crew, thinkMs))
    },
    step: () => {}
  })

/** A process comes up: most of the sessions get their executors at once. @since 0.1.0 @category traffic */
export const boot = (crew: Crew): Effect.Effect<void> =>
  Effect.forEach(
    crew.sessions,
    (id) =>
      Effect.suspend(() =>
        crew.world.dice.hit(0.25)
          ? Effect.void
          : counted(crew, "machine.ensureSessionWithExecutor", id, machineCalls.ensureSessionWithExecutor)
      ),
    { discard: true }
  )

/** Another process opens a session and hands inputs in. @since 0.1.0 @category traffic */
export const takeOver = (crew: Crew, id: SessionId): Effect.Effect<void> =>
  Effect.gen(function*() {
    yield* counted(crew, "machine.registerSession", id, machineCalls.registerSession)
    for (let i = crew.world.dice.below(3); i > 0; i--) {
      yield* counted(crew, "machine.acceptInput", id, machineCalls.acceptInput)
    }
  })

// --- internal ---

/** Ends of a session, for good or for a while, are rarer than what it is for. */
const weights: Readonly<Record<string, number>> = {
  "machine.ensureSessionWithExecutor": 10,
  "machine.ensureSessionWithExecutorFactory": 4,
  "machine.registerSession": 2,
  "machine.acceptInput": 4,
  "machine.acceptInputWithCompletion": 4,
  "machine.acceptInputWithoutWake": 2,
  "session.prompt": 16,
  "session.steer": 5,
  "session.ask": 4,
  "control.ingest": 2,
  "machine.setSessionLlmReconfigureHost": 1.5,
  "session.bindings": 1.5,
  "machine.acceptInputAndRun": 1.5,
  "session.operations.run": 1.5,
  "session.operations.external": 1,
  "session.operations.complete": 1.5,
  "session.operations.terminateOwner": 0.2,
  "machine.destroyRuntime": 0.06,
  "session.destroy": 0.06,
  "control.destroy": 0.06,
  "machine.stopRuntimeExecutor": 0.3,
  "session.stop": 0.3,
  "machine.retireRuntime": 0.5,
  "session.retire": 0.5,
  "control.retire": 0.5,
  "machine.recycleRuntime": 1.5,
  "machine.unregisterSession": 1,
  "machine.runtimeEvents": 0.5,
  "machine.runtimeStateChanges": 0.3,
  "session.events": 0.3
}

/** What comes right after a call more often than chance would have it: the same once more, or what it has made pointless. */
const sequels: Readonly<Record<string, string>> = {
  "machine.stopRuntimeExecutor": "machine.setSessionSilentIntents",
  "session.stop": "machine.setSessionSilentIntents",
  "machine.retireRuntime": "machine.stopRuntimeExecutor",
  "session.retire": "session.stop",
  "session.bindings": "machine.ensureSessionWithExecutor",
  "machine.prepareBindings": "machine.stopRuntimeExecutor"
}

/** What somebody else does at the same time more often than chance would have it: each is in the other's way. */
const rivals: Readonly<Record<string, string>> = {
  "machine.ensureSessionWithExecutorFactory": "machine.unregisterSession",
  "machine.unregisterSession": "machine.stopRuntimeExecutor",
  "machine.stopRuntimeExecutor": "session.bindings",
  "session.stop": "machine.unregisterSession",
  "session.bindings": "session.stop"
}

/** Calls that bring a session into being. */
const brings = new Set([
  "machine.registerSession",
  "machine.ensureSessionWithExecutor",
  "machine.ensureSessionWithExecutorFactory",
  "machine.registerSessionWithExecutor",
  "machine.prepareBindings",
  "machine.prepareLocalSessionBindings",
  "machine.verifyBindings",
  "machine.sessionScoped"
])

/** Names that the dice are loaded with: each is one of `names`. @since 0.1.0 @category traffic */
export const loaded: ReadonlyArray<string> = [
  ...Object.keys(weights),
  ...Object.entries(sequels).flat(),
  ...Object.entries(rivals).flat(),
  ...brings
]

const weighted = calls.map(([name, call]) => [[name, call] as const, weights[name] ?? 0.7] as const)
const [firstCall, ...otherCalls] = weighted

const think = ({ world: { dice } }: Crew, limit: number): Effect.Effect<void> =>
  Effect.suspend(() => Effect.sleep(dice.below(limit)))

const oneCall = (crew: Crew): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { dice } = crew.world
    if (firstCall === undefined) return Effect.void
    const [name, call] = dice.weighted([firstCall, ...otherCalls])
    const id = dice.hit(0.01) && !brings.has(name) ? nobody : dice.pick(crew.sessions)
    const made = Effect.zipRight(beside(crew, name, id, counted(crew, name, id, call)), after(crew, name, id))
    return dice.hit(0.08) ? interrupted(crew, made) : made
  })

/** The call, and perhaps another that is made before it has come back. */
const beside = (crew: Crew, name: string, id: SessionId, made: Effect.Effect<void>): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { dice } = crew.world
    const other = rivals[name]
    if (other === undefined || !dice.hit(0.2)) return made
    const meanwhile = Effect.delay(byName(crew, other, id), dice.pick([0, 1, 5, 30]))
    // a concurrent combinator would never end if its client were interrupted just as it begins
    return Effect.flatMap(Effect.fork(meanwhile), (fiber) => Effect.zipLeft(made, Fiber.join(fiber)))
  })

/** A call by its name. */
const byName = (crew: Crew, name: string, id: SessionId): Effect.Effect<void> => {
  const [, call] = calls.find(([other]) => other === name) ?? []
  return call === undefined ? Effect.void : counted(crew, name, id, call)
}

const after = (crew: Crew, name: string, id: SessionId): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { dice } = crew.world
    const known = sequels[name]
    if (!dice.hit(known === undefined ? 0.06 : 0.3)) return Effect.void
    const sequel = known !== undefined && dice.hit(0.7) ? known : name
    return byName(crew, sequel, id)
  })

const counted = (crew: Crew, name: string, id: SessionId, call: Call): Effect.Effect<void> => {
  const { journal, pending } = crew.world
  const begun = Effect.sync(() => {
    count(journal, "method", name)
    const label = `${name} of ${id} (${journal.tally.get("method")?.get(name) ?? 0})`
    note(journal, `calls ${label}`)
    pending.add(label)
    return label
  })
  const made = (label: string) =>
    Effect.matchEffect(
      watched(journal, label)(brings.has(name) ? bringing(crew, id, call(crew, id)) : call(crew, id)),
      {
        onFailure: ({ _tag }) =>
          Effect.sync(() => {
            count(journal, "error", _tag)
            note(journal, `${label} failed: ${_tag}`)
          }),
        onSuccess: () => Effect.sync(() => note(journal, `${label} came back`))
      }
    ).pipe(
      // whatever a call dies of, its client goes on
      Effect.catchAllDefect(() => Effect.sync(() => note(journal, `${label} died`)))
    )
  return Effect.acquireUseRelease(begun, made, (label) => Effect.sync(() => pending.delete(label)))
}

/** Keeps count of who brings a session up; one who was interrupted may still do it, and counts for ever. */
const bringing = <A, E>(
  { world: { brought } }: Crew,
  id: SessionId,
  call: Effect.Effect<A, E>
): Effect.Effect<A, E> =>
  Effect.suspend(() => {
    const counts = brought.get(id) ?? { begun: 0, active: 0 }
    brought.set(id, counts)
    counts.begun++
    counts.active++
    return Effect.onExit(call, (exit) =>
      Effect.sync(() => {
        if (!Exit.isInterrupted(exit)) counts.active--
      }))
  })

/** A caller that is interrupted after a while, and does not wait for the end of what it began. */
const interrupted = (crew: Crew, call: Effect.Effect<void>): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { dice, journal } = crew.world
    const fiber = yield* Effect.forkIn(call, crew.scope)
    yield* Effect.sleep(dice.below(6))
    count(journal, "caller", fiber.unsafePoll() === null ? "interrupted" : "came back first")
    yield* Fiber.interruptFork(fiber)
  })
