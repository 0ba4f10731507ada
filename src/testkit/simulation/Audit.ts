/**
 * Checks the end of a simulation: without faults every session comes to rest, and the store agrees with the answers that
 * clients received. The last life of a simulation calls it; each broken rule becomes a violation in the journal.
 *
 * @since 0.1.0
 */
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { SpineSnapshot } from "../../../services/MeerkatMachine.js"
import { RuntimeStore } from "../../../services/RuntimeStore.js"
import type { InputId, OperationId, SessionId } from "../../domain/Ids.js"
import { runtimeIdOf } from "../../domain/Ids.js"
import type { InputState } from "../../domain/InputRecord.js"
import type { OperationRecord } from "../../domain/Operation.js"
import type { Crew } from "./Crew.js"
import type { Sent } from "./Journal.js"
import { count, same, toldEnd, violate } from "./Journal.js"
import type { Look } from "./Looks.js"
import { drives, isOwed, look, stranded } from "./Looks.js"
import type { World } from "./World.js"
import { incarnationOf, mayBeForgotten } from "./World.js"

/**
 * Rule 22 without clients: an idle loop takes up every input that may run.
 *
 * @since 0.1.0
 * @category audit
 */
export const awake = (crew: Crew): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { journal, stopped } = crew.world
    // no client acts from here on
    stopped.clear()
    let before = yield* looks(crew)
    // an input may wait for the runs of inputs before it: compare each look with the look before it
    for (let round = 0; round < 5 && before.some(isOwed); round++) {
      yield* Effect.sleep("30 minutes")
      allTold(crew.world)
      const after = yield* looks(crew)
      for (const [at, id] of crew.sessions.entries()) {
        for (const { attempts, inputId } of stranded(before[at] ?? null, after[at] ?? null)) {
          violate(journal, "22 no stranding", `${id} does not take up ${inputId} after ${attempts}`)
        }
      }
      before = after
    }
  })

/** Waits for every session to come to rest. Rules 22: no input is stranded; 23: retired sessions drain. @since 0.1.0 @category audit */
export const settle = (crew: Crew): Effect.Effect<void> =>
  // calls that were interrupted or timed out may have begun work that ends later
  Effect.zipRight(Effect.sleep("5 minutes"), Effect.forEach(crew.sessions, rest(crew), { discard: true }))

/** Rule 24: an idle machine takes no steps while time passes. `steps` counts the steps of the scheduler. @since 0.1.0 @category audit */
export const idle = (crew: Crew, steps: () => number): Effect.Effect<void> =>
  Effect.gen(function*() {
    yield* crew.machine.abortCommsDrains
    yield* Effect.sleep("1 hour")
    const before = steps()
    yield* Effect.sleep("10 hours")
    const taken = steps() - before
    if (taken > 200) violate(crew.world.journal, "24 no spin", `the idle machine took ${taken} steps`)
  })

/** Compares the store with the answers that clients received. @since 0.1.0 @category audit */
export const books = (crew: Crew): Effect.Effect<void, never, RuntimeStore> =>
  Effect.suspend(() => {
    allTold(crew.world)
    return Effect.forEach(crew.sessions, (id) => Effect.orDie(session(crew, id)), { discard: true })
  })

/** Rule 1, after each death of a process: the image holds every acknowledged input. @since 0.1.0 @category audit */
export const noLoss = (world: World): void => {
  const { journal, peek } = world
  if (peek === null) return
  for (const { answer, durability, inputId, sessionId } of journal.inputs.values()) {
    if (answer !== "accepted" || durability === "ephemeral" || mayBeForgotten(world, inputId)) continue
    const tables = peek(runtimeIdOf(sessionId))
    if (tables?.open?.has(inputId) !== true && tables?.ended?.has(inputId) !== true) {
      violate(journal, "1 no loss", `${inputId} of ${sessionId} was acknowledged and is gone`)
    }
  }
}

// --- internal ---

/**
 * Rule 21: every waiter of an ended input has its outcome. Exempt are sessions that know less than the store, and those
 * that another process opened. Runs before the machine closes, since the close answers every waiter.
 */
