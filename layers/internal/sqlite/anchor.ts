/**
 * The anchor remembers, outside of the store file, how far acknowledged commits went. SQLite reports a store whose
 * write-ahead log was deleted, or that was restored from a copy, as healthy.
 *
 * It is a lower bound: lagging behind is harmless, so it is written at most once a second and never synced.
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

/** @since 0.1.0 @category models */
export interface Anchor {
  readonly storeId: string
  readonly commitSeq: number
}

/** @since 0.1.0 @category models */
export const anchorPath = (db: string): string => `${db}.anchor`

/** What the anchor says; none when there is none, or when it cannot be read. @since 0.1.0 @category accessors */
export const read = (db: string): Effect.Effect<Option.Option<Anchor>, never, FileSystem.FileSystem> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = anchorPath(db)
    if (!(yield* Effect.orElseSucceed(fs.exists(path), () => false))) return Option.none()
    return yield* Effect.flatMap(fs.readFileString(path), Schema.decode(Anchor)).pipe(
      Effect.asSome,
      Effect.catchAll((cause) =>
        Effect.as(Effect.logWarning(`the anchor ${path} cannot be read and is written anew`, cause), Option.none())
      )
    )
  })

/**
 * Writes the anchor: a new file, then a rename over the old one. Writes nothing where `isInPlace` says that the store is
 * not there any more: an anchor without its store refuses every later opening.
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
 * Keeps the anchor close behind: `moved` is told each acknowledged sequence, and writes when a second has passed.
 * The last one is written when the scope closes, if the store is still in its place.
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
    // one at a time: on a slow machine a write may still be going on when the next is due
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
          // Two at once would write and rename the same file under each other.
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
