// Helpers that the rows about operations share. The OPS, FEED and D28 tests use them.
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { OperationOptions, SessionOperations } from "../../services/SessionOperations.js"
import type { OperationError } from "../../src/domain/Errors.js"
import type { OperationId } from "../../src/domain/Ids.js"
import type { OperationOutcome, OperationRecord, OperationStatus } from "../../src/domain/Operation.js"
import { StoreIo } from "../../src/domain/StoreErrors.js"
import { opId } from "../support/operations.js"
import type { Lab, Process } from "./driver.js"
import { A, rid } from "./driver.js"

/** The operations of session A. */
export const ops = ({ machine }: Process): SessionOperations => machine.session(A).operations

export const broken = new StoreIo({ operation: "commit", code: "EIO", detail: "scripted" })

export const done = (content: string): OperationOutcome => ({
  _tag: "Completed",
  result: { content, isError: false, durationMs: 0, tokensUsed: 0 }
})

/** An outcome with its duration set to 0. Only durations depend on the clock of the world. */
export const timeless = (outcome: OperationOutcome): OperationOutcome =>
  outcome._tag === "Completed" ? { ...outcome, result: { ...outcome.result, durationMs: 0 } } : outcome

/** Starts external operations 1 to n. */
export const running = (lab: Process, n: number, options: Partial<OperationOptions> = {}) =>
  Effect.forEach(
    Array.from({ length: n }, (_, i) => i + 1),
    (i) => ops(lab).external({ displayName: `op ${i}`, id: opId(i), ...options })
  )

export const registered = (n: number, options: Partial<OperationOptions> = {}) => (lab: Lab) =>
  Effect.zipRight(lab.machine.registerSession(A), running(lab, n, options))

export const statuses = (own: SessionOperations) =>
  Effect.map(own.list, (list) => list.map(({ spec, status }) => `${spec.displayName}: ${status}`))

export const statusOf = (own: SessionOperations, id: OperationId) =>
  Effect.map(own.get(id), Option.match({ onNone: () => "forgotten", onSome: ({ status }) => status }))

export const storedOperations = (lab: Lab) =>
  Effect.map(Effect.orDie(Stream.runCollect(lab.store.operations(rid(A)))), Chunk.toReadonlyArray)

export const unresolved = (fiber: Fiber.RuntimeFiber<unknown, unknown>) => fiber.unsafePoll() === null

export const watchersOf = (own: SessionOperations, id: OperationId) =>
  Effect.map(own.get(id), (found) => Option.getOrThrow(found).watcherCount)

export const member = { kind: "mob_member_child", expectPeerChannel: true } as const

export const live: ReadonlyArray<OperationStatus> = ["provisioning", "running", "retiring"]
export const started: ReadonlyArray<OperationStatus> = ["running", "retiring"]

export type Change = (own: SessionOperations, id: OperationId) => Effect.Effect<OperationRecord, OperationError>

export const peer = { peerName: "Ada", peerId: "p", address: "inproc:p", publicKey: "k" }

export const table: Readonly<
  Record<string, readonly [Change, ReadonlyArray<OperationStatus>, OperationStatus | "same"]>
> = {
  provisioningSucceeded: [(own, id) => own.provisioningSucceeded(id), ["provisioning"], "running"],
  provisioningFailed: [(own, id) => own.provisioningFailed(id, "no"), live, "failed"],
  abort: [(own, id) => own.abort(id, "no"), ["provisioning"], "aborted"],
  fail: [(own, id) => own.fail(id, "no"), live, "failed"],
  cancel: [(own, id) => own.cancel(id, "no"), live, "cancelled"],
  complete: [(own, id) => own.complete(id, "yes"), started, "completed"],
  requestRetire: [(own, id) => own.requestRetire(id), ["running"], "retiring"],
  markRetired: [(own, id) => own.markRetired(id), started, "retired"],
  reportProgress: [(own, id) => own.progress(id), started, "same"],
  peerReady: [(own, id) => own.peerReady(id, peer), started, "same"]
}
