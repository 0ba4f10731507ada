/**
 * One change of one session's model: hydrate, resolve, tell the host, install the tools.
 *
 * Callers: the llm surface, in a fiber of the machine that holds the permit of the session's model facts.
 *
 * Invariants:
 * - Before the host is told anything, an interruption leaves everything as it was.
 * - Afterwards the change completes, or is undone; what cannot be undone is discarded at the host.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { SessionLlmReconfigureHostService } from "../../services/SessionLlmReconfigureHost.js"
import type { RuntimeDriverError } from "../../src/domain/Errors.js"
import { Destroyed, Internal, sessionGone } from "../../src/domain/Errors.js"
import type {
  HydratedSessionLlmState,
  ResolvedSessionLlmReconfigure,
  SessionLlmReconfigureReport,
  SessionLlmReconfigureRequest
} from "../../src/domain/LlmIdentity.js"
import { SessionLlmCapabilitySurface } from "../../src/domain/LlmIdentity.js"
import { SessionToolVisibilityState } from "../../src/domain/ToolVisibility.js"
import { admitReconfigure } from "../../src/kernel/commands/service.js"
import { adoptVisibility, installModelTools } from "../../src/kernel/commands/tools.js"
import type { Derived } from "../../src/kernel/llmVisibility.js"
import { derive } from "../../src/kernel/llmVisibility.js"
import { visibilityOf } from "../../src/kernel/toolVisibility.js"
import type { Entry } from "./entry.js"
import type { ModelCell, ModelFacts } from "./entryParts.js"
import type { Host, HostFailure } from "./llmHost.js"
import { hostOf } from "./llmHost.js"
import type { MachineParts } from "./machineParts.js"
import { submit } from "./machineParts.js"
import { given } from "./mayBegin.js"
import { learn, unresolved } from "./modelCell.js"
import * as Stored from "./stored.js"

/** One change of one session's model. */
export interface Job {
  readonly parts: MachineParts
  readonly entry: Entry
  readonly cell: ModelCell
  readonly service: SessionLlmReconfigureHostService
  readonly request: SessionLlmReconfigureRequest
  /** called before the host is told anything: from here on an interruption of the caller does not stop the change */
  readonly onBegun: () => void
}

interface Change {
  readonly job: Job
  readonly host: Host
  readonly before: HydratedSessionLlmState
  readonly target: ResolvedSessionLlmReconfigure
  /** what the host may have done so far, and has to undo */
  readonly done: { identity: boolean; persisted: boolean }
}

type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/** How often the host is told a visibility that changes meanwhile. */
const attempts = 5

const failed = ({ error }: HostFailure): RuntimeDriverError => error

const checkVisibility = Stored.check(SessionToolVisibilityState)

const sameSurface = Schema.equivalence(Schema.UndefinedOr(SessionLlmCapabilitySurface))

const factsBefore = (before: HydratedSessionLlmState): ModelFacts => ({
  identity: before.currentIdentity,
  surface: before.capabilitySurfaceStatus === "resolved" ? before.currentCapabilitySurface ?? null : null
})

/** The session's own state of its tools is the truth, and the host's a copy: only what is newer there is taken over. */
const adopt = (entry: Entry, state: SessionToolVisibilityState | undefined): Effect.Effect<void, RuntimeDriverError> =>
  state === undefined ? Effect.void : Effect.catchTag(
    Effect.flatMap(
      given(entry, checkVisibility, state, "a visibility of tools"),
      (checked) => Effect.asVoid(submit(entry, adoptVisibility(checked)))
    ),
    "ValidationFailed",
    (cause) =>
      Effect.fail(
        new Internal({
          detail: `the model host's visibility of session "${entry.sessionId}" cannot be installed: ${cause.reason}`,
          cause,
          retryable: false
        })
      )
  )

/** Marks what a call may have done before it is made; a call that is refused has done nothing. */
const marking = <A>(
  { done }: Change,
  what: "identity" | "persisted",
  call: Effect.Effect<A, HostFailure>
): Effect.Effect<A, HostFailure> =>
  Effect.suspend(() => {
    const before = done[what]
    done[what] = true
    return Effect.tapError(call, ({ unknown }) =>
      Effect.sync(() => {
        done[what] = before || unknown
      }))
  })

const tellIdentity = (change: Change) =>
  marking(
    change,
    "identity",
    change.host.call("applyLiveSessionLlmIdentity", (service) =>
      service.applyLiveSessionLlmIdentity(change.job.entry.sessionId, change.target.targetIdentity))
  )

const tellVisibility = ({ host, job }: Change, state: Option.Option<SessionToolVisibilityState>) =>
  host.call(
    "applyLiveSessionToolVisibilityState",
    (service) => service.applyLiveSessionToolVisibilityState(job.entry.sessionId, state)
  )

const persist = ({ host, job }: Change) =>
  host.call("persistLiveSession", (service) => service.persistLiveSession(job.entry.sessionId))

const current = ({ job, target, before }: Change): Derived =>
  derive(
    visibilityOf(job.entry.authority.unsafeState()),
    target.targetCapabilitySurface.imageToolResults,
    before.baseToolNames
  )

