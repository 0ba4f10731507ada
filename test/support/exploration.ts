import { assert } from "@effect/vitest"
import * as Either from "effect/Either"
import type { Command, Decision } from "../../src/domain/Command.js"
import type { InputId } from "../../src/domain/Ids.js"
import type { InputRecord } from "../../src/domain/InputRecord.js"
import type { RuntimeCommit, RuntimeImage } from "../../src/domain/RuntimeCommit.js"
import { persisted } from "../../src/domain/RuntimeState.js"
import type { SessionState } from "../../src/domain/SessionState.js"
import { initial as noDecision, noCatalogs } from "../../src/domain/ToolVisibility.js"
import { acceptAndStage } from "../../src/kernel/commands/accept.js"
import { abortAttach, beginAttach, detach, publishAttachment } from "../../src/kernel/commands/attach.js"
import { beginUnregister, closeSession } from "../../src/kernel/commands/close.js"
import { flushDirty } from "../../src/kernel/commands/flush.js"
import { destroy, recover, recycle, reset, retire, stop } from "../../src/kernel/commands/lifecycle.js"
import { promote, retract, setSilentIntents } from "../../src/kernel/commands/queue.js"
import { cancelRun, failRun, requestCancel, requestYield, requeueRun, stage } from "../../src/kernel/commands/run.js"
import {
  admitReconfigure,
  beginServiceTurn,
  cancelServiceTurn,
  completeServiceTurn,
  failServiceTurn,
  prepareBindings
} from "../../src/kernel/commands/service.js"
import { publishCommittedVisibleSet, replaceCatalogs } from "../../src/kernel/commands/tools.js"
import { violations } from "../../src/kernel/invariants.js"
import * as Ledger from "../../src/kernel/Ledger.js"
import { foldDirty, isHard, toCommit } from "../../src/kernel/round.js"
import { selectBatch } from "../../src/kernel/selection.js"
import { inputId, operation, peer, progress, prompt, runId } from "./inputs.js"
import { committing, failure, noImage, plan, requestId, take } from "./kernel.js"
import { env } from "./operations.js"

/** A live session and what a store holds of it. */
interface Node {
  readonly live: SessionState
  readonly image: RuntimeImage
}

const limits = { maxAttempts: 2, crashBudget: 2 }
const at = env(1_000, limits)

// ---------------------------------------------------------------------------------------------------------------------
// a store in a few lines
// ---------------------------------------------------------------------------------------------------------------------

const written = (image: RuntimeImage, commit: RuntimeCommit): RuntimeImage => {
  const open = new Map<InputId, InputRecord>(image.inputs.map((record) => [record.inputId, record]))
  let next = image.nextAdmissionSeq
  for (const put of commit.inputs) {
    switch (put._tag) {
      case "Insert":
        assert.isFalse(open.has(put.record.inputId), "an insert of a known input")
        open.set(put.record.inputId, put.record)
        next = Math.max(next, put.record.admissionSeq + 1)
        break
      case "Update": {
        const known = open.get(put.facts.inputId)
        assert.isDefined(known, "an update of an unknown input")
        if (known !== undefined) open.set(known.inputId, { input: known.input, ...put.facts })
        break
      }
      case "Terminal":
        assert.isTrue(open.delete(put.row.inputId), "the end of an unknown input")
        break
      case "InsertTerminal":
        next = Math.max(next, put.row.admissionSeq + 1)
    }
  }
  return {
    ...image,
    exists: true,
    lifecycle: commit.lifecycle ?? image.lifecycle,
    inputs: Array.from(open.values()),
    nextAdmissionSeq: next,
    head: commit.session?.head ?? image.head,
    epoch: commit.epoch ?? image.epoch,
    slices: commit.slices.length === 0 ? image.slices : commit.slices
  }
}

const base = { requestId, incarnation: 1, basis: 0, at: 1_000 }

