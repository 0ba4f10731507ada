/** Makes a store with some of everything, and asks it everything that it can answer. */
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { spawnSync } from "node:child_process"
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as RuntimeStoreSqlite from "../../layers/RuntimeStoreSqlite.js"
import { RuntimeStore } from "../../services/RuntimeStore.js"
import { OperationId, RunId, runtimeIdOf, SessionId } from "../../src/domain/Ids.js"
import type { CompletionEntry, OperationRecord } from "../../src/domain/Operation.js"
import type { RuntimeImage, SessionHead } from "../../src/domain/RuntimeCommit.js"
import { imageCorruption } from "../../src/kernel/imageCorruption.js"
import * as C from "../../test/support/commits.js"

const sessions = ["a", "b", "c"].map((name) => SessionId.make(name))

const operationOf = (id: OperationId, seq?: number): OperationRecord => ({
  spec: {
    id,
    kind: "background_tool_op",
    owner: "external",
    displayName: "build",
    sourceLabel: "ci",
    expectPeerChannel: false
  },
  peerReady: false,
  progressCount: 0,
  createdAt: 1,
  ...(seq === undefined
    ? { status: "running" }
    : { status: "failed", outcome: { _tag: "Failed", error: "red" }, completionSeq: seq, completedAt: 2 })
})

const entryOf = (seq: number, operationId: OperationId): CompletionEntry => ({
  seq,
  operationId,
  kind: "background_tool_op",
  displayName: "build",
  outcome: { _tag: "Failed", error: "red" },
  completedAt: 2
})

const keys = (name: string): ReadonlyArray<string> => Array.from({ length: 15 }, (_, n) => `${name}-key-${n}`)

const fill = (session: SessionId) =>
  Effect.gen(function*() {
    const epoch = C.newEpoch()
    const opened = yield* C.open(session, { epoch, slices: [{ name: "silentIntents", value: ["a", "b"] }] })
    let at = opened.at
    let head: SessionHead = C.noBody
    for (const [n, key] of keys(session).entries()) {
      const record = C.recordOf(n, { key, text: `question ${n} of ${session} `.repeat(1 + (n % 5) * 8) })
      at = yield* C.commit(at, { inputs: [C.insert(record)] })
      if (n >= 12) continue
      const boundary = C.boundary(
        record,
        head,
        `answer ${n} of ${session} `.repeat(1 + (n % 7) * 6),
        RunId.make(C.uuid())
      )
      at = yield* C.commit(at, boundary)
      if (boundary.session._tag !== "Opaque") head = boundary.session.head
    }
    const [live, ended] = [OperationId.make(C.uuid()), OperationId.make(C.uuid())]
    at = yield* C.commit(at, { operations: [operationOf(live), operationOf(ended)] })
    at = yield* C.commit(at, {
      operations: [operationOf(ended, 1)],
      feed: [entryOf(1, ended)],
      epoch: { ...epoch, lastSeq: 1, cursors: { agentApplied: 0, observed: 1, injected: 0 } }
    })
    return at
  })

/** The files of a store: closed in order, or as a crash leaves them a second after the last commit. */
export interface Template {
  readonly closed: string
  readonly crashed: string
  readonly remove: () => void
}

export const template = async (): Promise<Template> => {
  const root = mkdtempSync(join(tmpdir(), "meerkat-template-"))
  const [closed, crashed] = [join(root, "closed.db"), join(root, "crashed.db")]
  const [last, ...first] = [...sessions].reverse()
  const store = Effect.provide(RuntimeStoreSqlite.layer({ filename: closed }))
  await Effect.runPromise(store(Effect.forEach(first, fill)))
  await Effect.runPromise(
    store(
      Effect.forEach(last === undefined ? [] : [last], fill).pipe(
        // copied by another process, because closing a descriptor of an open store drops its locks
        Effect.zipRight(Effect.sync(() => {
          for (const suffix of ["", "-wal"]) spawnSync("cp", [closed + suffix, crashed + suffix])
        }))
      )
    )
  )
  // the anchor of a store that crashed a second after its last commit
  copyFileSync(`${closed}.anchor`, `${crashed}.anchor`)
  return { closed, crashed, remove: () => rmSync(root, { recursive: true, force: true }) }
}

