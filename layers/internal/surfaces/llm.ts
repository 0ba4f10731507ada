/** @since 0.1.0 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import { CurrentSession } from "../../../services/CoreExecutor.js"
import type { LlmControl, SessionLlm } from "../../../services/SessionLlm.js"
import type { SessionLlmReconfigureHostService } from "../../../services/SessionLlmReconfigureHost.js"
import type { RuntimeDriverError } from "../../../src/domain/Errors.js"
import { Internal } from "../../../src/domain/Errors.js"
import type { SessionId } from "../../../src/domain/Ids.js"
import { type SessionLlmReconfigureReport, SessionLlmReconfigureRequest } from "../../../src/domain/LlmIdentity.js"
import { invalid } from "../driverError.js"
import type { Entry } from "../entry.js"
import { given as stored } from "../given.js"
import * as KeyedLock from "../keyedLock.js"
import { endedBy, reconfigure } from "../llmReconfigure.js"
import type { MachineParts, Resolve } from "../machineParts.js"
import { traced } from "../machineParts.js"
import * as ModelCell from "../modelCell.js"
import * as Stored from "../stored.js"

type Host = SessionLlmReconfigureHostService

const noHost = Effect.suspend(() =>
  Effect.fail(new Internal({ detail: "the host that changes models is not configured", retryable: false }))
)

const checkRequest = Stored.check(SessionLlmReconfigureRequest)

/** The host of a session's change would wait for that change to end. */
const notFromHost = (sessionId: SessionId): Effect.Effect<void, RuntimeDriverError> =>
  Effect.flatMap(CurrentSession, (now) =>
    now !== null && now.role === "llmHost" && now.sessionId === sessionId
      ? Effect.fail(
        invalid({ _tag: "WouldDeadlock", detail: "the model host asked for a change of the session it is changing" })
      )
      : Effect.void)

/** Who asked is told how it ended; interrupted before the host was told anything, it takes its request back. */
const awaitChange = (
  entry: Entry,
  begin: () => {
    readonly fiber: Fiber.RuntimeFiber<SessionLlmReconfigureReport, RuntimeDriverError>
    readonly progress: { readonly begun: boolean }
  }
): Effect.Effect<SessionLlmReconfigureReport, RuntimeDriverError> =>
  Effect.uninterruptibleMask((restore) => {
    const { fiber, progress } = begin()
    return restore(Fiber.await(fiber)).pipe(
      Effect.onInterrupt(() => progress.begun ? Effect.void : Effect.asVoid(Fiber.interruptFork(fiber))),
      Effect.flatMap((exit) =>
        Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause) ? Effect.fail(endedBy(entry)) : exit
      )
    )
  })

/** Sessions change their models, one change at a time. */
export const llm = (parts: MachineParts, given: Option.Option<Host>): LlmControl => {
  // by id, not by entry: a successor does not overlap with what its predecessor still undoes
  const lock = KeyedLock.make<SessionId>()
  const slot = { host: Option.getOrNull(given) }
  const begin = (entry: Entry, request: SessionLlmReconfigureRequest) => {
    const cell = entry.model ?? ModelCell.make()
    entry.model = cell
    const progress = { begun: false }
    const onBegun = () => {
      progress.begun = true
    }
    // taken once per change: a host that is replaced in the middle sees it through
    const change = Effect.suspend(() =>
      slot.host === null ? noHost : reconfigure({ parts, entry, cell, request, service: slot.host, onBegun })
    )
    const fiber = parts.spawner.spawn(parts.foreign, lock.run(entry.sessionId)(change))
    cell.changes.add(fiber)
    fiber.addObserver(() => cell.changes.delete(fiber))
    return { fiber, progress }
  }
  const { lookup } = parts.registry
  return {
    setSessionLlmReconfigureHost: (host) =>
      Effect.sync(() => {
        slot.host = host
      }),
    reconfigureSessionLlmIdentity: (sessionId, request) =>
      traced(
        "reconfigureSessionLlmIdentity",
        Effect.suspend(() => slot.host === null ? noHost : notFromHost(sessionId)).pipe(
          Effect.zipRight(lookup(sessionId)),
          Effect.flatMap((entry) =>
            Effect.flatMap(
              stored(entry, checkRequest, request, "a change of a model"),
              (checked) => awaitChange(entry, () => begin(entry, checked))
            )
          )
        )
      ),
    resolvedSessionLlmCapabilities: (sessionId) =>
      Effect.map(lookup(sessionId), ({ model }) => Option.fromNullable(model?.facts.surface))
  }
}

/** The same for one session; `resolve` decides which incarnation is meant. */
export const sessionLlm = (machine: LlmControl, sessionId: SessionId, resolve: Resolve): SessionLlm => ({
  reconfigure: (request) => Effect.zipRight(resolve, machine.reconfigureSessionLlmIdentity(sessionId, request)),
  capabilities: Effect.map(resolve, ({ model }) => Option.fromNullable(model?.facts.surface)),
  identity: Effect.map(resolve, ({ model }) => Option.fromNullable(model?.facts.identity))
})
