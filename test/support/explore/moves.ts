/** The moves of sessions, in groups for the slices. The ids and tokens come from the state that offers the move. */
import type { Command } from "../../../src/domain/Command.js"
import type { RunId } from "../../../src/domain/Ids.js"
import type { Input } from "../../../src/domain/Input.js"
import type { SessionHead, SessionPart } from "../../../src/domain/RuntimeCommit.js"
import type { KernelLimits, SessionState } from "../../../src/domain/SessionState.js"
import { accept, acceptAndStage } from "../../../src/kernel/commands/accept.js"
import { abortAttach, beginAttach, detach, endDrained, publishAttachment } from "../../../src/kernel/commands/attach.js"
import { beginUnregister, closeSession } from "../../../src/kernel/commands/close.js"
import { flushDirty } from "../../../src/kernel/commands/flush.js"
import { destroy, recover, recycle, reset, retire, stop } from "../../../src/kernel/commands/lifecycle.js"
import { promote, retract } from "../../../src/kernel/commands/queue.js"
import {
  cancelRun,
  commitRun,
  failRun,
  requestCancel,
  requestYield,
  requeueRun,
  stage
} from "../../../src/kernel/commands/run.js"
import {
  admitReconfigure,
  beginServiceTurn,
  cancelServiceTurn,
  completeServiceTurn,
  failServiceTurn,
  prepareBindings
} from "../../../src/kernel/commands/service.js"
import * as Ledger from "../../../src/kernel/Ledger.js"
import { tokenOf } from "../../../src/kernel/rows/registration.js"
import { failure, output } from "../kernel.js"
import type { Kind } from "./engine.js"
import type { Node, NodeMove } from "./node.js"
import {
  commanding,
  crash,
  freshInput,
  freshRun,
  numberOf,
  register,
  staleRun,
  staleToken,
  time,
  unregistering
} from "./node.js"

/** Returns the moves of a state. */
export type Offer = (node: Node) => ReadonlyArray<NodeMove>

/** A kind of input: the constructor of the n-th input, and whether it starts a turn. */
export interface Entrant {
  readonly name: string
  readonly make: (n: number) => Input
  readonly wake?: boolean
}

const offering = (
  limits: KernelLimits,
  offers: (as: ReturnType<typeof commanding>, live: SessionState, node: Node) => ReadonlyArray<NodeMove>
): Offer =>
(node) => node.live === null ? [] : offers(commanding(limits), node.live, node)

/** Accepts new inputs while fewer than `atMost` are open, and repeats the oldest open and the newest ended input. */
export const accepting = (limits: KernelLimits, entrants: ReadonlyArray<Entrant>, atMost: number): Offer =>
  offering(limits, (as, live, node) => {
    const open = Ledger.all(live.ledger)
    const take = (input: Input, wake: boolean, knownTerminal = false) =>
      accept({ input, wake, keyFact: null, knownTerminal })
    const ended = Array.from(node.stored.ended).at(-1)
    const oldest = open[0]
    return [
      ...(open.length >= atMost ? [] : entrants).map(({ make, name, wake = true }) =>
        as(`accept ${name}`, take(make(numberOf(node.serial)), wake))
      ),
      ...(oldest === undefined ? [] : [as("accept again", take(oldest.input, true))]),
      ...(ended === undefined || entrants[0] === undefined
        ? []
        : [as("accept what ended", take(withId(entrants[0].make(1), ended), true, true))])
    ]
  })

/** Claims, publishes, aborts and ends a loop, and offers late moves of an older loop. */
export const attaching = (limits: KernelLimits): Offer =>
  offering(limits, (as, live, node) => {
    const token = tokenOf(live) ?? staleToken
    return [
      as("beginAttach", beginAttach(node.serial), "work"),
      as("publishAttachment", publishAttachment(token), "work"),
      as("abortAttach", abortAttach(token), "work"),
      as("detach", detach(token, { waiters: "runtime loop exited" }), "work"),
      as("endDrained", endDrained(token), "work"),
      as("publishAttachment late", publishAttachment(staleToken), "work"),
      as("abortAttach late", abortAttach(staleToken), "work"),
      as("detach late", detach(staleToken), "work"),
      as("endDrained late", endDrained(staleToken), "work"),
      as("stage late", stage({ token: staleToken, runId: freshRun(node), clearance: "alone" }), "work")
    ]
  })

/** Begins and ends the run in the slot: of the loop, of an inline run or of a service turn. */
export const running = (limits: KernelLimits): Offer =>
  offering(limits, (as, live, node) => {
    const runId = live.lifecycle._tag === "Running" ? live.lifecycle.runId : staleRun
    const notBefore = node.now + 1_000
    return [
      as("stage", stage({ token: tokenOf(live) ?? staleToken, runId: freshRun(node), clearance: "alone" }), "work"),
      as(
        "stage beside",
        stage({ token: tokenOf(live) ?? staleToken, runId: freshRun(node), clearance: "none" }),
        "work"
      ),
      as("commitRun", commitRun({ runId, output: output({ agentApplied: live.operations.epoch.lastSeq }) }), "work"),
      as("failRun, to be retried", failRun({ runId, failure: failure({ notBefore }) }), "work"),
      as("failRun, for good", failRun({ runId, failure: failure({ retryable: false }) }), "work"),
      as("cancelRun", cancelRun({ runId, reason: "x" }), "work"),
      as("requeueRun", requeueRun({ runId }), "work")
    ]
  })

