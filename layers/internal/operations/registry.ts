/**
 * The operations of one entry, as its users call them.
 *
 * Callers: the operations surface, the bindings, and the loop, which hands them to the executor.
 *
 * Invariant: an entry has one such object, made at its first use.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type {
  OperationAnswer,
  OperationOptions,
  OperationSnapshot,
  SessionOperations
} from "../../../services/SessionOperations.js"
import { maxOperationBytes } from "../../../services/SessionOperations.js"
import type { Command } from "../../../src/domain/Command.js"
import type { OperationError } from "../../../src/domain/Errors.js"
import { OpInvalid } from "../../../src/domain/Errors.js"
import type { OperationId } from "../../../src/domain/Ids.js"
import type { OperationRecord } from "../../../src/domain/Operation.js"
import { OperationPeer, OperationSpec } from "../../../src/domain/Operation.js"
import { listSince } from "../../../src/kernel/feed.js"
import * as Ops from "../../../src/kernel/operations.js"
import type { Entry } from "../entry.js"
import * as Entries from "../entry.js"
import { traced } from "../machineParts.js"
import * as Stored from "../stored.js"
import { follow } from "./feed.js"
import * as Fibers from "./fibers.js"
import type { OperationDeps } from "./submit.js"
import { send, submit } from "./submit.js"
import { waitAll, watch } from "./waiting.js"

const checkSpec = Stored.within(maxOperationBytes, Stored.check(OperationSpec))
const checkPeer = Stored.within(maxOperationBytes, Stored.check(OperationPeer))
const checkError = Stored.check(Schema.String)
const checkReason = Stored.check(Schema.UndefinedOr(Schema.String))

const refused = (detail: string): OpInvalid => new OpInvalid({ detail })

/** Everything of a specification but its id is the caller's. */
const specOf = (
  deps: OperationDeps,
  owner: OperationSpec["owner"],
  options: OperationOptions
): Effect.Effect<OperationSpec, OperationError> =>
  Effect.flatMap(options.id === undefined ? deps.ids.operation : Effect.succeed(options.id), (id) =>
    Either.mapLeft(
      checkSpec({
        id,
        owner,
        kind: options.kind ?? "background_tool_op",
        displayName: options.displayName,
        sourceLabel: options.sourceLabel ?? options.displayName,
        ...(options.childSessionId === undefined ? {} : { childSessionId: options.childSessionId }),
        expectPeerChannel: options.expectPeerChannel ?? false
      }),
      (detail) => refused(`not an operation: ${detail}`)
    ))

const snapshotOf = (entry: Entry, record: OperationRecord): OperationSnapshot => ({
  ...record,
  watcherCount: entry.authority.watches.count(record.spec.id),
  ...(record.completedAt === undefined ? {} : { elapsedMs: record.completedAt - record.createdAt })
})

/** Registers an operation, in one command with its start if it has begun; answers its id. */
const begin = (
  deps: OperationDeps,
  owner: OperationSpec["owner"],
  options: OperationOptions,
  command: (spec: OperationSpec) => Command<Ops.OperationReply>,
  onRegistered: (id: OperationId) => void = () => {}
): Effect.Effect<OperationId, OperationError> =>
  Effect.flatMap(
    specOf(deps, owner, options),
    (spec) => Effect.as(submit(deps.entry, command(spec), () => onRegistered(spec.id)), spec.id)
  )

const run: (deps: OperationDeps) => SessionOperations["run"] =
  (deps) => <E, R>(work: Effect.Effect<OperationAnswer, E, R>, options: OperationOptions) =>
    Effect.flatMap(
      Effect.context<R>(),
      (context) =>
        begin(deps, "process", options, Ops.startOperation, (id) =>
          Fibers.start(deps, id, Effect.provide(Fibers.asOperation(deps.entry, work), context)))
    )

const complete = (deps: OperationDeps, id: OperationId, answer: OperationAnswer) =>
  Effect.flatMap(Clock.currentTimeMillis, (now) => {
    const record = Ops.getOperation(deps.entry.authority.unsafeState(), id)
    const since = record === null ? now : record.startedAt ?? record.createdAt
    return Either.match(Fibers.resultOf(deps.config, answer, now - since), {
      onLeft: (detail) => Effect.fail(refused(`not an answer: ${detail}`)),
      onRight: (result) => ending(deps, id, Ops.completeOperation(id, result))
    })
  })

