/**
 * Injects the faults of a simulated store at every call, before or after the real call. The lives of a simulation provide
 * its layer; the dice of the world decide, so that a seed repeats exactly.
 *
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { RuntimeStore } from "../../../services/RuntimeStore.js"
import type { RuntimeId } from "../../domain/Ids.js"
import { RequestId } from "../../domain/Ids.js"
import type { CommitAck, Opening, RuntimeCommit, RuntimeImage } from "../../domain/RuntimeCommit.js"
import type { CommitError, ReadError } from "../../domain/StoreErrors.js"
import * as StoreErrors from "../../domain/StoreErrors.js"
import { count, note } from "./Journal.js"
import * as Recovery from "./Recovery.js"
import * as StoreMonitor from "./StoreMonitor.js"
import type { World } from "./World.js"
import { incarnationOf } from "./World.js"

/** Wraps the provided store with the monitor of the world, and that with the faults. @since 0.1.0 @category layers */
export const layer = (world: World): Layer.Layer<RuntimeStore, never, RuntimeStore> =>
  Layer.effect(RuntimeStore, Effect.map(RuntimeStore, (store) => faulty(world, store)))

// --- internal ---

type Store = RuntimeStore["Type"]

const refusals: NonEmptyReadonlyArray<
  (operation: string) => StoreErrors.StoreBusy | StoreErrors.StoreFull | StoreErrors.StoreIo
> = [
  (operation) => new StoreErrors.StoreBusy({ operation, waitedMs: 1 }),
  (operation) => new StoreErrors.StoreFull({ operation, detail: "simulated" }),
  (operation) => new StoreErrors.StoreIo({ operation, code: "SIMULATED", detail: "simulated" })
]

const fatal: NonEmptyReadonlyArray<(runtimeId: RuntimeId) => CommitError> = [
  () => new StoreErrors.WriterFenced({ held: 1, current: 2 }),
  (runtimeId) => new StoreErrors.RuntimeFenced({ runtimeId, held: 1, current: 2 }),
  (runtimeId) => new StoreErrors.RevisionConflict({ runtimeId, expected: 1, actual: 2 }),
  (runtimeId) => new StoreErrors.CommitRefused({ runtimeId, detail: "simulated" }),
  () => new StoreErrors.StoreCorrupt({ table: "input", key: "", detail: "simulated" })
]

const unreadable: NonEmptyReadonlyArray<(operation: string) => ReadError> = [
  (operation) => new StoreErrors.StoreBusy({ operation, waitedMs: 1 }),
  (operation) => new StoreErrors.StoreIo({ operation, code: "SIMULATED", detail: "simulated" }),
  (operation) => new StoreErrors.StoreCorrupt({ table: operation, key: "", detail: "simulated" })
]

const injected = (world: World, verb: string, kind: string): void => {
  count(world.journal, "fault", `${verb}.${kind}`)
  note(world.journal, `fault ${verb}.${kind}`)
}

const faulty = (world: World, store: Store): Store => {
  const read = readFaults(world)
  return {
    kind: store.kind,
    // the machine marks every open session as lost
    lost: Effect.tapError(store.lost, () =>
      Effect.sync(() => {
        for (const [id, { incarnation }] of world.opened) world.reloading.add(incarnationOf(id, incarnation))
      })),
    commit: (commit) => committing(world, store, commit),
    openRuntime: (id, plan) => opening(world, store, id, plan),
    witness: (id) => read.effect("witness", store.witness(id)),
    terminalInput: (id, input) => read.effect("terminalInput", store.terminalInput(id, input)),
    findKey: (id, key) => read.effect("findKey", store.findKey(id, key)),
    inputs: (id, filter) => read.stream("inputs", store.inputs(id, filter)),
    receipt: (id, runId, sequence) => read.effect("receipt", store.receipt(id, runId, sequence)),
    receipts: (id) => read.stream("receipts", store.receipts(id)),
    operation: (id, operation) => read.effect("operation", store.operation(id, operation)),
    operations: (id) => read.stream("operations", store.operations(id)),
    feed: (id, after) => read.effect("feed", store.feed(id, after)),
    history: (id, from) => read.stream("history", store.history(id, from)),
    opaqueBody: (id) => read.effect("opaqueBody", store.opaqueBody(id)),
    session: (id) => read.effect("session", store.session(id)),
    sessions: (filter) => read.stream("sessions", store.sessions(filter)),
    quarantined: read.effect("quarantined", store.quarantined)
  }
}

