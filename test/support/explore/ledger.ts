/**
 * Slices of the open inputs of a session with a live loop: batches, retries, budgets, edits, and crashes in between.
 */
import type { Command } from "../../../src/domain/Command.js"
import type { Input } from "../../../src/domain/Input.js"
import { beginAttach, publishAttachment } from "../../../src/kernel/commands/attach.js"
import { beginUnregister, closeSession } from "../../../src/kernel/commands/close.js"
import { answered, external } from "../../../src/kernel/commands/command.js"
import { flushDirty } from "../../../src/kernel/commands/flush.js"
import { recycle, reset, retire } from "../../../src/kernel/commands/lifecycle.js"
import * as Ledger from "../../../src/kernel/Ledger.js"
import * as Table from "../../../src/kernel/table.js"
import { event, operation, peer, progress, prompt, record } from "../inputs.js"
import * as Moves from "./moves.js"
import type { NodeMove } from "./node.js"
import { budgets, commanding, crash, numberOf, register, together, unregistering } from "./node.js"
import { ofSessions } from "./product.js"

const as = commanding(budgets)

/** Attaches a loop in one move. The steps of an attachment are part of another slice. */
const attach: NodeMove = together(
  "attach",
  "work",
  as("beginAttach", beginAttach(1), "work"),
  as("publishAttachment", publishAttachment(1), "work")
)

const cold = [together("register and attach", "work", register(budgets), attach), register(budgets)]

const around = [
  attach,
  as("retire", retire),
  as("reset", reset),
  as("recycle", recycle),
  as("flushDirty", flushDirty, "work"),
  together(
    "unregister",
    "teardown",
    as("beginUnregister", beginUnregister, "teardown"),
    unregistering(budgets, closeSession)
  ),
  crash
]

/** No destroy is offered: the slice of the session explores it, and it is one move everywhere. */
const live: Moves.Offer = ({ live }) => live === null ? cold : around

const ofInputs = (
  name: string,
  about: string,
  entrants: ReadonlyArray<Moves.Entrant>,
  atMost: number,
  more: ReadonlyArray<Moves.Offer> = []
) => {
  const slice = ofSessions(name, about, [
    Moves.accepting(budgets, entrants, atMost),
    Moves.running(budgets),
    Moves.waiting,
    live,
    ...more
  ])
  return { ...slice, paths: slice.paths.filter(({ id }) => id !== "LIVE-2") }
}

const queued: Moves.Entrant = { name: "prompt", make: (n) => prompt(n) }
const steering: Moves.Entrant = { name: "steer", make: (n) => event(n, "steer") }

export const lanes = ofInputs(
  "inputs: two lanes",
  "two open inputs of the queue and the steer lane, with promotion and retraction",
  [queued, steering],
  2,
  [Moves.editing(budgets)]
)

export const riders = ofInputs(
  "inputs: riders",
  "two open inputs that drive, are held, or are progress of a peer",
  [
    queued,
    { name: "held prompt", make: (n) => prompt(n), wake: false },
    { name: "progress", make: (n) => peer(n, progress) }
  ],
  2
)

export const batches = ofInputs(
  "inputs: batches",
  "three open events of one lane, which share a turn until one of them fails",
  [{ name: "event", make: (n) => event(n) }],
  3
)

const inMemory = (n: number): Input => event(n, "queue", undefined, { durability: "ephemeral" })

export const ephemeral = ofInputs(
  "inputs: ephemeral",
  "a durable input and one that is never written, and an operation notice, which is consumed as it is accepted",
  [
    { name: "event", make: (n) => event(n) },
    { name: "ephemeral event", make: inMemory },
    { name: "operation", make: (n) => operation(n) }
  ],
  2
)

const keyed = (n: number): Input => peer(n, progress, undefined, { supersessionKey: "k" })

/** Supersedes an input through the rows of the table. No policy of the table does so. */
const superseding = (input: Input): Command<void> =>
  external("supersede", (fold, env) => {
    const { inputId } = record(input)
    const old = Ledger.lane(fold.state.ledger, "queue")[0]
    const admissionSeq = Ledger.nextSeq(fold.state.ledger)
    const admitted = Table.fire(fold, "Admit", {})
    const cleared = old === undefined
      ? admitted
      : Table.thenFire(admitted, "Supersede", { inputId: old.inputId, at: env.now, by: inputId })
    return answered(
      Table.thenFire(cleared, "Enqueue", { inputId, record: { ...record(input), admissionSeq } }),
      () => undefined
    )
  })

const supersedes: Moves.Offer = (node) =>
  node.live === null || Ledger.size(node.live.ledger) - Ledger.laneSize(node.live.ledger, "queue") > 1
    ? []
    : [as("supersede", superseding(prompt(numberOf(node.serial))))]

export const replacing = ofInputs(
  "inputs: replacing",
  "inputs that coalesce by key, and, under a policy that the table does not have, supersede",
  [{ name: "keyed progress", make: keyed }],
  2,
  [supersedes]
)