/** A command that ends an operation: when it has, the work of a process-owned one is interrupted. */
const ending = (deps: OperationDeps, id: OperationId, command: Command<Ops.OperationReply>) =>
  submit(deps.entry, command, () => Fibers.release(deps.entry, id))

/** The same with the caller's words in it. */
const worded = <A>(
  deps: OperationDeps,
  id: OperationId,
  words: Either.Either<A, string>,
  command: (id: OperationId, words: A) => Command<Ops.OperationReply>
) =>
  Either.match(words, {
    onLeft: (detail) => Effect.fail(refused(`not a reason: ${detail}`)),
    onRight: (checked) => ending(deps, id, command(id, checked))
  })

const peerReady = ({ entry }: OperationDeps, id: OperationId, given: OperationPeer) =>
  Either.match(checkPeer(given), {
    onLeft: (detail) => Effect.fail(refused(`not a peer: ${detail}`)),
    onRight: (peer) => submit(entry, Ops.peerReady(id, peer))
  })

const terminateOwner = ({ entry }: OperationDeps, given: string) =>
  Either.match(checkError(given), {
    onLeft: (detail) => Effect.fail(refused(`not a reason: ${detail}`)),
    onRight: (reason) =>
      send(entry, Ops.terminateOwner(reason), (ids) => {
        for (const id of ids) Fibers.release(entry, id)
      })
  })

const named = <A, E, R>(name: string, effect: Effect.Effect<A, E, R>) => traced(`operations.${name}`, effect)

/** The operations of an entry; `operationsOf` keeps the object. */
const make = (deps: OperationDeps): SessionOperations => {
  const { entry } = deps
  const state = () => entry.authority.unsafeState()
  return {
    sessionId: entry.sessionId,
    run: (work, options) => named("run", run(deps)(work, options)),
    external: (options) => named("external", begin(deps, "external", options, Ops.startOperation)),
    register: (options) => named("register", begin(deps, "external", options, Ops.registerOperation)),
    provisioningSucceeded: (id) => named("provisioningSucceeded", submit(entry, Ops.provisioningSucceeded(id))),
    progress: (id) => named("progress", submit(entry, Ops.reportProgress(id))),
    peerReady: (id, peer) => named("peerReady", peerReady(deps, id, peer)),
    requestRetire: (id) => named("requestRetire", submit(entry, Ops.requestRetire(id))),
    complete: (id, answer) => named("complete", complete(deps, id, answer)),
    fail: (id, error) => named("fail", worded(deps, id, checkError(error), Ops.failOperation)),
    provisioningFailed: (id, error) =>
      named("provisioningFailed", worded(deps, id, checkError(error), Ops.provisioningFailed)),
    abort: (id, reason) => named("abort", worded(deps, id, checkReason(reason), Ops.abortOperation)),
    cancel: (id, reason) => named("cancel", worded(deps, id, checkReason(reason), Ops.cancelOperation)),
    markRetired: (id) => named("markRetired", ending(deps, id, Ops.markRetired(id))),
    terminateOwner: (reason) => named("terminateOwner", terminateOwner(deps, reason)),
    get: (id) =>
      Effect.sync(() =>
        Option.map(Option.fromNullable(Ops.getOperation(state(), id)), (record) => snapshotOf(entry, record))
      ),
    list: Effect.sync(() => Ops.listOperations(state()).map((record) => snapshotOf(entry, record))),
    watch: (id) => named("watch", watch(deps, id)),
    waitAll: (ids) => named("waitAll", waitAll(deps, ids)),
    collectCompleted: named("collectCompleted", send(entry, Ops.collectCompleted)),
    listSince: (after) => Effect.sync(() => listSince(state(), after)),
    watermark: Effect.sync(() => state().operations.epoch.lastSeq),
    cursors: Effect.sync(() => state().operations.epoch.cursors),
    feed: (after = 0) => follow(entry.authority, after)
  }
}

/** The operations of an entry, the same object each time. */
export const operationsOf = (deps: Omit<OperationDeps, "entry">) => (entry: Entry): SessionOperations => {
  const known = entry.rare.unsafeGet().operationRegistry
  if (known !== null) return known
  const operationRegistry = make({ ...deps, entry })
  Entries.update(entry, () => ({ operationRegistry }))
  return operationRegistry
}
