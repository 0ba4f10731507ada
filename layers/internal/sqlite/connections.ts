/**
 * The two connections of an open store. `open` makes them; the batch and the reads use them through two stable values.
 *
 * Invariants:
 * - if the names of the store no longer refer to the open files, the store is lost and acknowledges nothing. It is
 *   rescued, and every later call fails with a `StoreLost`;
 * - after a COMMIT with an unknown outcome, nothing is read before both connections were opened again: only then SQLite
 *   reads the log from the medium;
 * - a reopened connection has the same file as before.
 *
 * @since 0.1.0
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { StoreIo, StoreLost, type StoreUnavailable } from "../../../src/domain/StoreErrors.js"
import * as Database from "./database.js"
import * as Place from "./place.js"
import { rescue } from "./rescue.js"
import { patiently } from "./transaction.js"

/** The connections of a store. @since 0.1.0 @category models */
export interface Connections {
  readonly writer: Database.Database
  readonly reader: Database.Database
  /** opens the reader; until then reads fail */
  readonly openReader: Effect.Effect<void, StoreUnavailable>
  /** Fails if the names no longer refer to the open files; it has tried to rescue the store then. */
  readonly verify: Effect.Effect<void, StoreLost>
  /** Closes both connections and opens them again. If that fails, the next call of either connection retries it. */
  readonly reopen: Effect.Effect<void, Database.SqlFault>
  /** Whether the name still refers to the file of this store; does not declare a loss. */
  readonly isInPlace: () => boolean
  /** records that the log of this name is the open one */
  readonly trustLog: Effect.Effect<void>
  /** checks the names before the close and retries a failed rescue; fails if the store is lost */
  readonly atClose: Effect.Effect<void, StoreLost>
  /** fails when the store is lost */
  readonly lost: Deferred.Deferred<never, StoreLost>
}

/**
 * Opens the writer for the life of the scope. `configure` makes a fresh connection ready to write.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  path: string,
  configure: (db: Database.Database) => Effect.Effect<void, Database.SqlFault>
): Effect.Effect<Connections, StoreUnavailable, Scope.Scope | FileSystem.FileSystem> =>
  Effect.gen(function*() {
    // fork the scope now: so reopened connections stay open until the caller's finalizers have run
    const scope = yield* Scope.fork(yield* Effect.scope, { _tag: "Sequential" })
    const place = Place.make(path, yield* Place.ensureFile(path))
    const self: Self = {
      place,
      scope,
      configure,
      fs: yield* FileSystem.FileSystem,
      turn: yield* Effect.makeSemaphore(1),
      lost: yield* Deferred.make<never, StoreLost>(),
      loss: undefined,
      wrong: "",
      writer: unopened,
      reader: unopened,
      opened: undefined
    }
    yield* openIn(self, "writer")
    return {
      writer: through(() => self.writer),
      reader: through(() => self.reader),
      openReader: openIn(self, "reader"),
      verify: verify(self),
      reopen: reopen(self),
      isInPlace: () => self.loss === undefined && Place.isSame(Place.named(path), place.file),
      trustLog: Effect.sync(place.trustLog),
      atClose: atClose(self),
      lost: self.lost
    }
  })

// --- internal ---

/** The mutable state. Only the holder of `turn` changes the connections. */
interface Self {
  readonly place: Place.Place
  readonly scope: Scope.Scope
  readonly configure: (db: Database.Database) => Effect.Effect<void, Database.SqlFault>
  readonly fs: FileSystem.FileSystem
  readonly turn: Effect.Semaphore
  readonly lost: Deferred.Deferred<never, StoreLost>
  loss: StoreLost | undefined
  /** what was wrong with the names when the store was lost */
  wrong: string
  writer: Database.Database
  reader: Database.Database
  /** closes both connections */
  opened: Scope.CloseableScope | undefined
}

const through = (current: () => Database.Database): Database.Database => ({
  all: (sql, params) => current().all(sql, params),
  run: (sql, params) => current().run(sql, params),
  once: (sql) => current().once(sql)
})

/** A connection that runs `first` before every statement; if `first` fails, the statement does not run. */
const instead = (
  first: Effect.Effect<void, Database.SqlFault>,
  current: () => Database.Database
): Database.Database => ({
  all: (sql, params) => Effect.zipRight(first, Effect.suspend(() => current().all(sql, params))),
  run: (sql, params) => Effect.zipRight(first, Effect.suspend(() => current().run(sql, params))),
  once: (sql) => Effect.zipRight(first, Effect.suspend(() => current().once(sql)))
})

const notOpen = Effect.fail(
  new StoreIo({ operation: "read", code: "NOT_OPEN", detail: "the store is being opened" })
)

const unopened: Database.Database = { all: () => notOpen, run: () => notOpen, once: () => notOpen }

const openIn = (self: Self, which: "writer" | "reader"): Effect.Effect<void, StoreUnavailable> =>
  Effect.gen(function*() {
    const scope = self.opened ??= yield* Scope.fork(self.scope, { _tag: "Sequential" })
    self[which] = yield* Scope.extend(Database.open(self.place.path, { readonly: which === "reader" }), scope)
  })

