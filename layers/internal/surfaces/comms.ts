/**
 * Sessions take inputs from their peers: by session id, and for one session.
 *
 * Both faces call the same functions of an entry. An update decides and spawns in one step of the drain, under its permit;
 * only the end of an earlier task is waited for, outside the permit.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as SynchronizedRef from "effect/SynchronizedRef"
import { CurrentSession } from "../../../services/CoreExecutor.js"
import type { CommsControl, PeerIngressOptions, SessionComms } from "../../../services/SessionComms.js"
import type { DrainExitReason } from "../../../src/domain/DrainSlot.js"
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
import { call, traced } from "../machineParts.js"
import { mayBegin } from "../mayBegin.js"

/** Whether the calling fiber is the session's own drain, which must not wait for itself. */
const fromDrain = (sessionId: SessionId): Effect.Effect<boolean> =>
  Effect.map(
    CurrentSession,
    (current) => current !== null && current.sessionId === sessionId && current.role === "drain"
  )

const endTask = (parts: MachineParts, entry: Entry, event: DrainEvent): Effect.Effect<void> =>
  Effect.flatMap(
    fromDrain(entry.sessionId),
    (inside) => Effect.asVoid(DrainCell.end(parts.attachments, entry, event, { wait: !inside }))
  )

/** What a step of the drain decided. */
type Decided =
  | { readonly _tag: "Refused"; readonly detail: string }
  | { readonly _tag: "Abort" }
  | { readonly _tag: "Unchanged" }
  | { readonly _tag: "Spawned"; readonly spawned: DrainTask.Spawned; readonly rebound: boolean }

/** The step: it decides, claims the inbox and spawns the task. */
const decide = (
  parts: MachineParts,
  entry: Entry,
  { commsRuntime, keepAlive, mobId, mode = "persistentHost" }: PeerIngressOptions
) =>
(facts: DrainCell.DrainFacts): readonly [Decided, DrainCell.DrainFacts] => {
  const runtimeId = commsRuntime === undefined ? null : parts.runtimeNames(commsRuntime)
  const planned = plan(facts, { keepAlive, mode, runtimeId, mobId: mobId ?? null })
  if (Either.isLeft(planned)) return [{ _tag: "Refused", detail: planned.left }, facts]
  const { action, owner } = planned.right
  const owned: DrainCell.DrainFacts = { ...facts, owner }
  if (action === "abort") return [{ _tag: "Abort" }, owned]
  if (action === "none" || commsRuntime === undefined || runtimeId === null) return [{ _tag: "Unchanged" }, owned]
  const event = { _tag: action === "spawn" ? "Begin" : "Rebind", mode, runtimeId } as const
  const [spawned, next] = DrainTask.spawn(parts, entry, commsRuntime, event, owned)
  return [{ _tag: "Spawned", spawned, rebound: action === "rebind" }, next]
}

/** Changes the ingress of a session; answers whether a task was spawned. */
const updateEntry = (
  parts: MachineParts,
  entry: Entry,
  options: PeerIngressOptions
): Effect.Effect<boolean, RuntimeDriverError> =>
  Effect.flatMap(
    SynchronizedRef.modify(DrainCell.of(entry), decide(parts, entry, options)),
    (decided): Effect.Effect<boolean, RuntimeDriverError> => {
      switch (decided._tag) {
        case "Refused":
          return Effect.fail(invalid({ _tag: "Conflict", detail: decided.detail }))
        case "Abort":
          return Effect.as(endTask(parts, entry, { _tag: "Abort" }), false)
        case "Unchanged":
          return Effect.succeed(false)
        case "Spawned": {
          DrainTask.follow(decided.spawned)
          const said = `the drain of session "${entry.sessionId}" was bound to another runtime`
          return Effect.as(decided.rebound ? Effect.logWarning(said) : Effect.void, true)
        }
      }
    }
  ).pipe(Effect.uninterruptible)

const update = (parts: MachineParts, resolve: Resolve, options: PeerIngressOptions) =>
  call("updatePeerIngressContext", resolve, (entry) =>
    Effect.zipRight(
      Effect.suspend(() => mayBegin(entry, "call")),
      Effect.suspend(() => updateEntry(parts, entry, options))
    ))