/** Delays the call; the dice decide when the effect runs. */
const pause = (world: World, verb: string, when: "before" | "after"): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { delay, delayMs } = world.faults()
    if (delay === 0 || !world.dice.hit(delay / 2)) return Effect.void
    injected(world, verb, `delay.${when}`)
    return Effect.sleep(1 + world.dice.below(Math.max(1, delayMs)))
  })

/** Returns the current outage, or begins one. An outage ends with its process, and before the final audit. */
const outage = (world: World, now: number): StoreErrors.StoreBusy | StoreErrors.StoreFull | null => {
  const { dice } = world
  const faults = world.faults()
  if (faults.outage === 0) return null
  if (world.outage !== null && now < world.outage.until) return world.outage.error
  world.outage = null
  if (!dice.hit(faults.outage)) return null
  const error = dice.hit(0.5)
    ? new StoreErrors.StoreFull({ operation: "outage", detail: "simulated" })
    : new StoreErrors.StoreBusy({ operation: "outage", waitedMs: 1 })
  world.outage = { until: now + 1 + dice.below(faults.outageMs), error }
  count(world.journal, "outage", error._tag)
  return error
}

const refusal = (world: World, verb: string, runtimeId: RuntimeId): Effect.Effect<void, CommitError> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) => {
    const { dice } = world
    const faults = world.faults()
    const over = outage(world, now)
    if (over !== null) {
      injected(world, verb, `outage.${over._tag}`)
      return Effect.fail(over)
    }
    if (dice.hit(faults.refuse)) {
      const error = dice.pick(refusals)(verb)
      injected(world, verb, error._tag)
      return Effect.fail(error)
    }
    if (dice.hit(faults.fatal)) {
      const error = dice.pick(fatal)(runtimeId)
      injected(world, verb, `fatal.${error._tag}`)
      return Effect.fail(error)
    }
    return Effect.void
  })

const committing = (world: World, store: Store, commit: RuntimeCommit): Effect.Effect<CommitAck, CommitError> => {
  const incarnation = incarnationOf(commit.runtimeId, commit.incarnation)
  const { dice } = world
  const unknown = Effect.suspend(() => {
    world.troubled.add(incarnation)
    world.doubtful.add(incarnation)
    return Effect.fail(new StoreErrors.StoreOutcomeUnknown({ requestId: commit.requestId, detail: "simulated" }))
  })
  return Effect.gen(function*() {
    StoreMonitor.asked(world, commit)
    world.untidy.add(incarnation)
    yield* pause(world, "commit", "before")
    yield* Effect.tapError(refusal(world, "commit", commit.runtimeId), (error) =>
      Effect.sync(() => {
        if (!StoreErrors.isNotNow(error)) world.troubled.add(incarnation)
        if (!StoreErrors.isRetryable(error)) world.doubtful.add(incarnation)
      }))
    const faults = world.faults()
    if (dice.hit(faults.lostCall)) {
      injected(world, "commit", "lostCall")
      return yield* unknown
    }
    if (dice.hit(faults.defect)) return yield* deadCommit(world, "commit.before", incarnation)
    const ack = yield* Effect.tapError(store.commit(commit), () =>
      Effect.sync(() => {
        world.troubled.add(incarnation)
        world.doubtful.add(incarnation)
      }))
    StoreMonitor.written(world, commit)
    yield* pause(world, "commit", "after")
    if (dice.hit(world.faults().lostAck)) {
      injected(world, "commit", "lostAck")
      return yield* unknown
    }
    if (dice.hit(world.faults().defect)) return yield* deadCommit(world, "commit.after", incarnation)
    world.doubtful.delete(incarnation)
    world.untidy.delete(incarnation)
    return ack
  }).pipe(Effect.ensuring(Effect.sync(() => StoreMonitor.answered(world, commit))))
}

const deadCommit = (world: World, verb: string, incarnation: string): Effect.Effect<never> =>
  Effect.zipRight(
    Effect.sync(() => {
      world.troubled.add(incarnation)
      world.doubtful.add(incarnation)
    }),
    defect(world, verb)
  )