const allTold = ({ doubtful, inFlight, journal, ledger, opened, reloading, waiting }: World): void => {
  for (const id of waiting.values()) {
    const { sessionId } = journal.inputs.get(id) ?? {}
    if (sessionId === undefined || !ledger.ended.has(id)) continue
    const runtimeId = runtimeIdOf(sessionId)
    const { incarnation } = opened.get(runtimeId) ?? {}
    if (incarnation === undefined || ledger.incarnations.get(runtimeId) !== incarnation) continue
    const mine = incarnationOf(runtimeId, incarnation)
    if (doubtful.has(mine) || reloading.has(mine) || (inFlight.get(mine) ?? 0) > 0) continue
    violate(journal, "21 every waiter resolves", `${id} has ended, and one of its waiters has no outcome`)
  }
}

/** Attaches an executor and waits for rest, up to three times: a pending stop or a closed inbox may end the loop. */
const rest = (crew: Crew) => (id: SessionId): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { journal } = crew.world
    let left: string | null = "never attached"
    for (let round = 0; round < 3 && left !== null; round++) {
      const refused = yield* attached(crew, id)
      if (refused !== null) violate(journal, "22 no stranding", `${id} cannot be attached again: ${refused}`)
      left = yield* comeToRest(crew, id)
    }
    if (left !== null) violate(journal, "22 no stranding", `${id}: ${left}`)
  })

/** Attaches an executor to the session. Returns null, or the reason of a failure that must not happen. */
const attached = ({ executor, machine }: Crew, id: SessionId): Effect.Effect<string | null> =>
  Effect.gen(function*() {
    const attach = Effect.either(
      Effect.scoped(Effect.flatMap(executor(id), (made) => machine.ensureSessionWithExecutor(id, made)))
    )
    let answer = yield* attach
    if (answer._tag === "Left" && answer.left._tag === "NotReady" && answer.left.state === "stopped") {
      // stopped in this life: a new registration revives the session
      yield* Effect.ignore(machine.unregisterSession(id))
      answer = yield* attach
    }
    // the owner of a service turn may be gone: a cancel frees the slot
    const snapshot = yield* machine.meerkatMachineSpineSnapshot(id)
    if (snapshot._tag === "Some" && snapshot.value.currentRunOwner === "service") {
      yield* Effect.ignore(machine.hardCancelCurrentRun(id, "its owner is gone"))
    }
    if (answer._tag === "Right" || answer.left._tag === "Destroyed") return null
    return answer.left._tag === "NotReady" && answer.left.state === "retired" ? null : answer.left.message
  })

/** Looks at growing intervals for some hours. Returns null at rest, else what does not end. */
const comeToRest = ({ machine }: Pick<Crew, "machine">, id: SessionId): Effect.Effect<string | null> =>
  Effect.gen(function*() {
    let left: string | null = null
    for (let pause = 200; pause < 8_000_000; pause *= 2) {
      const snapshot = yield* machine.meerkatMachineSpineSnapshot(id)
      left = snapshot._tag === "None" ? null : unrest(snapshot.value)
      if (left === null) return null
      yield* Effect.sleep(pause)
    }
    return left
  })

/** Reads the waiting inputs and the number of runs of each session. */
const looks = ({ machine, sessions, world: { journal } }: Crew): Effect.Effect<ReadonlyArray<Look | null>> =>
  Effect.forEach(
    sessions,
    (id) =>
      Effect.zipWith(machine.meerkatMachineSpineSnapshot(id), Clock.currentTimeMillis, (found, now) => {
        const runs = Array.from(journal.runs.values()).filter(({ sessionId }) => sessionId === id).length
        return found._tag === "None" ? null : look(found.value, now, runs)
      })
  )

const unrest = (
  { attachmentLive, currentRunId, queue, registration, staged, state, steer }: SpineSnapshot
): string | null => {
  if (registration === "Draining") return "its unregistration does not end"
  if (currentRunId !== null) return `run ${currentRunId} does not end`
  if (staged.length > 0) return `${staged.length} inputs are staged for no run`
  const driving = [...queue, ...steer].filter((input) => drives(state, input))
  if (driving.length === 0) return null
  if (attachmentLive) {
    const [{ hold, inputId, kind, lane, notBefore } = {}] = driving
    return `${driving.length} driving inputs wait beside a live loop (${state}): ${
      JSON.stringify({ inputId, kind, lane, hold, notBefore })
    }`
  }
  return state === "retired"
    ? `${driving.length} inputs remain in a retired session`
    : `no loop for ${driving.length} inputs`
}

