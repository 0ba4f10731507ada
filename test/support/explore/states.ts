/** The predicates of every state of a session and its store, and of the paths from it. */
import * as Either from "effect/Either"
import * as HashMap from "effect/HashMap"
import * as Option from "effect/Option"
import { isDeepStrictEqual } from "node:util"
import type { Command } from "../../../src/domain/Command.js"
import { persisted } from "../../../src/domain/RuntimeState.js"
import type { KernelLimits, SessionState } from "../../../src/domain/SessionState.js"
import { closeSession } from "../../../src/kernel/commands/close.js"
import { destroy } from "../../../src/kernel/commands/lifecycle.js"
import { commitRun, requeueRun, stage } from "../../../src/kernel/commands/run.js"
import { completeServiceTurn } from "../../../src/kernel/commands/service.js"
import { invariants, withinBudgets } from "../../../src/kernel/invariants.js"
import { when } from "../../../src/kernel/invariants/invariant.js"
import * as Ledger from "../../../src/kernel/Ledger.js"
import { drives, isRetired, selectBatch } from "../../../src/kernel/selection.js"
import { boundary, visibilityOf, visibilitySlice } from "../../../src/kernel/toolVisibility.js"
import { output } from "../kernel.js"
import type { PathPredicate, StatePredicate } from "./engine.js"
import type { Node } from "./node.js"
import { envOf, flushed, freshRun } from "./node.js"
import type { Stored } from "./store.js"

type NodeState = StatePredicate<Node>

/** A predicate of a registered session. */
const living = (
  id: string,
  says: string,
  check: (live: SessionState, node: Node) => ReadonlyArray<string>
): NodeState => ({
  id,
  says,
  check: (node) => node.live === null ? [] : check(node.live, node)
})

export const nodeStates = (limits: KernelLimits): ReadonlyArray<NodeState> => [
  ...[...invariants, withinBudgets(limits)].map(({ check, id, says }) => living(id, says, (live) => check(live))),
  living(
    "SNP-12",
    "deferred writes are exactly the changes that the store does not hold",
    (live, node) => unknown(live, flushed(node))
  ),
  living(
    "WEDGE",
    "a run can end at once, by success or from outside, for every owner",
    (live, node) => stuckRun(live, node, limits)
  ),
  living(
    "LOOP",
    "a live loop receives a batch if it may take one and a batch exists",
    (live, node) => refusedBatch(live, node, limits)
  ),
  living("EXIT", "a session can be destroyed, or is being closed, or was destroyed", (live, node) => {
    const out = live.registration._tag === "Draining" ? closeSession : destroy
    return when(live.lifecycle._tag !== "Destroyed" && !takes(node, live, out, limits), `${out.name} is refused`)
  })
]

const gone = ({ live }: Node): boolean => live === null

const destroyed = ({ stored }: Node): boolean => stored.head.lifecycle === "destroyed"

const isRunning = ({ live }: Node): boolean => live?.lifecycle._tag === "Running"

const goesOn = ({ live }: Node): boolean =>
  live !== null && live.registration._tag !== "Draining" && live.lifecycle._tag !== "Stopped" &&
  live.lifecycle._tag !== "Destroyed"

const isDriven = ({ live }: Node): boolean =>
  live !== null && Ledger.all(live.ledger).some((record) => drives(record, isRetired(live)))

export const nodePaths: ReadonlyArray<PathPredicate<Node>> = [
  {
    id: "LIVE-1",
    says: "every state has a path to unregistered without a crash",
    from: () => true,
    along: ["work", "client", "teardown"],
    to: gone
  },
  {
    id: "LIVE-2",
    says: "every state has a path to destroyed without a crash",
    from: () => true,
    along: ["work", "client", "teardown"],
    to: destroyed
  },
  {
    id: "LIVE-3",
    says: "loop and runs alone end every driving input, unless the session ends first",
    from: (node) => goesOn(node) && isDriven(node),
    along: ["work"],
    to: (node) => !isDriven(node)
  },
  {
    id: "LIVE-4",
    says: "loop and runs alone lead from every state with a run to a state without a run",
    from: isRunning,
    along: ["work"],
    to: (node) => !isRunning(node)
  }
]

// --- internal ---

const takes = (node: Node, live: SessionState, command: Command<unknown>, limits: KernelLimits): boolean =>
  Either.isRight(command.decide(live, envOf(node, limits)))

const unknown = (live: SessionState, stored: Stored): ReadonlyArray<string> => {
  const open = Ledger.all(live.ledger).filter(({ durability }) => durability !== "ephemeral")
  const { operations: { epoch, feed, records } } = live
  const silent = stored.slices.get("silentIntents")?.value ?? []
  return [
    ...when(stored.head.lifecycle !== persisted(live.lifecycle), `the store says ${stored.head.lifecycle}`),
    ...when(
      open.length !== stored.inputs.size ||
        open.some((record) => !same(stored.inputs.get(record.inputId), record)),
      "its inputs differ"
    ),
    ...when(stored.head.nextAdmissionSeq > live.ledger.nextAdmissionSeq, "its sequence is ahead"),
    ...when(
      HashMap.size(records) !== stored.operations.size ||
        Array.from(stored.operations).some(([id, record]) => !same(Option.getOrNull(HashMap.get(records, id)), record)),
      "its operations differ"
    ),
    ...when(!same(stored.feed, feed), "its feed differs"),
    ...when(!same(stored.head.epoch, epoch), "its epoch differs"),
    ...when(!same(stored.head.body, live.head), "its body differs"),
    ...when(!same(silent, live.silentIntents), "its silent intents differ"),
    ...tools(live, stored)
  ]
}

/** A run that began with the staged tools stores them at its boundary, with the same result. */
const tools = (live: SessionState, stored: Stored): ReadonlyArray<string> => {
  const value = stored.slices.get(visibilitySlice)?.value
  const known = live.tools === null || value === undefined || live.tools.unsaved
    ? null
    : same(value, visibilityOf(live))
  return [
    ...when(known === false, "its tools differ"),
    ...when(
      live.tools !== null && !live.tools.unsaved && value === undefined &&
        !same(visibilityOf(live), boundary(visibilityOf({ tools: null }))),
      "it has no tool catalogs"
    )
  ]
}

const same = isDeepStrictEqual

const stuckRun = (live: SessionState, node: Node, limits: KernelLimits): ReadonlyArray<string> => {
  if (live.lifecycle._tag !== "Running") return []
  const { owner, runId } = live.lifecycle
  const end = owner === "service" ? completeServiceTurn({ runId }) : commitRun({ runId, output: output() })
  return [end, requeueRun({ runId })].flatMap((command) =>
    when(!takes(node, live, command, limits), `${command.name} is refused`)
  )
}

const refusedBatch = (live: SessionState, node: Node, limits: KernelLimits): ReadonlyArray<string> => {
  const { lifecycle, registration } = live
  const mayRun = lifecycle._tag === "Attached" || lifecycle._tag === "Retired"
  if (registration._tag !== "Active" || !mayRun || selectBatch(live, node.now, limits, "alone").length === 0) return []
  const staged = stage({ token: registration.token, runId: freshRun(node), clearance: "alone" }).decide(
    live,
    envOf(node, limits)
  )
  return when(Either.isLeft(staged) || staged.right.reply === null, "no run began")
}
