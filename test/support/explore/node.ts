/** The states of session slices, a session with its store, and commands as moves. */
import * as Either from "effect/Either"
import type { Command, Decision, Emit, Rejection } from "../../../src/domain/Command.js"
import * as Ids from "../../../src/domain/Ids.js"
import type { TerminalInput } from "../../../src/domain/InputRecord.js"
import type { RuntimeCommit } from "../../../src/domain/RuntimeCommit.js"
import type { Env, KernelLimits, SessionState } from "../../../src/domain/SessionState.js"
import { planOpening } from "../../../src/kernel/opening.js"
import { foldDirty, isHard, toCommit } from "../../../src/kernel/round.js"
import { endOfFold } from "../../../src/kernel/wake.js"
import { inputId, runId } from "../inputs.js"
import { epochCandidate, sessionId } from "../kernel.js"
import { limits as defaults } from "../operations.js"
import type { Kind, Made, Move, Refusal } from "./engine.js"
import type { Stored } from "./store.js"
import { imageOf, nothingStored, write } from "./store.js"

/**
 * `live` is null while the session is not registered. `serial` numbers fresh ids, and `now` advances only while a
 * retry waits for it. Neither tells states apart.
 */
export interface Node {
  readonly live: SessionState | null
  readonly stored: Stored
  readonly serial: number
  readonly now: number
}

/** What a step did, beside the state it led to. */
export interface Deed {
  readonly command: string
  readonly emits: ReadonlyArray<Emit>
  readonly rows: ReadonlyArray<string>
  /** rows of inputs that ended */
  readonly ended: ReadonlyArray<TerminalInput>
  /** the store's objection to the commit */
  readonly objection: string | null
}

export type NodeMove = Move<Node, Deed>

export const unborn: Node = { live: null, stored: nothingStored, serial: 1, now: 1_000 }

/** Each state has ten ids; the tenth is for a continuation. */
export const freshInput = ({ serial }: Node, nth = 0): Ids.InputId => inputId(numberOf(serial, nth))
export const numberOf = (serial: number, nth = 0): number => serial * 10 + nth
export const freshRun = ({ serial }: Node): Ids.RunId => runId(serial * 10)
export const staleRun: Ids.RunId = runId(1)
export const staleToken = 0

/** Budgets of two: the first failure is forgiven. */
export const budgets: KernelLimits = { ...defaults, maxAttempts: 2, crashBudget: 2 }

export const envOf = (node: Node, limits: KernelLimits): Env => ({
  now: node.now,
  continuationId: freshInput(node, 9),
  limits
})

/** A command as a move. It is refused while the session is not registered. */
export const commanding = (limits: KernelLimits) =>
(
  name: string,
  command: Command<unknown>,
  kind: Kind = "client"
): NodeMove => ({
  name,
  kind,
  make: (node) => node.live === null ? Either.left(unregistered) : decided(node, node.live, command, limits)
})

/** Advances the time until the next retry is due. */
export const time: NodeMove = {
  name: "time passes",
  kind: "work",
  make: (node) => Either.right(made({ ...node, now: node.now + 1_000 }, idleDeed("time passes")))
}

/** Ends the process: deferred writes are lost. */
export const crash: NodeMove = {
  name: "crash",
  kind: "crash",
  make: (node) =>
    node.live === null
      ? Either.left(unregistered)
      : Either.right(made({ ...node, live: null, serial: node.serial + 1 }, idleDeed("crash")))
}

/** Registers the session from the store. */
export const register = (limits: KernelLimits): NodeMove => ({
  name: "register",
  kind: "work",
  make: (node) => node.live === null ? opened(node, limits) : Either.left({ reasons: ["registered already"] })
})

/** Several moves as one, refused where one of them is refused. */
export const together = (name: string, kind: Kind, first: NodeMove, ...rest: ReadonlyArray<NodeMove>): NodeMove => ({
  name,
  kind,
  make: (node) =>
    rest.reduce(
      (step, move) =>
        Either.flatMap(step, (before) =>
          Either.map(move.make(before.node), (after) => made(after.node, joined(before.made, after.made)))),
      first.make(node)
    )
})

/** The closing commit, after which the process holds nothing of the session. */
export const unregistering = (limits: KernelLimits, command: Command<unknown>): NodeMove => {
  const closing = commanding(limits)("closeSession", command, "teardown")
  return {
    ...closing,
    make: (node) => Either.map(closing.make(node), (step) => ({ ...step, node: { ...step.node, live: null } }))
  }
}