const defect = (world: World, verb: string): Effect.Effect<never> =>
  Effect.suspend(() => {
    injected(world, verb, "defect")
    return Effect.dieMessage(`simulated defect of the store (${verb})`)
  })

/** Reports the opening commit to the monitor when it is written, before a fault can replace the answer. */
const opening = <A, E>(
  world: World,
  store: Store,
  runtimeId: RuntimeId,
  plan: (image: RuntimeImage) => Either.Either<Opening<A>, E>
) =>
  Effect.gen(function*() {
    const { dice } = world
    yield* pause(world, "openRuntime", "before")
    yield* refusal(world, "openRuntime", runtimeId)
    if (dice.hit(world.faults().lostCall)) {
      injected(world, "openRuntime", "lostCall")
      return yield* new StoreErrors.StoreOutcomeUnknown({ requestId: RequestId.make(dice.uuid()), detail: "simulated" })
    }
    if (dice.hit(world.faults().defect)) return yield* defect(world, "openRuntime.before")
    const tampered = dice.hit(world.faults().corruptImage)
    if (tampered) injected(world, "openRuntime", "corruptImage")
    const cell: { commit: RuntimeCommit | null } = { commit: null }
    const witness = yield* Effect.option(store.witness(runtimeId))
    if (Option.isSome(witness) && Option.isSome(witness.value)) {
      StoreMonitor.found(world, runtimeId, witness.value.value)
    }
    const opened = yield* store.openRuntime(runtimeId, (image) =>
      Either.map(plan(tampered ? withCorruptRow(image) : image), (opening) => {
        // another process may have written since the witness was read
        const last = world.peek?.(runtimeId)?.head
        if (last !== undefined) {
          StoreMonitor.found(world, runtimeId, last)
        }
        Recovery.planned(world, image, opening)
        cell.commit = opening.commit
        StoreMonitor.planned(world, opening.commit)
        return opening
      }))
    if (cell.commit !== null) {
      world.ledger.tidy.delete(runtimeId)
      StoreMonitor.written(world, cell.commit)
      Recovery.repeated(world, cell.commit, plan)
    }
    yield* pause(world, "openRuntime", "after")
    if (dice.hit(world.faults().lostAck)) {
      injected(world, "openRuntime", "lostAck")
      return yield* new StoreErrors.StoreOutcomeUnknown({ requestId: opened.ack.requestId, detail: "simulated" })
    }
    if (dice.hit(world.faults().defect)) {
      return yield* defect(world, "openRuntime.after")
    }
    return opened
  })

const withCorruptRow = (image: RuntimeImage): RuntimeImage => ({
  ...image,
  corrupt: [{ table: "input", key: "simulated", detail: "simulated" }]
})

const readFaults = (world: World) => {
  const fault = (verb: string): Effect.Effect<void, ReadError> =>
    Effect.suspend(() => {
      if (world.dice.hit(world.faults().defect)) return defect(world, verb)
      if (!world.dice.hit(world.faults().refuseRead)) return pause(world, verb, "before")
      const error = world.dice.pick(unreadable)(verb)
      injected(world, verb, error._tag)
      return Effect.fail(error)
    })
  /** Returns the failure of a stream after some of its items, or null. */
  const broken = (verb: string): Effect.Effect<never, ReadError> | null => {
    if (world.dice.hit(world.faults().defect)) return defect(world, `${verb}.middle`)
    if (!world.dice.hit(world.faults().refuseRead)) return null
    const error = world.dice.pick(unreadable)(verb)
    injected(world, verb, `middle.${error._tag}`)
    return Effect.fail(error)
  }
  return {
    effect: <A>(verb: string, call: Effect.Effect<A, ReadError>): Effect.Effect<A, ReadError> =>
      Effect.zipRight(fault(verb), call),
    stream: <A>(verb: string, call: Stream.Stream<A, ReadError>): Stream.Stream<A, ReadError> =>
      Stream.unwrap(Effect.map(fault(verb), () => {
        const end = broken(verb)
        return end === null ? call : Stream.concat(Stream.take(call, 1 + world.dice.below(3)), Stream.fromEffect(end))
      }))
  }
}
