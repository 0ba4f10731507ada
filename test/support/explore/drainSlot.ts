/** The exploration of the drain slot, its owner, and the task that the slot stands for. */
import * as Either from "effect/Either"
import type { DrainExitReason, DrainMode, DrainState } from "../../../src/domain/DrainSlot.js"
import { initial, isActive } from "../../../src/domain/DrainSlot.js"
import type { DrainEvent, IngressRequest } from "../../../src/kernel/drain.js"
import { drainViolations, plan, step } from "../../../src/kernel/drain.js"
import { when } from "../../../src/kernel/invariants/invariant.js"
import type { Made, Move, Refusal, Slice } from "./engine.js"

/** The slot and its task. The task belongs to the machine: it lives from a claim to an exit or an abort. */
export interface Draining {
  readonly state: DrainState
  readonly task: boolean
}

export interface DrainDeed {
  readonly event: string
}

type DrainMove = Move<Draining, DrainDeed>

const modes: ReadonlyArray<DrainMode> = ["timed", "attachedSession", "persistentHost"]
const runtimes = ["a", "b"] as const
const reasons: ReadonlyArray<DrainExitReason> = ["idleTimeout", "dismissed", "failed", "aborted", "sessionShutdown"]

const stepped = (node: Draining, event: DrainEvent): Either.Either<Made<Draining, DrainDeed>, Refusal> =>
  Either.mapBoth(step(node.state.slot, event), {
    onLeft: ({ from }) => ({ reasons: [`from ${from}`] }),
    onRight: (slot) => ({
      node: { state: { ...node.state, slot }, task: isActive(slot) },
      made: { event: event._tag },
      rows: [`drain.${event._tag} ${node.state.slot._tag} ${slot._tag}`]
    })
  })

/** Moves of the task itself, which starts to drain and ends, and of the end of the session. */
const own: ReadonlyArray<DrainMove> = [
  { name: "Spawned", kind: "work", make: (node) => stepped(node, { _tag: "Spawned" }) },
  ...reasons.map((reason): DrainMove => ({
    name: `Exited ${reason}`,
    kind: "work",
    make: (node) => stepped(node, { _tag: "Exited", reason })
  })),
  {
    name: "unregister",
    kind: "teardown",
    make: (node) =>
      Either.map(stepped(node, { _tag: "Abort" }), ({ made, node: { state, task }, rows }) => ({
        made,
        rows,
        node: { state: { ...state, owner: { _tag: "Unattached" } }, task }
      }))
  }
]

const requests: ReadonlyArray<IngressRequest> = [true, false].flatMap((keepAlive) =>
  modes.flatMap((mode) =>
    [null, ...runtimes].flatMap((runtimeId) => [null, "m", "n"].map((mobId) => ({ keepAlive, mode, runtimeId, mobId })))
  )
)

/** A request as the machine handles it: the plan, then its event. A refused plan changes nothing. */
const asked = (request: IngressRequest): DrainMove => ({
  name: `ingress ${request.keepAlive ? "keep" : "drop"} ${request.mode} ${request.runtimeId} ${request.mobId}`,
  kind: "client",
  make: (node) =>
    Either.flatMap(Either.mapLeft(plan(node.state, request), (reason): Refusal => ({ reasons: [reason] })), (next) => {
      const claimed = { ...node, state: { ...node.state, owner: next.owner } }
      const runtimeId = request.runtimeId ?? ""
      switch (next.action) {
        case "none":
          return Either.right({ node: claimed, made: { event: "none" }, rows: [] })
        case "abort":
          return stepped(claimed, { _tag: "Abort" })
        case "spawn":
          return stepped(claimed, { _tag: "Begin", mode: request.mode, runtimeId })
        case "rebind":
          return stepped(claimed, { _tag: "Rebind", mode: request.mode, runtimeId })
      }
    })
})

/** Events out of turn. Each is refused where it has no meaning. */
const raw: ReadonlyArray<DrainMove> = modes.flatMap((mode) =>
  (["Begin", "Rebind"] as const).map((tag): DrainMove => ({
    name: `${tag} ${mode}`,
    kind: "client",
    make: (node) =>
      node.state.owner._tag === "Unattached"
        ? Either.left({ reasons: ["the inbox has no owner"] })
        : stepped(node, { _tag: tag, mode, runtimeId: node.state.owner.runtimeId })
  }))
)

export const drainSlot: Slice<Draining, DrainDeed> = {
  name: "drain slot",
  about: "slot × owner: three modes, two runtimes, two mobs, every request and every way in which a task ends",
  start: { state: initial, task: false },
  moves: () => [...own, ...raw, ...requests.map(asked)],
  keyOf: (node) => JSON.stringify(node),
  dump: (node) => JSON.stringify(node),
  states: ["P24", "S11"].map((id) => ({
    id,
    says: id === "P24"
      ? "a slot has a mode exactly if it was used"
      : "a task lives exactly while the slot is active, and only for an owner",
    check: ({ state, task }) =>
      drainViolations(state, task).flatMap((violation) => violation.id === id ? [violation.detail] : [])
  })),
  steps: [
    {
      id: "DRAIN-1",
      says: "only a failed persistent host becomes respawnable",
      check: ({ state: { slot: before } }, _, { state: { slot } }) =>
        when(
          slot._tag === "ExitedRespawnable" && before._tag !== "ExitedRespawnable" &&
            !(isActive(before) && before.mode === "persistentHost"),
          `${before._tag} became respawnable`
        )
    },
    {
      id: "DRAIN-2",
      says: "a mob keeps its inbox until it releases the inbox",
      check: ({ state: { owner: before } }, _, { state: { owner } }) =>
        when(
          before._tag === "MobOwned" && owner._tag !== "Unattached" &&
            !(owner._tag === "MobOwned" && owner.mobId === before.mobId),
          `the inbox of mob ${before._tag === "MobOwned" ? before.mobId : ""} went to ${owner._tag}`
        )
    }
  ],
  paths: [{
    id: "LIVE-6",
    says: "from every state the task alone can reach a state without a task",
    from: () => true,
    along: ["work"],
    to: ({ task }) => !task
  }],
  atMost: 2_000
}
