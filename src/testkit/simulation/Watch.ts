/**
 * Watches the authority of every session in a simulation: the rows that fire, the batches that are staged, and the
 * states that are published. The lives of a simulation provide its layer.
 *
 * A published state keeps the invariants of the kernel, and the store holds it. Each broken rule becomes a violation in
 * the journal.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import type { SessionAuthority, SubmitError } from "../../../services/MachineAuthority.js"
import { MachineAuthority } from "../../../services/MachineAuthority.js"
import type { Command, Decision, StagedRun } from "../../domain/Command.js"
import type { RuntimeId } from "../../domain/Ids.js"
import { runtimeIdOf } from "../../domain/Ids.js"
import type { InputRecord } from "../../domain/InputRecord.js"
import { persisted } from "../../domain/RuntimeState.js"
import type { SessionState } from "../../domain/SessionState.js"
import { StoreOutcomeUnknown } from "../../domain/StoreErrors.js"
import { violations } from "../../kernel/invariants.js"
import * as Ledger from "../../kernel/Ledger.js"
import { count, note, violate } from "./Journal.js"
import type { World } from "./World.js"
import { incarnationOf } from "./World.js"

/** Wraps the provided authority and checks its commands and states. @since 0.1.0 @category layers */
export const layer = (world: World): Layer.Layer<MachineAuthority, never, MachineAuthority> =>
  Layer.effect(
    MachineAuthority,
    Effect.map(MachineAuthority, (authorities) => ({
      ...authorities,
      open: (sessionId) =>
        Effect.gen(function*() {
          const cell = { incarnation: "" }
          // finalizers run in reverse order: this one runs after all others of the session
          yield* Effect.addFinalizer(() => Effect.sync(() => over(world, runtimeIdOf(sessionId), cell.incarnation)))
          const authority = yield* authorities.open(sessionId)
          const { ledger, runtimeId } = authority.unsafeState()
          cell.incarnation = incarnationOf(runtimeId, authority.incarnation)
          world.opened.set(runtimeId, { incarnation: authority.incarnation, imageSeq: ledger.nextAdmissionSeq })
          return watched(world, cell.incarnation, authority)
        })
    }))
  )

// --- internal ---

/** Records the end of an incarnation. The end is tidy unless one of its writes was not acknowledged. */
const over = (world: World, runtimeId: RuntimeId, incarnation: string): void => {
  if (incarnation === "") return
  world.closed.add(incarnation)
  // an outdated incarnation does not decide what the store holds
  const isNewest = incarnation === incarnationOf(runtimeId, world.ledger.incarnations.get(runtimeId) ?? 0)
  const tidy = isNewest && !world.untidy.has(incarnation) && !world.reloading.has(incarnation)
  note(world.journal, `${incarnation} is over${tidy ? " in good order" : ""}`)
  if (tidy) world.ledger.tidy.add(runtimeId)
}

const watched = (world: World, incarnation: string, authority: SessionAuthority): SessionAuthority => {
  const view: View = { published: authority.unsafeState(), past: new WeakSet() }
  inspect(world, incarnation, authority.incarnation, view.published)
  authority.onPublish((state) => {
    path(world, view.published, state)
    // an echo only wakes listeners; the worker may already hold the answer to the next commit
    if (!isEcho(view.published, state)) inspect(world, incarnation, authority.incarnation, state)
    if (state !== view.published) view.past.add(view.published)
    view.published = state
  })
  return {
    ...authority,
    submit: (command, options) =>
      Effect.tapError(
        authority.submit(observed(world, view, command, incarnation), options),
        (error) => Effect.sync(() => denied(world, error))
      ),
    requireReload: (reason, outcomes) =>
      Effect.zipRight(Effect.sync(() => world.reloading.add(incarnation)), authority.requireReload(reason, outcomes))
  }
}

/** The published state of a session, and the states published before it. */
interface View {
  published: SessionState
  readonly past: WeakSet<SessionState>
}

/** Whether the publication changes nothing that the store holds. */
const isEcho = (before: SessionState, after: SessionState): boolean =>
  before.ledger === after.ledger && before.lifecycle === after.lifecycle && before.head === after.head &&
  before.operations === after.operations

/** Rule 15: a commit that was reported as not happened is not in the store, now or later. */
const denied = ({ journal, ledger }: World, error: SubmitError): void => {
  if (error._tag !== "CommitFailed" || error.error._tag !== "StoreIo") return
  const { cause } = error.error
  if (!(cause instanceof StoreOutcomeUnknown)) return
  ledger.denied.add(cause.requestId)
  if (ledger.seen.has(cause.requestId)) {
    violate(journal, "15 reject is pure", `${cause.requestId} was reported as not happened and is in the store`)
  }
}

