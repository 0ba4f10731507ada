/**
 * What the clients of a simulation do: they call every method of the public API, as the dice decide.
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

/** How many calls all clients together may still make; it outlives the process. @since 0.1.0 @category models */
export interface Budget {
  left: number
}

/**
 * Runs a client: it makes calls in sequence and interrupts some of them. It ends when only `reserve` calls are left for
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

/** Starts a process: most sessions get their executors at once. @since 0.1.0 @category traffic */
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

/** Opens a session in another process and submits inputs. @since 0.1.0 @category traffic */
export const takeOver = (crew: Crew, id: SessionId): Effect.Effect<void> =>
  Effect.gen(function*() {
    yield* counted(crew, "machine.registerSession", id, machineCalls.registerSession)
    for (let i = crew.world.dice.below(3); i > 0; i--) {
      yield* counted(crew, "machine.acceptInput", id, machineCalls.acceptInput)
    }
  })

// --- internal ---

/** The weights of calls. Calls that end a session are rarer than calls that use it. */
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

/** Calls that often follow another: the same call again, or a call that the first has made pointless. */
const sequels: Readonly<Record<string, string>> = {
  "machine.stopRuntimeExecutor": "machine.setSessionSilentIntents",
  "session.stop": "machine.setSessionSilentIntents",
  "machine.retireRuntime": "machine.stopRuntimeExecutor",
  "session.retire": "session.stop",
  "session.bindings": "machine.ensureSessionWithExecutor",
  "machine.prepareBindings": "machine.stopRuntimeExecutor"
}

/** Calls that another client often makes at the same time, because the two conflict. */
const rivals: Readonly<Record<string, string>> = {
  "machine.ensureSessionWithExecutorFactory": "machine.unregisterSession",
  "machine.unregisterSession": "machine.stopRuntimeExecutor",
  "machine.stopRuntimeExecutor": "session.bindings",
  "session.stop": "machine.unregisterSession",
  "session.bindings": "session.stop"
}

/** Calls that make a session live. */
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

/** Names that the tables above refer to; each must be one of `names`. @since 0.1.0 @category traffic */
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

/** Makes a call, and perhaps another one before it has returned. */
const beside = (crew: Crew, name: string, id: SessionId, made: Effect.Effect<void>): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { dice } = crew.world
    const other = rivals[name]
    if (other === undefined || !dice.hit(0.2)) return made
    const meanwhile = Effect.delay(byName(crew, other, id), dice.pick([0, 1, 5, 30]))
    // a concurrent combinator would never end if its client were interrupted at its start
    return Effect.flatMap(Effect.fork(meanwhile), (fiber) => Effect.zipLeft(made, Fiber.join(fiber)))
  })

/** Makes a call by its name. */
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
      // the client continues, whatever its call dies of
      Effect.catchAllDefect(() => Effect.sync(() => note(journal, `${label} died`)))
    )
  return Effect.acquireUseRelease(begun, made, (label) => Effect.sync(() => pending.delete(label)))
}

/** Counts the callers that bring a session up. An interrupted caller may still do so, and stays counted. */
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

/** Interrupts a caller after a while and does not wait for its end. */
const interrupted = (crew: Crew, call: Effect.Effect<void>): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { dice, journal } = crew.world
    const fiber = yield* Effect.forkIn(call, crew.scope)
    yield* Effect.sleep(dice.below(6))
    count(journal, "caller", fiber.unsafePoll() === null ? "interrupted" : "came back first")
    yield* Fiber.interruptFork(fiber)
  })
