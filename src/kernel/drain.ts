/**
 * The rules of the drain slot: its transitions, and who may claim a session's inbox. The drain code of the machine
 * calls them. The slot is the only record of a drain; a refused transition leaves it unchanged.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import type { DrainExitReason, DrainMode, DrainSlot, DrainState, PeerIngressOwner } from "../domain/DrainSlot.js"
import { isActive } from "../domain/DrainSlot.js"
import type { Violation } from "./invariants.js"

/** An event of the slot. @since 0.1.0 @category models */
export type DrainEvent =
  | { readonly _tag: "Begin"; readonly mode: DrainMode; readonly runtimeId: string }
  /** binds a running task to another runtime */
  | { readonly _tag: "Rebind"; readonly mode: DrainMode; readonly runtimeId: string }
  /** the task begins to drain */
  | { readonly _tag: "Spawned" }
  | { readonly _tag: "Exited"; readonly reason: DrainExitReason }
  | { readonly _tag: "Abort" }

/** A transition that the rules do not allow. @since 0.1.0 @category models */
export interface DrainRefusal {
  readonly from: DrainSlot["_tag"]
  readonly event: DrainEvent["_tag"]
}

type Step = Either.Either<DrainSlot, DrainRefusal>

/** Returns the next slot, or the refusal. @since 0.1.0 @category transitions */
export const step = (slot: DrainSlot, event: DrainEvent): Step => {
  const refused: Step = Either.left({ from: slot._tag, event: event._tag })
  switch (event._tag) {
    case "Begin":
      return isActive(slot) ? refused : starting(event)
    case "Rebind":
      return isActive(slot) && slot.mode === event.mode && slot.runtimeId !== event.runtimeId
        ? starting(event)
        : refused
    case "Spawned":
      return slot._tag === "Starting" ? Either.right({ ...slot, _tag: "Running" }) : refused
    case "Exited":
      return isActive(slot) ? Either.right(exited(slot, event.reason)) : refused
    case "Abort":
      // a slot that was never used has no task to abort, so it stays unused
      return slot._tag === "Inactive" ? refused : Either.right({ _tag: "Stopped", mode: slot.mode })
  }
}

/** The wanted ingress of a session. @since 0.1.0 @category models */
export interface IngressRequest {
  readonly keepAlive: boolean
  readonly mode: DrainMode
  readonly runtimeId: string | null
  readonly mobId: string | null
}

/** The owner and the action that a request leads to. @since 0.1.0 @category models */
export interface IngressPlan {
  readonly owner: PeerIngressOwner
  readonly action: "none" | "abort" | "spawn" | "rebind"
}

/**
 * Computes owner and action for a request, or says why it is refused. A refused claim changes neither.
 *
 * A session may move to another runtime of its own, and so may a mob. A mob may take over an inbox that a session owns.
 * An inbox that a mob owns cannot be taken over.
 *
 * @since 0.1.0
 * @category transitions
 */
export const plan = ({ owner, slot }: DrainState, request: IngressRequest): Either.Either<IngressPlan, string> =>
  Either.flatMap(
    claim(owner, request),
    (next) => Either.map(actionOf(slot, request), (action) => ({ owner: next, action }))
  )

/**
 * Lists the contradictions between a slot and its task; empty unless there is a bug.
 *
 * @since 0.1.0
 * @category invariants
 */
export const drainViolations = ({ owner, slot }: DrainState, taskLive: boolean): ReadonlyArray<Violation> => {
  const broken = (id: string, detail: string): Violation => ({ id, detail })
  return [
    ...(("mode" in slot) === (slot._tag !== "Inactive")
      ? []
      : [broken("P24", `the drain slot is ${slot._tag}, which its mode contradicts`)]),
    ...(isActive(slot) === taskLive
      ? []
      : [broken("S11", `the drain slot is ${slot._tag}, its task live: ${taskLive}`)]),
    ...(isActive(slot) && owner._tag === "Unattached" ? [broken("S11", "a drain runs without an owner")] : [])
  ]
}

// --- internal ---

const starting = ({ mode, runtimeId }: { readonly mode: DrainMode; readonly runtimeId: string }): Step =>
  Either.right({ _tag: "Starting", mode, runtimeId })

const exited = (
  { mode, runtimeId }: { readonly mode: DrainMode; readonly runtimeId: string },
  reason: DrainExitReason
) =>
  mode === "persistentHost" && reason === "failed"
    ? { _tag: "ExitedRespawnable", mode, runtimeId } as const
    : { _tag: "Stopped", mode } as const

const claim = (
  owner: PeerIngressOwner,
  { keepAlive, mobId, runtimeId }: IngressRequest
): Either.Either<PeerIngressOwner, string> => {
  if (runtimeId === null) {
    if (mobId !== null) return Either.left("a mob can only claim an inbox together with its runtime")
    return Either.right(keepAlive ? owner : { _tag: "Unattached" })
  }
  if (mobId !== null) {
    return owner._tag === "MobOwned" && owner.mobId !== mobId
      ? Either.left(`the inbox belongs to mob "${owner.mobId}"`)
      : Either.right({ _tag: "MobOwned", runtimeId, mobId })
  }
  return owner._tag === "MobOwned"
    ? Either.left(`the inbox belongs to mob "${owner.mobId}"`)
    : Either.right({ _tag: "SessionOwned", runtimeId })
}

const actionOf = (
  slot: DrainSlot,
  { keepAlive, mode, runtimeId }: IngressRequest
): Either.Either<IngressPlan["action"], string> => {
  if (!keepAlive) return Either.right(slot._tag === "Inactive" || slot._tag === "Stopped" ? "none" : "abort")
  if (runtimeId === null) return Either.right("none")
  if (!isActive(slot)) return Either.right("spawn")
  if (slot.mode !== mode) return Either.left(`a drain runs already, in mode ${slot.mode}`)
  return Either.right(slot.runtimeId === runtimeId ? "none" : "rebind")
}