/** Rule 30: a session decides its commands one after the other, each on the latest published state. */
const inOrder = ({ journal }: World, view: View, state: SessionState, command: string): void => {
  if (state === view.published || !view.past.has(state)) return
  violate(journal, "30 one order", `${state.sessionId}: ${command} was decided on an outdated state`)
}

/** Returns the same command; counts its decisions and checks the batches that it stages. */
const observed = <A>(world: World, view: View, command: Command<A>, incarnation: string): Command<A> => ({
  name: command.name,
  decide: (state, env) => {
    inOrder(world, view, state, command.name)
    const decided = command.decide(state, env)
    if (Either.isLeft(decided)) count(world.journal, "rejection", decided.left._tag)
    else {
      count(world.journal, "command", command.name)
      for (const row of decided.right.rows ?? []) count(world.journal, "row", row)
      handedOver(world, state, command.name, incarnation)
      const run = stagedBy(decided.right)
      const { lifecycle } = decided.right.state
      if (run !== null) remember(world, state, run)
      // only the loop selects batches: the caller of an inline run names its input
      if (run !== null && lifecycle._tag === "Running" && lifecycle.owner === "loop") batch(world, state, run, env.now)
    }
    return decided
  }
})

/** Rule 31: notes that a run submitted its result. If the run fails afterwards, no commit could hold the result. */
const handedOver = ({ handed }: World, { lifecycle }: SessionState, command: string, incarnation: string): void => {
  if (lifecycle._tag !== "Running") return
  const { inputIds, runId } = lifecycle
  if (command === "commitRun") { for (const id of inputIds) handed.set(id, { runId, incarnation }) }
  if (command === "failRun") { for (const id of inputIds) handed.delete(id) }
}

const isStagedRun = (reply: unknown): reply is StagedRun =>
  typeof reply === "object" && reply !== null && "records" in reply && "completions" in reply && "runId" in reply

const stagedBy = <A>({ reply }: Decision<A>): StagedRun | null => isStagedRun(reply) ? reply : null

const remember = ({ journal, ledger, staged }: World, { sessionId }: SessionState, run: StagedRun): void => {
  staged.add(run.runId)
  const ids = run.records.map(({ inputId }) => inputId)
  ledger.staged.set(run.runId, { inputs: ids, completions: run.completions })
  note(journal, `${sessionId} staged ${ids.join()} for ${run.runId}`)
}

/** Rules 7, 8, 9: a batch is a homogeneous prefix of the inputs that may run, steer first, in the order of admission. */
const batch = (world: World, state: SessionState, run: StagedRun, now: number): void => {
  const { journal } = world
  const retired = isRetired(state)
  const visible = (["steer", "queue"] as const).flatMap((lane) =>
    Ledger.lane(state.ledger, lane).filter((record) => isVisible(record, now) && drives(record, retired))
  )
  const drivers = run.records.filter((record) => drives(record, retired))
  // an input that a crash was charged to keeps its place while it waits for the machine's clearance
  const steer = visible.filter(({ crashed, lane }) => lane === "steer" && crashed === 0)
  const say = (rule: string, detail: string) => violate(journal, rule, `${state.sessionId} ${run.runId}: ${detail}`)
  if (steer.length > 0 && !drivers.some(({ lane }) => lane === "steer") && drivers.length > 0) {
    say("8 steer first", "a batch of the queue began beside a steer input that may run")
  }
  if (run.records.some((record) => !isVisible(record, now))) say("9 retry time", "a member may not run yet")
  for (const lane of ["steer", "queue"] as const) fifo(lane, visible, drivers, say)
  homogeneous(run.records, drivers, say)
}

/** Repeats the rule of the kernel, so that the check does not depend on the code that it checks. */
const isVisible = ({ notBefore }: InputRecord, now: number): boolean => notBefore === undefined || notBefore <= now

const isRetired = ({ lifecycle }: SessionState): boolean =>
  lifecycle._tag === "Retired" || (lifecycle._tag === "Running" && lifecycle.returnTo === "Retired")

const drives = ({ hold, kind }: InputRecord, retired: boolean): boolean =>
  retired || (!hold && kind !== "peer_response_progress")

type Say = (rule: string, detail: string) => void