/** Late moves of an ended run, and commits with a body on the current and on an outdated base. */
export const stale = (limits: KernelLimits): Offer =>
  offering(limits, (as, live) => {
    const runId = live.lifecycle._tag === "Running" ? live.lifecycle.runId : staleRun
    const body = (base: SessionHead) => commitRun({ runId, output: output({ session: append(base) }) })
    return [
      as("commitRun with a body", body(live.head), "work"),
      as("commitRun with an old body", body({ ...live.head, messageCount: live.head.messageCount + 1 }), "work"),
      as("commitRun late", commitRun({ runId: staleRun, output: output() }), "work"),
      as("failRun late", failRun({ runId: staleRun, failure: failure() }), "work"),
      as("cancelRun late", cancelRun({ runId: staleRun, reason: "x" }), "work"),
      as("requeueRun late", requeueRun({ runId: staleRun }), "work")
    ]
  })

/** Requests to a run, and changes of the queue. */
export const asking = (limits: KernelLimits): Offer =>
  offering(limits, (as) => [
    as("requestCancel", requestCancel({ reason: "x" })),
    as("requestYield", requestYield({ reason: "x" }))
  ])

export const editing = (limits: KernelLimits): Offer =>
  offering(limits, (as, live, node) => [
    ...Ledger.all(live.ledger).flatMap(({ inputId }, at) => [
      as(`retract ${at + 1}`, retract(inputId)),
      as(`promote ${at + 1}`, promote(inputId))
    ]),
    as("retract unknown", retract(freshInput(node, 8)))
  ])

/** Bindings, and the service turns of an external owner (D26). */
export const serving = (limits: KernelLimits): Offer =>
  offering(limits, (as, live, node) => {
    const current = live.lifecycle._tag === "Running" ? live.lifecycle.runId : staleRun
    const body = (base: SessionHead) => completeServiceTurn({ runId: null, output: output({ session: append(base) }) })
    const ends = (late: string, runId: RunId) => [
      as(`completeServiceTurn${late}`, completeServiceTurn({ runId }), "work"),
      as(`failServiceTurn${late}`, failServiceTurn({ runId, detail: "x" }), "work"),
      as(`cancelServiceTurn${late}`, cancelServiceTurn({ runId, reason: "x" }), "work")
    ]
    return [
      as("prepareBindings", prepareBindings(1)),
      as("admitReconfigure", admitReconfigure),
      as("beginServiceTurn", beginServiceTurn({ runId: freshRun(node) })),
      as("beginServiceTurn again", beginServiceTurn({ runId: current })),
      as("completeServiceTurn with a body", body(live.head), "work"),
      as(
        "completeServiceTurn with an old body",
        body({ ...live.head, messageCount: live.head.messageCount + 1 }),
        "work"
      ),
      ...ends("", current),
      ...ends(" late", staleRun)
    ]
  })

/** An inline run: an input that occupies the run slot when it is accepted (D23). */
export const inline = (limits: KernelLimits, make: (n: number) => Input): Offer =>
  offering(limits, (as, _, node) => [
    as(
      "acceptAndStage",
      acceptAndStage(
        { input: make(numberOf(node.serial)), keyFact: null, knownTerminal: false },
        freshRun(node),
        "alone"
      )
    )
  ])

const client = (name: string, command: Command<unknown>, kind: Kind = "client") => ({ command, kind, name })

/** Retires, resets, stops, destroys, unregisters, crashes and registers the session. */
export const lifecycle = (limits: KernelLimits): Offer => {
  const commands = [retire, reset, recycle, recover, stop, destroy].map((command) => client(command.name, command))
  const as = commanding(limits)
  const moves = [
    ...commands.map(({ command, kind, name }) => as(name, command, kind)),
    as("beginUnregister", beginUnregister, "teardown"),
    as("flushDirty", flushDirty, "work"),
    unregistering(limits, closeSession),
    crash
  ]
  const cold = [register(limits)]
  return (node) => node.live === null ? cold : moves
}

/** Advances the clock when an input waits for its retry. */
export const waiting: Offer = (node) =>
  node.live !== null && Ledger.all(node.live.ledger).some(({ notBefore }) => (notBefore ?? 0) > node.now) ? [time] : []

// --- internal ---

const append = (base: SessionHead): SessionPart => ({
  _tag: "Append",
  base,
  messages: [{ role: "assistant", blocks: [{ type: "text", text: "ok" }] }],
  head: { ...base, messageCount: base.messageCount + 1 }
})

const withId = (input: Input, id: Input["header"]["id"]): Input => ({ ...input, header: { ...input.header, id } })