/** What the commit worker makes of a decision. */
const settle = (node: Node, { emits, state }: Decision<unknown>): Node => {
  if (!isHard(emits)) return { ...node, live: state }
  const dirty = foldDirty(state)
  return {
    live: dirty.state,
    image: written(node.image, toCommit(base, dirty.state, [...dirty.emits, ...emits]))
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// the alphabet
// ---------------------------------------------------------------------------------------------------------------------

const first = prompt(1)
const second = prompt(2, { handlingMode: "steer" })

/** What happens to two inputs, one of each lane. */
export const twoInputs: ReadonlyArray<Command<unknown>> = [
  take(first),
  take(second),
  beginAttach(1),
  publishAttachment(1),
  stage({ token: 1, runId: runId(1) }),
  stage({ token: 1, runId: runId(2) }),
  ...[1, 2].flatMap((n): ReadonlyArray<Command<unknown>> => [
    committing(n),
    failRun({ runId: runId(n), failure: failure() }),
    failRun({ runId: runId(n), failure: failure({ retryable: false }) }),
    cancelRun({ runId: runId(n), reason: "x" }),
    requeueRun({ runId: runId(n) })
  ]),
  detach(1),
  retire,
  reset,
  recycle,
  stop,
  destroy,
  beginUnregister,
  closeSession,
  flushDirty
]

/** Every command on one input. */
export const oneInput: ReadonlyArray<Command<unknown>> = [
  ...twoInputs.filter(({ name }) => name !== "accept"),
  take(first),
  take(first, { wake: false }),
  take(operation(9)),
  acceptAndStage({ input: first, keyFact: null, knownTerminal: false }, runId(2)),
  abortAttach(1),
  recover,
  retract(inputId(1)),
  promote(inputId(1)),
  setSilentIntents(["a"]),
  setSilentIntents([]),
  requestCancel({ reason: "x" }),
  requestYield({ reason: "x" }),
  prepareBindings(1),
  admitReconfigure,
  publishCommittedVisibleSet(noDecision),
  replaceCatalogs(noCatalogs),
  beginServiceTurn({ runId: runId(1) }),
  completeServiceTurn({ runId: runId(1) }),
  failServiceTurn({ runId: runId(1), detail: "x" }),
  cancelServiceTurn({ runId: runId(1), reason: "x" })
]

/** Every command on two inputs: minutes, so for `npm run explore` only. */
export const everything: ReadonlyArray<Command<unknown>> = [...oneInput, take(second)]

const keyed = (n: number) => peer(n, progress, undefined, { supersessionKey: "k" })

/** Two inputs of which one takes the place of the other. */
export const coalescing: ReadonlyArray<Command<unknown>> = [take(keyed(1)), take(keyed(2)), ...twoInputs.slice(2)]

// ---------------------------------------------------------------------------------------------------------------------
// the walk
// ---------------------------------------------------------------------------------------------------------------------

/** Counters are cut where nothing depends on them any more; times and sequences count by their order alone. */
const facts = (record: InputRecord, imageSeq: number) =>
  [
    record.inputId.slice(-1),
    record.lane,
    record.hold,
    record.status.type,
    Math.min(record.attempts, 1),
    record.charged,
    record.crashed,
    record.solo,
    record.admissionSeq >= imageSeq
  ].join(",")

const keyOf = ({ image, live }: Node): string =>
  JSON.stringify([
    live.lifecycle._tag === "Running" ? { ...live.lifecycle, startedAt: 0 } : live.lifecycle,
    live.registration,
    Ledger.all(live.ledger).map((record) => facts(record, live.ledger.imageSeq)),
    live.silentIntents,
    live.binding,
    live.operations.epoch.retired,
    live.dirty.inputs,
    image.lifecycle,
    image.inputs.map((record) => facts(record, 0))
  ])

const crash = (node: Node, fired: Set<string>): Node | null =>
  Either.match(plan(node.image, at), {
    onLeft: (error) => {
      assert.strictEqual(error._tag, "Destroyed", error.message)
      return null
    },
    onRight: ({ commit, value }) => {
      value.rows.forEach((id) => fired.add(id))
      return { live: value.state, image: written(node.image, commit) }
    }
  })

const accepts = (state: SessionState, commands: ReadonlyArray<Command<unknown>>): boolean =>
  commands.some((command) => Either.isRight(command.decide(state, at)))

const check = (node: Node, trace: () => string): void => {
  const { live } = node
  assert.deepStrictEqual(violations(live), [], trace())
  // what was soft is all that the store does not know yet (SNP-12, and loading equals living)
  const { image } = settle(node, { ...foldDirty(live), reply: undefined })
  assert.strictEqual(image.lifecycle, persisted(live.lifecycle), trace())
  const byOrder = Array.from(image.inputs).sort((a, b) => a.admissionSeq - b.admissionSeq)
  assert.deepStrictEqual(byOrder, Array.from(Ledger.all(live.ledger)), trace())
  // no wedge: a run can end, queued work can be run, and there is a way out of every state
  if (live.lifecycle._tag === "Running") {
    const { runId } = live.lifecycle
    assert.isTrue(accepts(live, [requeueRun({ runId })]), trace())
    assert.isTrue(accepts(live, [committing(1), committing(2), completeServiceTurn({ runId })]), trace())
  }
  const mayRun = live.lifecycle._tag === "Attached" || live.lifecycle._tag === "Retired"
  if (live.registration._tag === "Active" && mayRun && selectBatch(live, at.now).length > 0) {
    const staged = Either.getOrNull(stage({ token: live.registration.token, runId: runId(1) }).decide(live, at))
    assert.isNotNull(staged?.reply ?? null, trace())
  }
  const out = live.registration._tag === "Draining" ? closeSession : destroy
  assert.isTrue(live.lifecycle._tag === "Destroyed" || accepts(live, [out]), trace())
}

export interface Walk {
  readonly states: number
  readonly steps: number
  readonly rejected: number
  /** ids of the rows that fired */
  readonly fired: ReadonlySet<string>
}

/** Every state that the commands, and crashes between them, lead to; each is checked as it is found. */
export const walk = (alphabet: ReadonlyArray<Command<unknown>>): Walk => {
  const fired = new Set<string>()
  const start = crash({ live: Either.getOrThrow(plan(noImage, at)).value.state, image: noImage }, fired)
  assert.isNotNull(start)
  const seen = new Map<string, { readonly by: string; readonly from: string | null }>()
  const queue: Array<readonly [string, Node]> = []
  const visit = (node: Node, by: string, from: string | null): void => {
    const key = keyOf(node)
    if (seen.has(key)) return
    seen.set(key, { by, from })
    queue.push([key, node])
    check(node, () => traceOf(key))
  }
  const traceOf = (key: string): string => {
    const step = seen.get(key)
    return step === undefined || step.from === null ? "" : `${traceOf(step.from)} > ${step.by}`
  }
  let steps = 0
  let rejected = 0
  if (start !== null) visit(start, "open", null)
  for (let entry = queue.shift(); entry !== undefined; entry = queue.shift()) {
    const [key, node] = entry
    for (const command of alphabet) {
      const decision = command.decide(node.live, at)
      if (Either.isLeft(decision)) {
        rejected++
        continue
      }
      steps++
      decision.right.rows?.forEach((id) => fired.add(id))
      visit(settle(node, decision.right), command.name, key)
    }
    const again = crash(node, fired)
    if (again !== null) visit(again, "crash", key)
  }
  return { states: seen.size, steps, rejected, fired }
}
