/**
 * The anchor records, in a file beside the store, the sequence of the last acknowledged commit. `open` and `missing` call
 * this module. SQLite alone reports a store as healthy whose log was deleted, or that was restored from an older copy.
 *
 * Invariant: the anchor is a lower bound. A lag is harmless, so it is written at most once a second and never synced.
 *
 * @since 0.1.0
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"

const Anchor = Schema.parseJson(Schema.Struct({ storeId: Schema.String, commitSeq: Schema.Number }))

/** The content of an anchor. @since 0.1.0 @category models */
export interface Anchor {
  readonly storeId: string
  readonly commitSeq: number
}

/** The path of a store's anchor. @since 0.1.0 @category models */
export const anchorPath = (db: string): string => `${db}.anchor`

/** Reads the anchor. Empty if the file is missing or cannot be read; an unreadable anchor is logged. @since 0.1.0 @category accessors */
export const read = (db: string): Effect.Effect<Option.Option<Anchor>, never, FileSystem.FileSystem> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = anchorPath(db)
    if (!(yield* Effect.orElseSucceed(fs.exists(path), () => false))) return Option.none()
    return yield* Effect.flatMap(fs.readFileString(path), Schema.decode(Anchor)).pipe(
      Effect.asSome,
      Effect.catchAll((cause) =>
        Effect.as(Effect.logWarning(`the anchor ${path} cannot be read and will be replaced`, cause), Option.none())
      )
    )
  })

/**
 * Writes the anchor: a new file, then a rename over the old one. Failures are only logged. Writes nothing if `isInPlace`
 * says that the store has lost its name: an anchor without its store would make every later opening fail.
 *
 * @since 0.1.0
 * @category accessors
 */
export const write = (
  db: string,
  anchor: Anchor,
  isInPlace: () => boolean = () => true
): Effect.Effect<void, never, FileSystem.FileSystem> =>
  Effect.gen(function*() {
    if (!isInPlace()) return
    const fs = yield* FileSystem.FileSystem
    const path = anchorPath(db)
    yield* fs.writeFileString(`${path}.tmp`, yield* Schema.encode(Anchor)(anchor))
    yield* isInPlace() ? fs.rename(`${path}.tmp`, path) : fs.remove(`${path}.tmp`)
  }).pipe(Effect.catchAll((cause) => Effect.logWarning("the anchor of the store cannot be written", cause)))

/**
 * Keeps the anchor up to date. The store calls `moved` with each acknowledged sequence; it writes if the last write is a
 * second old. The last sequence is written when the scope closes, if the store still has its name.
 *
 * @since 0.1.0
 * @category constructors
 */
export const keep = (
  db: string,
  storeId: string,
  commitSeq: number,
  isInPlace: () => boolean = () => true
): Effect.Effect<
  { readonly moved: (commitSeq: number) => Effect.Effect<void> },
  never,
  Scope.Scope | FileSystem.FileSystem
> =>
  Effect.gen(function*() {
    const scope = yield* Effect.scope
    const fs = yield* FileSystem.FileSystem
    let latest = commitSeq
    let writtenAt = 0
    let writing = false
    // one write at a time: on a slow machine a write may still be in progress when the next is due
    const turn = yield* Effect.makeSemaphore(1)
    const store = Effect.suspend(() => write(db, { storeId, commitSeq: latest }, isInPlace)).pipe(
      Effect.provideService(FileSystem.FileSystem, fs),
      turn.withPermits(1)
    )
    yield* Effect.addFinalizer(() => store)
    return {
      moved: (seq) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => {
          latest = seq
          // two writes at once would both write and rename the same temporary file
          if (writing || now - writtenAt < 1000) return Effect.void
          writtenAt = now
          writing = true
          const once = Effect.ensuring(
            store,
            Effect.sync(() => {
              writing = false
            })
          )
          return Effect.asVoid(Effect.forkIn(Effect.uninterruptible(once), scope))
        })
    }
  })