const collected = <A, E>(stream: Stream.Stream<A, E>) => Effect.map(Stream.runCollect(stream), Chunk.toReadonlyArray)

const session = ({ machine, world }: Crew, id: SessionId) =>
  Effect.gen(function*() {
    const store = yield* RuntimeStore
    const { journal } = world
    const runtimeId = runtimeIdOf(id)
    const rows = new Map((yield* collected(store.inputs(runtimeId))).map((state) => [state.inputId, state] as const))
    for (const row of rows.values()) sound(world, row)
    for (const input of journal.inputs.values()) if (input.sessionId === id) word(world, input, rows.get(input.inputId))
    const receipts = yield* collected(store.receipts(runtimeId))
    const seen = new Map<string, number>()
    for (const { receipt } of receipts) {
      const next = seen.get(receipt.runId) ?? 0
      if (receipt.sequence !== next) violate(journal, "10 receipts are dense", `${receipt.runId}: ${receipt.sequence}`)
      seen.set(receipt.runId, next + 1)
      for (const inputId of receipt.contributingInputIds) {
        const row = rows.get(inputId)
        if (row === undefined ? !mayBeForgotten(world, inputId) : row.phase !== "consumed") {
          violate(journal, "10 consumed", `${inputId} is in a receipt and not consumed`)
        }
      }
    }
    const contributors = new Set(receipts.flatMap(({ receipt }) => receipt.contributingInputIds))
    for (const row of rows.values()) consumption(world, row, contributors)
    const feed = yield* store.feed(runtimeId, 0)
    if (feed.entries.some(({ seq }, at) => seq !== feed.droppedThrough + at + 1)) {
      violate(journal, "25 feed", `${id} has a gap`)
    }
    const snapshot = yield* machine.meerkatMachineSpineSnapshot(id)
    if (snapshot._tag === "Some" && (snapshot.value.state === "idle" || snapshot.value.state === "attached")) {
      const { agentApplied, injected } = snapshot.value.cursors
      const owed = feed.entries.filter(({ kind, seq }) =>
        kind === "background_tool_op" && seq > Math.max(agentApplied, injected)
      )
      if (owed.length > 0) violate(journal, "25 wake", `${id} was not woken for ${owed.length} ends`)
    }
    const operations = yield* collected(store.operations(runtimeId))
    const incarnation = snapshot._tag === "Some" ? snapshot.value.incarnation : null
    ends(world, id, { operations, feed, incarnation })
    const stored = yield* store.session(runtimeId)
    const lifecycle = stored._tag === "Some" ? stored.value.lifecycle : "absent"
    if (journal.destroyed.has(id) && lifecycle !== "destroyed") {
      violate(journal, "destroyed", `${id} was said to be destroyed and is ${lifecycle}`)
    }
    if ((yield* store.opaqueBody(runtimeId))._tag === "Some") return
    const messages = yield* Stream.runCount(store.history(runtimeId))
    const told = stored._tag === "Some" ? stored.value.messageCount : 0
    if (messages !== told) violate(journal, "11 atomic commit", `${id} has ${messages} messages, its head says ${told}`)
  })

/** The stored operations of a session, and the incarnation that is still open. */
interface Operated {
  readonly operations: ReadonlyArray<OperationRecord>
  readonly feed: Effect.Effect.Success<ReturnType<RuntimeStore["Type"]["feed"]>>
  readonly incarnation: number | null
}