const fifo = (
  lane: "steer" | "queue",
  visible: ReadonlyArray<InputRecord>,
  drivers: ReadonlyArray<InputRecord>,
  say: Say
): void => {
  const taken = drivers.filter((record) => record.lane === lane)
  const ids = new Set(taken.map(({ inputId }) => inputId))
  const waiting = visible.filter((one) => one.lane === lane && (one.crashed === 0 || ids.has(one.inputId)))
  if (taken.some((record, at) => record.inputId !== waiting[at]?.inputId)) {
    say("9 order of lanes", `the ${lane} lane was not taken in order`)
  }
}

const homogeneous = (records: ReadonlyArray<InputRecord>, drivers: ReadonlyArray<InputRecord>, say: Say): void => {
  const kinds = new Set(drivers.map(({ semantics }) => `${semantics.executionKind} ${semantics.terminalIntent}`))
  if (kinds.size > 1) say("7 homogeneous batch", Array.from(kinds).join(", "))
  const prompts = records.filter(({ kind }) => kind === "prompt")
  const queued = drivers.some(({ lane }) => lane === "queue")
  if (queued && (prompts.length > 1 || (prompts.length === 1 && records[records.length - 1]?.kind !== "prompt"))) {
    say("7 one prompt, last", records.map(({ kind }) => kind).join(", "))
  }
}

/** Rule 4: the changes of an input between two publications are legal. */
const path = ({ journal }: World, before: SessionState, after: SessionState): void => {
  if (before.ledger === after.ledger) return
  for (const record of Ledger.all(after.ledger)) {
    const earlier = Ledger.get(before.ledger, record.inputId)
    if (earlier === record || earlier === undefined) continue
    if (record.admissionSeq !== earlier.admissionSeq || record.createdAt !== earlier.createdAt) {
      violate(journal, "4 legal paths", `${record.inputId} was admitted again`)
    }
    if (record.attempts < earlier.attempts || record.charged < earlier.charged || record.crashed < earlier.crashed) {
      violate(journal, "13 counts grow", `${record.inputId} forgot an attempt`)
    }
    if (record.updatedAt < earlier.updatedAt) violate(journal, "4 time", `${record.inputId} was changed in its past`)
  }
}

const inspect = (world: World, incarnation: string, fence: number, state: SessionState): void => {
  for (const { detail, id } of violations(state)) violate(world.journal, `spine ${id}`, `${state.sessionId}: ${detail}`)
  if (world.doubtful.has(incarnation) || world.closed.has(incarnation)) return
  // a commit in flight may be stored before its state is published
  if ((world.inFlight.get(incarnation) ?? 0) > 0) return
  durable(world, fence, state)
}

/** Rules 11, 16: the store holds exactly the published state, except for deferred writes. */
const durable = ({ journal, peek }: World, fence: number, state: SessionState): void => {
  const stored = peek?.(state.runtimeId)
  if (stored === undefined || stored.head.incarnation !== fence) return
  const say = (detail: string) => violate(journal, "11 published is durable", `${state.sessionId}: ${detail}`)
  if (stored.head.lifecycle !== persisted(state.lifecycle)) {
    say(`the lifecycle is ${state.lifecycle._tag}, stored is ${stored.head.lifecycle}`)
  }
  if (stored.head.body.messageCount !== state.head.messageCount || stored.head.body.digest !== state.head.digest) {
    say("the body is not the stored one")
  }
  const { epoch } = state.operations
  if (stored.head.epoch?.lastSeq !== epoch.lastSeq || stored.head.epoch.epochId !== epoch.epochId) {
    say("the feed is not the stored one")
  }
  if (stored.head.epoch?.cursors.agentApplied !== epoch.cursors.agentApplied) say("agentApplied is not the stored one")
  if (stored.head.epoch?.cursors.injected !== epoch.cursors.injected) say("injected is not the stored one")
  const dirty = new Set(state.dirty.inputs)
  let durableInputs = 0
  for (const record of Ledger.all(state.ledger)) {
    if (record.durability === "ephemeral") continue
    durableInputs++
    const row = stored.open?.get(record.inputId)
    if (row === undefined) say(`${record.inputId} is open and not stored`)
    else if (!dirty.has(record.inputId) && !agree(row, record)) say(`${record.inputId} is stored in another state`)
  }
  if ((stored.open?.size ?? 0) !== durableInputs) {
    say(`${stored.open?.size ?? 0} inputs are stored, ${durableInputs} are open`)
  }
}

const agree = (a: InputRecord, b: InputRecord): boolean =>
  a.lane === b.lane && a.status.type === b.status.type && a.attempts === b.attempts && a.charged === b.charged &&
  a.crashed === b.crashed && a.notBefore === b.notBefore && a.solo === b.solo
