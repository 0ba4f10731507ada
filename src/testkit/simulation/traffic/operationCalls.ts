/**
 * The simulation's calls of the operations surface.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { OperationsControl, SessionOperations } from "../../../../services/SessionOperations.js"
import type { OperationError, WatchClosed } from "../../../domain/Errors.js"
import type { SessionId } from "../../../domain/Ids.js"
import type { Crew } from "../Crew.js"
import { starting } from "../Crew.js"
import { watched } from "../Defects.js"
import { count, toldEnd, violate } from "../Journal.js"
import * as Script from "../Script.js"
import type { Call } from "./Call.js"
import { operationOf } from "./Call.js"
import { patient, untilEnded } from "./Patience.js"

type Registry = (
  crew: Crew,
  id: SessionId,
  operations: SessionOperations
) => Effect.Effect<unknown, OperationError | WatchClosed>

const on = (call: Registry): Call => (crew, id) =>
  Effect.suspend(() => call(crew, id, crew.machine.session(id).operations))

const started =
  (crew: Crew, sessionId: SessionId, owner: "process" | "external") =>
  (call: ReturnType<SessionOperations["external"]>) => starting(crew.world, sessionId, owner, call)

/** Makes a call that ends an operation; the end is durable when it returns. */
const ending = ({ world: { journal } }: Crew, call: ReturnType<SessionOperations["cancel"]>) =>
  Effect.tap(call, ({ outcome, spec }) =>
    Effect.sync(() => {
      if (outcome !== undefined) toldEnd(journal, spec.id, outcome)
    }))

const display = { displayName: "work" }

const kind = ({ world: { dice } }: Crew) => dice.pick(["background_tool_op", "mob_member_child"] as const)

const peer = { peerName: "p", peerId: "p", address: "a", publicKey: "k" }

/** Every method of a session's operations; see `machineCalls`. @since 0.1.0 @category traffic */
export const sessionOperationCalls: Record<Exclude<keyof SessionOperations, "sessionId">, Call> = {
  run: on((crew, id, operations) =>
    started(crew, id, "process")(operations.run(Script.background(crew.world), { ...display, kind: kind(crew) }))
  ),
  external: on((crew, id, operations) =>
    started(crew, id, "external")(operations.external({ ...display, kind: kind(crew) }))
  ),
  register: on((crew, id, operations) =>
    started(crew, id, "external")(
      operations.register({ ...display, kind: kind(crew), expectPeerChannel: crew.world.dice.hit(0.5) })
    )
  ),
  provisioningSucceeded: on((crew, id, operations) => operations.provisioningSucceeded(operationOf(crew, id))),
  progress: on((crew, id, operations) => operations.progress(operationOf(crew, id))),
  peerReady: on((crew, id, operations) => operations.peerReady(operationOf(crew, id), peer)),
  requestRetire: on((crew, id, operations) => operations.requestRetire(operationOf(crew, id))),
  complete: on((crew, id, operations) =>
    ending(crew, operations.complete(operationOf(crew, id), { content: "done", isError: crew.world.dice.hit(0.2) }))
  ),
  fail: on((crew, id, operations) => ending(crew, operations.fail(operationOf(crew, id), "simulated"))),
  provisioningFailed: on((crew, id, operations) =>
    ending(crew, operations.provisioningFailed(operationOf(crew, id), "simulated"))
  ),
  abort: on((crew, id, operations) => ending(crew, operations.abort(operationOf(crew, id), "simulated"))),
  cancel: on((crew, id, operations) => ending(crew, operations.cancel(operationOf(crew, id)))),
  markRetired: on((crew, id, operations) => ending(crew, operations.markRetired(operationOf(crew, id)))),
  terminateOwner: on((_, __, operations) => operations.terminateOwner("simulated")),
  get: on((crew, id, operations) => operations.get(operationOf(crew, id))),
  list: on((_, __, operations) => operations.list),
  watch: on((crew, id, operations) => {
    const operation = operationOf(crew, id)
    const wait = { method: "session.operations.watch", sessionId: id, waits: untilEnded(crew, id, [operation]) }
    return Effect.map(
      patient(crew.world, wait, operations.watch(operation)),
      Option.map((outcome) => toldEnd(crew.world.journal, operation, outcome))
    )
  }),
  waitAll: on((crew, id, operations) => {
    const [a, b] = [operationOf(crew, id), operationOf(crew, id)]
    const wait = { method: "session.operations.waitAll", sessionId: id, waits: untilEnded(crew, id, [a, b]) }
    return Effect.map(
      patient(crew.world, wait, operations.waitAll(a === b && crew.world.dice.hit(0.9) ? [a] : [a, b])),
      Option.map((ends) => {
        for (const [operation, outcome] of ends) toldEnd(crew.world.journal, operation, outcome)
      })
    )
  }),
  collectCompleted: on((_, __, operations) => operations.collectCompleted),
  listSince: on((crew, _, operations) => operations.listSince(crew.world.dice.below(3))),
  watermark: on((_, __, operations) => operations.watermark),
  cursors: on((_, __, operations) => operations.cursors),
  feed: on(({ scope, world }, id, operations) => {
    let last = 0
    return operations.feed().pipe(
      Stream.runForEach((item) =>
        Effect.sync(() => {
          count(world.journal, "operationFeed", item._tag)
          if (item._tag !== "Completion") return
          toldEnd(world.journal, item.entry.operationId, item.entry.outcome)
          if (item.entry.seq <= last) violate(world.journal, "25 feed", `${id}: ${item.entry.seq} came after ${last}`)
          last = item.entry.seq
        })
      ),
      watched(world.journal, `feed of ${id}`),
      Effect.ignore,
      Effect.forkIn(scope)
    )
  })
}

/** Every operations method of the machine. @since 0.1.0 @category traffic */
export const operationCalls: Record<keyof OperationsControl, Call> = {
  opsLifecycleRegistry: ({ machine }, id) => machine.opsLifecycleRegistry(id)
}