/** Rule 25: no operation is lost, and each ended as clients and executors were told. */
const ends = ({ journal, ledger }: World, sessionId: SessionId, { feed, incarnation, operations }: Operated): void => {
  const say = (detail: string) => violate(journal, "25 operations", detail)
  const kept = new Map(operations.map((record) => [record.spec.id, record] as const))
  const ended = new Map(feed.entries.map(({ operationId, outcome }) => [operationId, outcome._tag] as const))
  for (const { completionSeq, outcome, spec } of operations) {
    if ((outcome === undefined) !== (completionSeq === undefined)) {
      say(`${spec.id} has an outcome without a place in the feed, or the reverse`)
    }
    if (outcome !== undefined) ended.set(spec.id, outcome._tag)
  }
  for (const run of journal.runs.values()) {
    if (run.sessionId !== sessionId) continue
    for (const { operationId, outcome } of run.completions) toldEnd(journal, operationId, outcome)
  }
  // retention removes ended operations only; their entries stay unless the feed itself was trimmed
  const isGone = (id: OperationId) => feed.droppedThrough === 0 && !kept.has(id) && !ended.has(id)
  for (const [id, place] of ledger.operations) {
    if (place === runtimeIdOf(sessionId) && isGone(id)) say(`${id} was stored and is gone`)
  }
  for (const started of journal.operations.values()) {
    if (started.sessionId !== sessionId) continue
    // a start is a deferred write: it may only be lost together with the incarnation
    const isOwed = started.incarnation !== null && started.incarnation === incarnation
    if (isOwed && isGone(started.id)) say(`${started.id} was started and is gone`)
    const told = journal.ends.get(started.id)
    if (told === undefined) continue
    count(journal, "audited", "operation")
    const found = ended.get(started.id) ?? (feed.droppedThrough === 0 ? "open, or gone" : told)
    if (found !== told) say(`${started.id} was said to have ended ${told} and is ${found}`)
  }
}

/** Rules 3, 4, 13, 17 for one stored input. */
const sound = ({ config, journal }: World, row: InputState): void => {
  const say = (rule: string, detail: string) => violate(journal, rule, `${row.inputId}: ${detail}`)
  const terminal = row.phase !== "queued" && row.phase !== "staged"
  if (terminal !== (row.terminal !== undefined) || terminal !== (row.outcome !== undefined)) {
    say(
      "3 terminal iff outcome",
      `${row.phase}, ${row.terminal?.type ?? "no end"}, ${row.outcome?._tag ?? "no outcome"}`
    )
  }
  if (row.updatedAt < row.createdAt) say("4 time", "it ended before it began")
  const { terminal: end } = row
  if (end?.type === "abandoned" && end.reason.type === "max_attempts_exhausted" && row.charged !== config.maxAttempts) {
    say("13 attempts", `abandoned after ${row.charged} of ${config.maxAttempts}`)
  }
  const budget = Math.max(2, config.crashBudget)
  if (end?.type === "abandoned" && end.reason.type === "crash_budget_exhausted" && row.crashed !== budget) {
    say("13 crash budget", `abandoned after ${row.crashed} of ${budget}`)
  }
  if (end?.type === "superseded") supersession(journal, row, end.by)
}

const supersession = (journal: World["journal"], row: InputState, by: InputId): void => {
  const [loser, winner] = [journal.inputs.get(row.inputId), journal.inputs.get(by)]
  if (loser === undefined || winner === undefined) return
  if (loser.sessionId !== winner.sessionId || loser.supersessionKey !== winner.supersessionKey) {
    violate(journal, "17 supersession", `${row.inputId} was superseded by ${by}, which has another key or session`)
  }
}

/** Rule 10: consumed inputs are the contributors of receipts. */
const consumption = ({ journal }: World, row: InputState, contributors: ReadonlySet<InputId>): void => {
  // an input that is consumed on accept has no run
  if (row.phase !== "consumed" || row.lastRunId === undefined || contributors.has(row.inputId)) return
  violate(journal, "10 consumed", `${row.inputId} is consumed and in no receipt`)
}

/** Rules 1, 15, 20: the store agrees with the answers that a client received for an input. */
const word = (world: World, input: Sent, row: InputState | undefined): void => {
  const { journal } = world
  const { answer, durability, inputId, outcome } = input
  count(journal, "audited", answer)
  const say = (rule: string, detail: string) => violate(journal, rule, `${inputId} of ${input.sessionId}: ${detail}`)
  if (durability === "ephemeral") {
    if (row !== undefined) say("16 ephemeral inputs", "it is stored")
    return
  }
  if (answer === "refused" && row !== undefined) say("15 reject is pure", `it was refused and is ${row.phase}`)
  if (row === undefined && mayBeForgotten(world, inputId)) return
  if (answer === "accepted" && row === undefined) say("1 no loss", "it was acknowledged and is gone")
  if (outcome === null) return
  if (row?.outcome === undefined) {
    say("20 waiter agreement", `a client was told ${outcome._tag}, it is ${row?.phase ?? "gone"}`)
  } else if (!same(outcome, row.outcome)) {
    say("20 waiter agreement", `a client was told ${outcome._tag}, the store says ${row.outcome._tag}`)
  }
}