const verify = (self: Self): Effect.Effect<void, StoreLost> =>
  Effect.suspend(() => {
    if (self.loss !== undefined) return Effect.fail(self.loss)
    // after a close the log is missing or not the open one, so only the file is compared
    if (self.opened === undefined) return sameFile(self)
    const wrong = self.place.look()
    return wrong === undefined ? Effect.void : Effect.flatMap(declare(self, wrong), Effect.fail)
  })

/** Records the loss: rescues the store if a connection is open, and fails `lost`. Returns the error. */
const declare = (self: Self, detail: string): Effect.Effect<StoreLost> =>
  Effect.gen(function*() {
    const saved = self.opened === undefined
      ? Either.left("the file was not open")
      : yield* Effect.provideService(rescue(self.place, self.writer), FileSystem.FileSystem, self.fs)
    const loss = lossOf(self.place.path, detail, saved)
    self.loss = loss
    self.wrong = detail
    const gone: Database.Database = {
      all: () => Effect.fail(loss),
      run: () => Effect.fail(loss),
      once: () => Effect.fail(loss)
    }
    self.reader = gone
    if (Either.isRight(saved)) {
      self.writer = gone
      yield* setLogAside(self)
    }
    yield* Deferred.fail(self.lost, loss)
    return loss
  }).pipe(Effect.uninterruptible)

const lossOf = (path: string, what: string, saved: Either.Either<string, string>): StoreLost =>
  Either.match(saved, {
    onLeft: (why) => new StoreLost({ path, detail: `${what}, and it could not be rescued (${why})` }),
    onRight: (rescued) => new StoreLost({ path, detail: what, rescued })
  })

/**
 * Renames a log without its file, because SQLite would replay it into the next file of this name, even a rescued copy.
 * The rescued copy contains all its commits; the log keeps its bytes under the new name.
 */
const setLogAside = ({ fs, place }: Self) =>
  Effect.suspend(() => {
    const isFileThere = Place.isSame(Place.named(place.path), place.file)
    if (isFileThere || !place.hasLog()) return Effect.void
    const log = Place.logPath(place.path)
    return Effect.catchAll(fs.rename(log, `${log}.lost`), (cause) =>
      Effect.logWarning(`the log ${log} of a lost store cannot be renamed: remove it before the store is used`, cause))
  })

const atClose = (self: Self): Effect.Effect<void, StoreLost> =>
  Effect.suspend(() =>
    self.loss === undefined || self.loss.rescued !== undefined || self.opened === undefined
      ? verify(self)
      : Effect.flatMap(declare(self, self.wrong), Effect.fail)
  )

/** How long a reopening waits while a reader or a tool holds the file. */
const patience = Duration.seconds(1)

const reopen = (self: Self): Effect.Effect<void, Database.SqlFault> =>
  Effect.gen(function*() {
    // a lost store is rescued before the close, because its files cannot be read afterwards
    yield* verify(self)
    const opened = self.opened
    self.opened = undefined
    self.writer = instead(ensure(self), () => self.writer)
    self.reader = instead(ensure(self), () => self.reader)
    if (opened !== undefined) yield* Scope.close(opened, Exit.void)
    yield* openAgain(self)
  }).pipe(self.turn.withPermits(1), Effect.uninterruptible)

/** Opens closed connections. A caller that waited for another call finds them open. */
const ensure = (self: Self): Effect.Effect<void, Database.SqlFault> =>
  Effect.suspend(() => self.opened === undefined ? openAgain(self) : Effect.void).pipe(
    self.turn.withPermits(1),
    Effect.uninterruptible
  )

/** Opens both connections and empties the log into the file. It checks before and after that the file is the same. */
const openAgain = (self: Self): Effect.Effect<void, Database.SqlFault> =>
  Effect.gen(function*() {
    const { path } = self.place
    yield* sameFile(self)
    const scope = yield* Scope.fork(self.scope, { _tag: "Sequential" })
    const connected = yield* Effect.gen(function*() {
      const writer = yield* Database.open(path, { readonly: false })
      yield* self.configure(writer)
      yield* patiently(writer.once("PRAGMA wal_checkpoint(TRUNCATE)"), patience, (wait) => wait)
      const reader = yield* Database.open(path, { readonly: true })
      yield* reader.once("SELECT writer_token FROM store_meta")
      yield* sameFile(self)
      return { writer, reader }
    }).pipe(Scope.extend(scope), Effect.mapError(reopenFault), Effect.exit)
    if (Exit.isFailure(connected)) {
      yield* Scope.close(scope, connected)
      return yield* connected
    }
    self.place.trustLog()
    self.opened = scope
    self.writer = connected.value.writer
    self.reader = connected.value.reader
  })

const sameFile = (self: Self): Effect.Effect<void, StoreLost> =>
  Effect.suspend(() =>
    self.loss !== undefined
      ? Effect.fail(self.loss)
      : Place.isSame(Place.named(self.place.path), self.place.file)
      ? Effect.void
      : Effect.flatMap(
        declare(self, "was removed, renamed or replaced while it was closed after an error of the medium"),
        Effect.fail
      )
  )

const reopenFault = (fault: Database.SqlFault | StoreUnavailable): Database.SqlFault =>
  fault._tag === "StoreUnavailable"
    ? new StoreIo({ operation: "reopen", code: "CANTOPEN", detail: fault.detail, cause: fault.cause })
    : fault