/** Why a command was refused, one name per reason. */
export const reasonsOf = (rejection: Rejection): ReadonlyArray<string> => {
  switch (rejection._tag) {
    case "GuardRejected":
      return rejection.failed.map((guard) => `GuardRejected ${guard}`)
    case "Invalid":
      return [`Invalid ${rejection.detail._tag}`]
    case "NoTransition":
      return [`NoTransition ${rejection.state}`]
    case "TerminalPhase":
      return ["TerminalPhase"]
  }
}

/** What the store would hold if all deferred writes were committed now. */
export const flushed = ({ live, stored }: Node): Stored => {
  if (live === null) return stored
  const dirty = foldDirty(live)
  return Either.getOrElse(
    write(stored, commitOf(stored, dirty.state, dirty.emits, 0, 0), "commit"),
    () => stored
  )
}

// --- internal ---

const unregistered: Refusal = { reasons: ["unregistered"] }

const made = (node: Node, deed: Deed): Made<Node, Deed> => ({ node, made: deed, rows: deed.rows })

const idleDeed = (command: string): Deed => ({ command, emits: [], rows: [], ended: [], objection: null })

const joined = (first: Deed, second: Deed): Deed => ({
  command: first.command,
  emits: [...first.emits, ...second.emits],
  rows: [...first.rows, ...second.rows],
  ended: [...first.ended, ...second.ended],
  objection: first.objection ?? second.objection
})

const endedIn = ({ inputs }: RuntimeCommit): ReadonlyArray<TerminalInput> =>
  inputs.flatMap((put) => put._tag === "Terminal" || put._tag === "InsertTerminal" ? [put.row] : [])

const requestId = (serial: number): Ids.RequestId =>
  Ids.RequestId.make(`00000000-0000-4000-8000-${serial.toString(16).padStart(12, "0")}`)

const commitOf = (
  { head }: Stored,
  state: SessionState,
  emits: ReadonlyArray<Emit>,
  at: number,
  serial: number
): RuntimeCommit =>
  toCommit({ requestId: requestId(serial), incarnation: head.incarnation, basis: head.revision, at }, state, emits)

/** Steps 2 to 4 of a command: the fold with its end, the commit, and the published state. */
const decided = (
  node: Node,
  live: SessionState,
  command: Command<unknown>,
  limits: KernelLimits
): Either.Either<Made<Node, Deed>, Refusal> => {
  const env = envOf(node, limits)
  return Either.mapBoth(command.decide(live, env), {
    onLeft: (rejection) => ({ reasons: reasonsOf(rejection) }),
    onRight: (decision) => settled(node, command.name, decision, env)
  })
}

const settled = (node: Node, command: string, decision: Decision<unknown>, env: Env): Made<Node, Deed> => {
  const closing = endOfFold(decision.state, env)
  const emits = [...decision.emits, ...closing.emits]
  const rows = decision.rows ?? []
  const ended = emits.flatMap((emit) => emit._tag === "EndInput" ? [emit.row] : [])
  const serial = node.serial + 1
  if (!isHard(emits)) {
    return made({ ...node, live: closing.state, serial }, { command, emits, rows, ended, objection: null })
  }
  const dirty = foldDirty(closing.state)
  const commit = commitOf(node.stored, dirty.state, [...dirty.emits, ...emits], env.now, node.serial)
  const written = write(node.stored, commit, "commit")
  return made(
    { ...node, live: dirty.state, serial, stored: Either.getOrElse(written, () => node.stored) },
    { command, emits, rows, ended, objection: Either.isLeft(written) ? written.left : null }
  )
}

const opened = (node: Node, limits: KernelLimits): Either.Either<Made<Node, Deed>, Refusal> => {
  const plan = planOpening({
    sessionId,
    image: imageOf(node.stored),
    requestId: requestId(node.serial),
    epochCandidate,
    now: node.now,
    limits
  })
  return Either.mapBoth(plan, {
    onLeft: (error) => ({ reasons: [error._tag === "Destroyed" ? "Destroyed" : `${error._tag}: ${error.reason}`] }),
    onRight: ({ commit, value }) => {
      const written = write(node.stored, commit, "open")
      return made(
        {
          ...node,
          live: value.state,
          serial: node.serial + 1,
          stored: Either.getOrElse(written, () => node.stored)
        },
        {
          command: "register",
          emits: [],
          rows: value.rows,
          ended: endedIn(commit),
          objection: Either.isLeft(written) ? written.left : null
        }
      )
    }
  })
}