/** Tells the host, then makes the visibility durable here. Only the host's part can be interrupted. */
const perform = (change: Change, restore: Restore): Effect.Effect<Derived, RuntimeDriverError> =>
  Effect.gen(function*() {
    const { before, job, target } = change
    yield* restore(Effect.mapError(tellIdentity(change), failed))
    let derived = current(change)
    for (let tries = 0; tries < attempts; tries++) {
      const told = derived.next
      yield* restore(Effect.mapError(tellVisibility(change, Option.some(told)), failed))
      yield* restore(Effect.mapError(marking(change, "persisted", persist(change)), failed))
      const answer = yield* submit(
        job.entry,
        installModelTools({
          told,
          imageToolResults: target.targetCapabilitySurface.imageToolResults,
          baseToolNames: before.baseToolNames
        })
      )
      if (answer.installed) return answer
      derived = answer
    }
    return yield* new Internal({
      detail: `the tools of session "${job.entry.sessionId}" changed ${attempts} times while its model was changed`,
      retryable: true
    })
  })

/** Brings the host back to where it was; what may have been stored is stored again. */
const undo = (change: Change): Effect.Effect<void, RuntimeDriverError> =>
  Effect.gen(function*() {
    const { before, done, host, job } = change
    const { sessionId, authority } = job.entry
    if (host.isStuck()) {
      return yield* new Internal({ detail: "a call of the model host ignores its interruption", retryable: false })
    }
    if (!done.identity) return
    yield* Effect.mapError(
      host.call("applyLiveSessionLlmIdentity", (service) =>
        service.applyLiveSessionLlmIdentity(sessionId, before.currentIdentity)),
      failed
    )
    const visibility = before.currentVisibilityState === undefined
      ? Option.none()
      : Option.some(visibilityOf(authority.unsafeState()))
    yield* Effect.mapError(tellVisibility(change, visibility), failed)
    if (done.persisted) {
      yield* Effect.mapError(persist(change), failed)
    }
  })

/** Only the end of its session interrupts a change. */
export const endedBy = ({ authority, sessionId }: Entry): RuntimeDriverError =>
  authority.unsafeState().lifecycle._tag === "Destroyed" ? new Destroyed({ sessionId }) : sessionGone(sessionId)

const errorOf = ({ entry }: Job, cause: Cause.Cause<RuntimeDriverError>): RuntimeDriverError => {
  const found = Cause.failureOrCause(cause)
  if (found._tag === "Left") return found.left
  return Cause.isInterruptedOnly(cause)
    ? endedBy(entry)
    : new Internal({ detail: "a change of the model died", cause: Cause.squash(cause), retryable: false })
}

/** The change cannot be undone: discards the live session at the host and forgets what was known of its model. */
const discard = ({ host, job }: Change, original: RuntimeDriverError, undoing: RuntimeDriverError) =>
  host.call("discardLiveSession", (service) => service.discardLiveSession(job.entry.sessionId)).pipe(
    Effect.catchAll(({ error }) => Effect.logWarning(`the live session could not be discarded: ${error.message}`)),
    Effect.zipRight(Effect.sync(() => learn(job.cell, unresolved))),
    Effect.zipRight(
      new Internal({
        detail: `the model of session "${job.entry.sessionId}" was not changed (${original.message}), ` +
          `and what had been changed could not be undone (${undoing.message})`,
        cause: original,
        retryable: false
      })
    )
  )

const settle = (
  change: Change,
  exit: Exit.Exit<Derived, RuntimeDriverError>
): Effect.Effect<SessionLlmReconfigureReport, RuntimeDriverError> =>
  Effect.gen(function*() {
    const { job } = change
    if (Exit.isSuccess(exit)) return report(change, exit.value)
    const original = errorOf(job, exit.cause)
    const undone = yield* Effect.exit(undo(change))
    return yield* Exit.isSuccess(undone) ? original : discard(change, original, errorOf(job, undone.cause))
  })

const report = ({ before, job, target }: Change, { delta }: Derived): SessionLlmReconfigureReport => {
  const previous = factsBefore(before).surface ?? undefined
  const { targetCapabilitySurface: now, targetIdentity } = target
  learn(job.cell, { identity: targetIdentity, surface: now })
  return {
    previousIdentity: before.currentIdentity,
    newIdentity: targetIdentity,
    capabilityDelta: {
      ...(previous === undefined ? {} : { previous }),
      current: now,
      changed: !sameSurface(previous, now)
    },
    toolVisibilityDelta: delta,
    rollbackOccurred: false
  }
}

/**
 * The protocol. Up to the first word to the host it can be interrupted, and nothing has happened;
 * from there on it is completed, or undone.
 */
export const reconfigure = (job: Job): Effect.Effect<SessionLlmReconfigureReport, RuntimeDriverError> =>
  Effect.gen(function*() {
    const { cell, entry, parts, request, service } = job
    const { sessionId } = entry
    yield* submit(entry, admitReconfigure)
    const host = hostOf(parts, sessionId, service)
    const before = yield* Effect.mapError(
      host.call("hydrateSessionLlmState", (of) => of.hydrateSessionLlmState(sessionId)),
      failed
    )
    yield* adopt(entry, before.currentVisibilityState)
    learn(cell, factsBefore(before))
    const target = yield* Effect.mapError(
      host.call(
        "resolveTargetSessionLlmIdentity",
        (of) => of.resolveTargetSessionLlmIdentity(request, before.currentIdentity)
      ),
      failed
    )
    yield* submit(entry, admitReconfigure)
    const change: Change = { job, host, before, target, done: { identity: false, persisted: false } }
    return yield* Effect.uninterruptibleMask((restore) => {
      job.onBegun()
      return Effect.flatMap(Effect.exit(perform(change, restore)), (exit) => settle(change, exit))
    })
  })
