/** @since 0.1.0 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import type { CommsRuntime } from "../../../services/CommsRuntime.js"
import { CurrentSession } from "../../../services/CoreExecutor.js"
import type { CommsControl, PeerIngressOptions, SessionComms } from "../../../services/SessionComms.js"
import { isActive } from "../../../src/domain/DrainSlot.js"
import type { RuntimeDriverError } from "../../../src/domain/Errors.js"
import { Destroyed } from "../../../src/domain/Errors.js"
import type { SessionId } from "../../../src/domain/Ids.js"
import type { DrainEvent } from "../../../src/kernel/drain.js"
import { plan } from "../../../src/kernel/drain.js"
import * as DrainCell from "../drainCell.js"
import * as DrainTask from "../drainTask.js"
import { invalid } from "../driverError.js"
import type { Entry } from "../entry.js"
import type { MachineParts, Resolve } from "../machineParts.js"
import { traced } from "../machineParts.js"
import { usable } from "../usable.js"

/** Runtimes are told apart by what they are; the names are for people. */
const makeNames = () => {
  const names = new WeakMap<CommsRuntime, string>()
  let last = 0
  return (runtime: CommsRuntime): string => {
    const known = names.get(runtime)
    if (known !== undefined) return known
    const name = `comms:${++last}`
    names.set(runtime, name)
    return name
  }
}

/** Whether the calling fiber is the session's own drain, which must not wait for itself. */
const fromDrain = (sessionId: SessionId): Effect.Effect<boolean> =>
  Effect.map(
    CurrentSession,
    (current) => current !== null && current.sessionId === sessionId && current.role === "drain"
  )

const endTask = (parts: MachineParts, entry: Entry, event: DrainEvent): Effect.Effect<void> =>
  Effect.flatMap(
    fromDrain(entry.sessionId),
    (inside) => Effect.asVoid(DrainCell.end(parts.attachments, entry.drain, event, { wait: !inside }))
  )

/** Decides and acts in one step; only what is over is waited for. */
const update = (
  parts: MachineParts,
  entry: Entry,
  nameOf: (runtime: CommsRuntime) => string,
  { commsRuntime, keepAlive, mobId, mode = "persistentHost" }: PeerIngressOptions
): Effect.Effect<boolean, RuntimeDriverError> =>
  Effect.suspend(() => {
    const runtimeId = commsRuntime === undefined ? null : nameOf(commsRuntime)
    const planned = plan(entry.drain.state, { keepAlive, mode, runtimeId, mobId: mobId ?? null })
    if (Either.isLeft(planned)) return Effect.fail(invalid({ _tag: "Conflict", detail: planned.left }))
    const { action, owner } = planned.right
    entry.drain.state = { ...entry.drain.state, owner }
    if (action === "abort") return Effect.as(endTask(parts, entry, { _tag: "Abort" }), false)
    if (action === "none" || commsRuntime === undefined || runtimeId === null) return Effect.succeed(false)
    DrainTask.start(parts, entry, commsRuntime, { _tag: action === "spawn" ? "Begin" : "Rebind", mode, runtimeId })
    return Effect.as(
      action === "spawn"
        ? Effect.void
        : Effect.logWarning(`the drain of session "${entry.sessionId}" was bound to another runtime`),
      true
    )
  }).pipe(Effect.uninterruptible)

/** Sessions take inputs from their peers. */
export const comms = (parts: MachineParts): CommsControl => {
  const { registry } = parts
  const nameOf = makeNames()
  return {
    updatePeerIngressContext: (sessionId, options) =>
      traced(
        "updatePeerIngressContext",
        Effect.flatMap(
          registry.lookup(sessionId),
          (entry) => Effect.zipRight(usable(entry), update(parts, entry, nameOf, options))
        )
      ),
    notifyCommsDrainExited: (sessionId, reason) =>
      traced(
        "notifyCommsDrainExited",
        Effect.flatMap(registry.lookup(sessionId), (entry) => {
          if (entry.authority.unsafeState().lifecycle._tag === "Destroyed") {
            return Effect.fail(new Destroyed({ sessionId }))
          }
          return isActive(entry.drain.state.slot)
            ? Effect.zipRight(
              endTask(parts, entry, { _tag: "Exited", reason }),
              entry.authority.publish({ _tag: "DrainExited", reason })
            )
            : Effect.void
        })
      ),
    abortCommsDrain: (sessionId) =>
      traced(
        "abortCommsDrain",
        Effect.flatMap(registry.lookup(sessionId), (entry) => endTask(parts, entry, { _tag: "Abort" }))
      ),
    // all are begun before one is waited for; then they end side by side
    abortCommsDrains: traced(
      "abortCommsDrains",
      Effect.suspend(() => {
        const aborted = registry.all().map(({ drain }) => ({
          drain,
          fibers: isActive(drain.state.slot)
            ? DrainCell.release(drain, { _tag: "Abort" })
            : Array.from(drain.fibers)
        }))
        const all = DrainCell.joined(
          parts.attachments,
          aborted.map(({ drain }) => drain),
          aborted.flatMap(({ fibers }) => fibers)
        )
        return Effect.flatMap(
          CurrentSession,
          (current) => current?.role === "drain" ? Effect.void : Effect.asVoid(all)
        )
      })
    ),
    waitCommsDrain: (sessionId) =>
      traced(
        "waitCommsDrain",
        Effect.flatMap(Effect.zip(registry.lookup(sessionId), fromDrain(sessionId)), ([entry, inside]) => {
          if (inside) {
            return Effect.fail(
              invalid({
                _tag: "WouldDeadlock",
                detail: "waitCommsDrain was called from the drain that it would wait for"
              })
            )
          }
          const fiber = entry.drain.task?.fiber ?? null
          return fiber === null ? Effect.void : Effect.asVoid(Fiber.await(fiber))
        })
      ),
    sessionHasComms: (sessionId) =>
      Effect.sync(() => {
        const entry = registry.find(sessionId)
        return entry !== undefined && entry.drain.state.slot._tag !== "Inactive"
      }),
    peerIngressOwner: (sessionId) =>
      Effect.sync(() => registry.find(sessionId)?.drain.state.owner ?? { _tag: "Unattached" })
  }
}

/** The same for one session; `resolve` decides which incarnation is meant. */
export const sessionComms = (machine: CommsControl, sessionId: SessionId, resolve: Resolve): SessionComms => ({
  attach: (commsRuntime, options) =>
    Effect.zipRight(
      resolve,
      machine.updatePeerIngressContext(sessionId, { ...options, keepAlive: true, commsRuntime })
    ),
  detach: Effect.zipRight(resolve, Effect.asVoid(machine.updatePeerIngressContext(sessionId, { keepAlive: false }))),
  abort: Effect.zipRight(resolve, machine.abortCommsDrain(sessionId)),
  wait: Effect.zipRight(resolve, machine.waitCommsDrain(sessionId)),
  owner: Effect.map(resolve, ({ drain }) => drain.state.owner),
  attached: Effect.map(resolve, ({ drain }) => drain.state.slot._tag !== "Inactive")
})