const abort = (parts: MachineParts, resolve: Resolve) =>
  call("abortCommsDrain", resolve, (entry) => endTask(parts, entry, { _tag: "Abort" }))

/** The caller reports that the drain has ended, for a reason that it knows. */
const notifyExited = (parts: MachineParts, resolve: Resolve, reason: DrainExitReason) =>
  call("notifyCommsDrainExited", resolve, (entry): Effect.Effect<void, RuntimeDriverError> => {
    const { authority, sessionId } = entry
    if (authority.unsafeState().lifecycle._tag === "Destroyed") return Effect.fail(new Destroyed({ sessionId }))
    return isActive(DrainCell.factsOf(entry).slot)
      ? Effect.zipRight(
        endTask(parts, entry, { _tag: "Exited", reason }),
        authority.publish({ _tag: "DrainExited", reason })
      )
      : Effect.void
  })

/** Waits until the current task has ended. Fails `WouldDeadlock` when that task calls it. */
const wait = (resolve: Resolve) =>
  call("waitCommsDrain", resolve, (entry) =>
    Effect.flatMap(fromDrain(entry.sessionId), (inside) => {
      if (inside) {
        return Effect.fail(
          invalid({ _tag: "WouldDeadlock", detail: "waitCommsDrain was called from the drain that it would wait for" })
        )
      }
      const { task } = DrainCell.factsOf(entry)
      return task === null ? Effect.void : Effect.asVoid(Fiber.await(task.fiber))
    }))

/** Begins the end of every drain, then waits for all of them together. A drain that calls it waits for none. */
const abortAll = (parts: MachineParts): Effect.Effect<void> =>
  Effect.suspend(() => {
    const drains = parts.registry.all().flatMap(({ rare }) => rare.unsafeGet().drain ?? [])
    const fibers = drains.flatMap((drain) => {
      const facts = drain.unsafeGet()
      return isActive(facts.slot) ? DrainCell.interrupt(drain, { _tag: "Abort" }) : Array.from(facts.fibers)
    })
    const all = DrainCell.joined(parts.attachments, drains, fibers)
    return Effect.flatMap(
      CurrentSession,
      (current) => current?.role === "drain" ? Effect.void : Effect.asVoid(all)
    )
  })

const hasComms = (entry: Entry): boolean => DrainCell.factsOf(entry).slot._tag !== "Inactive"

/** Sessions take inputs from their peers, by session id. */
export const comms = (parts: MachineParts): CommsControl => {
  const { find, lookup } = parts.registry
  return {
    updatePeerIngressContext: (sessionId, options) => update(parts, lookup(sessionId), options),
    notifyCommsDrainExited: (sessionId, reason) => notifyExited(parts, lookup(sessionId), reason),
    abortCommsDrain: (sessionId) => abort(parts, lookup(sessionId)),
    abortCommsDrains: traced("abortCommsDrains", abortAll(parts)),
    waitCommsDrain: (sessionId) => wait(lookup(sessionId)),
    sessionHasComms: (sessionId) =>
      Effect.sync(() => {
        const entry = find(sessionId)
        return entry !== undefined && hasComms(entry)
      }),
    peerIngressOwner: (sessionId) =>
      Effect.sync(() => {
        const entry = find(sessionId)
        return entry === undefined ? { _tag: "Unattached" } : DrainCell.factsOf(entry).owner
      })
  }
}

/** The same for one session; `resolve` decides which incarnation is meant. */
export const sessionComms = (parts: MachineParts, resolve: Resolve): SessionComms => ({
  attach: (commsRuntime, options) => update(parts, resolve, { ...options, keepAlive: true, commsRuntime }),
  detach: Effect.asVoid(update(parts, resolve, { keepAlive: false })),
  abort: abort(parts, resolve),
  wait: wait(resolve),
  owner: Effect.map(resolve, (entry) => DrainCell.factsOf(entry).owner),
  attached: Effect.map(resolve, hasComms)
})
