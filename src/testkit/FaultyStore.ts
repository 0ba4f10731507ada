/**
 * Wraps any store and injects faults on demand. It counts every call, fails or parks the n-th call before or after the
 * real call, loses acknowledgements, and changes the images that openings read.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 * import * as MeerkatMachineLive from "effect-meerkat/layers/MeerkatMachineLive"
 * import * as RuntimeStoreMemory from "effect-meerkat/layers/RuntimeStoreMemory"
 * import { FaultyStore } from "effect-meerkat/testkit"
 *
 * const program = Effect.gen(function*() {
 *   const faults = yield* FaultyStore.make
 *   const store = Layer.provide(FaultyStore.layer(faults), RuntimeStoreMemory.layer)
 *   faults.loseAck()
 *   return Layer.provide(MeerkatMachineLive.layer, store)
 * })
 * ```
 *
 * @since 0.1.0
 */
import * as Array from "effect/Array"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { RuntimeStore } from "../../services/RuntimeStore.js"
import type { RuntimeId } from "../domain/Ids.js"
import type { RuntimeCommit, RuntimeImage } from "../domain/RuntimeCommit.js"
import type { CommitError, ReadError, StoreBusy, StoreFull, StoreIo } from "../domain/StoreErrors.js"
import { StoreOutcomeUnknown } from "../domain/StoreErrors.js"

type Store = RuntimeStore["Type"]

/** A verb of the store. @since 0.1.0 @category models */
export type Verb = Exclude<keyof Store, "kind">

/** A verb that only reads. @since 0.1.0 @category models */
export type ReadVerb = Exclude<Verb, "commit" | "openRuntime">

/** Selects one call. @since 0.1.0 @category models */
export interface Where {
  /** The n-th matching call from now, from 1. Default: the next call. */
  readonly nth?: number
  /** Only calls for this runtime. Default: calls for every runtime. */
  readonly runtimeId?: RuntimeId
  /** Before the real call, or after it and before its answer. Default: before. */
  readonly when?: "before" | "after"
}

/** A call to be held. @since 0.1.0 @category models */
export interface Parked {
  /** Completes when the call arrives. */
  readonly reached: Effect.Effect<void>
  readonly release: Effect.Effect<void>
}

/** The controls of a faulty store. @since 0.1.0 @category models */
export interface FaultyStore {
  /** Returns the number of calls of a verb so far. */
  readonly calls: (verb: Verb) => number
  /** Returns the number of calls that may write: commits and openings. */
  readonly writes: () => number
  /** Returns the submitted commits, in order. */
  readonly commits: () => ReadonlyArray<RuntimeCommit>
  readonly failCommit: (error: CommitError, where?: Where) => void
  /**
   * Refuses every commit and opening with this error, of one runtime or of all, until the returned function is called
   * or `heal` runs: a full disk, a lock that another program holds.
   */
  readonly outage: (error: StoreBusy | StoreFull | StoreIo, where?: Pick<Where, "runtimeId">) => () => void
  /** Commits, and answers that the outcome is unknown. */
  readonly loseAck: (where?: Omit<Where, "when">) => void
  readonly failOpen: (error: CommitError | ReadError, where?: Where) => void
  readonly failRead: (verb: ReadVerb, error: ReadError, where?: Where) => void
  readonly park: (verb: Verb, where?: Where) => Parked
  /** Changes the image that an opening reads. */
  readonly tamper: (change: (image: RuntimeImage) => RuntimeImage, where?: Omit<Where, "when">) => void
  /** Removes every fault and releases every parked call. */
  readonly heal: Effect.Effect<void>
  /** Wraps a store with these faults. */
  readonly decorate: (store: Store) => Store
}

/** Makes the controls, without a fault. @since 0.1.0 @category constructors */
export const make: Effect.Effect<FaultyStore> = Effect.sync(() => unsafeMake())

/** Wraps the provided store with the faults. @since 0.1.0 @category layers */
export const layer = (faults: FaultyStore): Layer.Layer<RuntimeStore, never, RuntimeStore> =>
  Layer.effect(RuntimeStore, Effect.map(RuntimeStore, faults.decorate))

// --- internal ---

interface Rule<in S, out E> {
  readonly where: Where
  readonly act: (subject: S) => Effect.Effect<void, E>
  left: number
}

interface Change {
  readonly where: Where
  readonly change: (image: RuntimeImage) => RuntimeImage
  left: number
}

interface Counted {
  readonly where: Where
  left: number
}

/** Refuses every write of one runtime, or of all. */
interface Outage {
  readonly runtimeId: RuntimeId | undefined
  readonly error: StoreBusy | StoreFull | StoreIo
}

const counted = (where: Where) => ({ where, left: where.nth ?? 1 })

/** Removes and returns the rules that apply to this call. */
const due = <R extends Counted>(rules: Array<R>, runtimeId: RuntimeId | null): ReadonlyArray<R> => {
  const matching = rules.filter(({ where }) => where.runtimeId === undefined || where.runtimeId === runtimeId)
  for (const rule of matching) rule.left--
  const now = matching.filter(({ left }) => left <= 0)
  for (const rule of now) rules.splice(rules.indexOf(rule), 1)
  return now
}

const around = <S, A, E, F>(
  rules: Array<Rule<S, F>>,
  subject: S,
  runtimeId: RuntimeId | null,
  self: Effect.Effect<A, E>
): Effect.Effect<A, E | F> =>
  Effect.suspend(() => {
    const [before, after] = Array.partition(due(rules, runtimeId), ({ where }) => where.when === "after")
    const all = (some: ReadonlyArray<Rule<S, F>>) => Effect.forEach(some, ({ act }) => act(subject), { discard: true })
    return Effect.zipLeft(Effect.zipRight(all(before), self), Effect.suspend(() => all(after)))
  })