/** Copies the files of a template into a new folder. */
export const copied = (from: string): string => {
  const to = join(mkdtempSync(join(tmpdir(), "meerkat-damage-")), "store.db")
  for (const suffix of ["", "-wal", ".anchor"]) {
    if (existsSync(from + suffix)) writeFileSync(to + suffix, readFileSync(from + suffix))
  }
  return to
}

/** A fact as JSON, or the error that was returned instead. */
export type Fact = { readonly said: string } | { readonly refused: string }

export type Survey = ReadonlyMap<string, Fact>

const fact = <A, E extends { readonly _tag: string }, R>(self: Effect.Effect<A, E, R>): Effect.Effect<Fact, never, R> =>
  Effect.match(self, {
    onFailure: (error) => ({ refused: error._tag }),
    onSuccess: (value) => ({ said: JSON.stringify(value) })
  })

const list = <A, E, R>(stream: Stream.Stream<A, E, R>) => Effect.map(Stream.runCollect(stream), Chunk.toReadonlyArray)

class Seen extends Data.TaggedError("Seen")<{ readonly image: RuntimeImage }> {}

/** Returns what an opening would be based on, without writing. */
const opening = (session: SessionId) =>
  Effect.gen(function*() {
    const store = yield* RuntimeStore
    const plan = (image: RuntimeImage) => Either.left(new Seen({ image }))
    const seen = yield* Effect.flip(store.openRuntime(runtimeIdOf(session), plan)).pipe(
      Effect.mapError((): { readonly _tag: string } => ({ _tag: "Opened" }))
    )
    if (!(seen instanceof Seen)) return yield* Effect.fail<{ readonly _tag: string }>(seen)
    const corruption = imageCorruption(seen.image)
    if (corruption !== null) return yield* Effect.fail<{ readonly _tag: string }>({ _tag: "RecoveryCorruption" })
    return seen.image
  })

const ofSession = (name: SessionId) =>
  Effect.gen(function*() {
    const store = yield* RuntimeStore
    const id = runtimeIdOf(name)
    const facts = new Map<string, Fact>()
    const put = (what: string, value: Fact) => facts.set(`${name} ${what}`, value)
    put("opening", yield* fact(opening(name)))
    put("inputs", yield* fact(list(store.inputs(id))))
    put("receipts", yield* fact(list(store.receipts(id))))
    put("history", yield* fact(list(store.history(id))))
    put("history from 7", yield* fact(list(store.history(id, 7))))
    put("operations", yield* fact(list(store.operations(id))))
    put("feed", yield* fact(store.feed(id, 0)))
    put("opaque", yield* fact(Effect.map(store.opaqueBody(id), Option.isSome)))
    for (const key of keys(name)) {
      const owner = yield* Effect.either(store.findKey(id, key))
      put(`key ${key}`, yield* fact(owner))
      if (Either.isLeft(owner) || Option.isNone(owner.right)) continue
      put(`end of ${key}`, yield* fact(store.terminalInput(id, owner.right.value.inputId)))
    }
    return facts
  })

/** Returns every fact, or the error with which the store refuses to open. */
export const survey = (
  filename: string
): Promise<Exit.Exit<{ readonly facts: Survey; readonly aside: number }, unknown>> =>
  Effect.gen(function*() {
    const store = yield* RuntimeStore
    const facts = new Map<string, Fact>([["sessions", yield* fact(list(store.sessions()))]])
    for (const name of sessions) for (const [what, value] of yield* ofSession(name)) facts.set(what, value)
    const aside = yield* Effect.map(Effect.either(store.quarantined), (rows) =>
      Either.isRight(rows) ? rows.right.length : 1)
    return { facts, aside }
  }).pipe(Effect.provide(RuntimeStoreSqlite.layer({ filename })), Effect.runPromiseExit)

export const isTyped = (exit: Exit.Exit<unknown, unknown>): boolean =>
  Exit.isFailure(exit) && Cause.isFailType(exit.cause)