const unsafeMake = (): FaultyStore => {
  const counts = new Map<Verb, number>()
  const commits: Array<RuntimeCommit> = []
  const onCommit: Array<Rule<RuntimeCommit, CommitError>> = []
  const onOpen: Array<Rule<RuntimeId, CommitError | ReadError>> = []
  const onRead = new Map<ReadVerb, Array<Rule<ReadVerb, ReadError>>>()
  const changes: Array<Change> = []
  const outages = new Set<Outage>()
  const parked = new Set<Effect.Latch>()
  /** Refuses a write during an outage. */
  const written = <A, E>(id: RuntimeId, self: Effect.Effect<A, E>): Effect.Effect<A, E | Outage["error"]> =>
    Effect.suspend((): Effect.Effect<A, E | Outage["error"]> => {
      for (const { error, runtimeId } of outages) {
        if (runtimeId === undefined || runtimeId === id) return Effect.fail(error)
      }
      return self
    })
  const calls = (verb: Verb): number => counts.get(verb) ?? 0
  const count = (verb: Verb): void => void counts.set(verb, calls(verb) + 1)
  const readRules = (verb: ReadVerb): Array<Rule<ReadVerb, ReadError>> => {
    const rules = onRead.get(verb) ?? []
    onRead.set(verb, rules)
    return rules
  }
  const read = (verb: ReadVerb, runtimeId: RuntimeId | null) => <A, E>(self: Effect.Effect<A, E>) =>
    Effect.suspend(() => {
      count(verb)
      return around(readRules(verb), verb, runtimeId, self)
    })
  const stream = (verb: ReadVerb, runtimeId: RuntimeId | null) => <A, E>(self: Stream.Stream<A, E>) =>
    Stream.unwrap(read(verb, runtimeId)(Effect.succeed(self)))
  const park = (verb: Verb, where: Where = {}): Parked => {
    const gate = Effect.unsafeMakeLatch(false)
    const reached = Effect.unsafeMakeLatch(false)
    parked.add(gate)
    const act = () => Effect.zipRight(reached.open, gate.await)
    if (verb === "commit") onCommit.push({ ...counted(where), act })
    else if (verb === "openRuntime") onOpen.push({ ...counted(where), act })
    else readRules(verb).push({ ...counted(where), act })
    return { reached: reached.await, release: Effect.asVoid(gate.open) }
  }
  const decorate = (store: Store): Store => ({
    kind: store.kind,
    lost: store.lost,
    openRuntime: (runtimeId, plan) =>
      Effect.suspend(() => {
        count("openRuntime")
        const shown = due(changes, runtimeId)
        const open = store.openRuntime(
          runtimeId,
          (image) => plan(shown.reduce((changed, { change }) => change(changed), image))
        )
        return around(onOpen, runtimeId, runtimeId, written(runtimeId, open))
      }),
    commit: (commit) =>
      Effect.suspend(() => {
        count("commit")
        commits.push(commit)
        return around(onCommit, commit, commit.runtimeId, written(commit.runtimeId, store.commit(commit)))
      }),
    witness: (id) => read("witness", id)(store.witness(id)),
    terminalInput: (id, inputId) => read("terminalInput", id)(store.terminalInput(id, inputId)),
    findKey: (id, key) => read("findKey", id)(store.findKey(id, key)),
    inputs: (id, filter) => stream("inputs", id)(store.inputs(id, filter)),
    receipt: (id, runId, sequence) => read("receipt", id)(store.receipt(id, runId, sequence)),
    receipts: (id) => stream("receipts", id)(store.receipts(id)),
    operation: (id, operationId) => read("operation", id)(store.operation(id, operationId)),
    operations: (id) => stream("operations", id)(store.operations(id)),
    feed: (id, after) => read("feed", id)(store.feed(id, after)),
    history: (id, from) => stream("history", id)(store.history(id, from)),
    opaqueBody: (id) => read("opaqueBody", id)(store.opaqueBody(id)),
    session: (id) => read("session", id)(store.session(id)),
    sessions: (filter) => stream("sessions", null)(store.sessions(filter)),
    quarantined: read("quarantined", null)(store.quarantined)
  })
  return {
    calls,
    writes: () => calls("commit") + calls("openRuntime"),
    commits: () => commits.slice(),
    failCommit: (error, where = {}) => void onCommit.push({ ...counted(where), act: () => Effect.fail(error) }),
    outage: (error, { runtimeId } = {}) => {
      const outage: Outage = { runtimeId, error }
      outages.add(outage)
      return () => void outages.delete(outage)
    },
    loseAck: (where = {}) =>
      void onCommit.push({
        ...counted({ ...where, when: "after" }),
        act: ({ requestId }) => Effect.fail(new StoreOutcomeUnknown({ requestId, detail: "the answer was lost" }))
      }),
    failOpen: (error, where = {}) => void onOpen.push({ ...counted(where), act: () => Effect.fail(error) }),
    failRead: (verb, error, where = {}) =>
      void readRules(verb).push({ ...counted(where), act: () => Effect.fail(error) }),
    park,
    tamper: (change, where = {}) => void changes.push({ ...counted(where), change }),
    heal: Effect.suspend(() => {
      for (const rules of [onCommit, onOpen, changes, ...onRead.values()]) rules.length = 0
      outages.clear()
      return Effect.forEach(parked, (gate) => gate.open, { discard: true })
    }),
    decorate
  }
}
