/** The anchor file beside a store, which records the last commit sequence. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as FileSystem from "@effect/platform/FileSystem"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as HandoverLive from "../../layers/HandoverLive.js"
import * as Anchor from "../../layers/internal/sqlite/anchor.js"
import { Handover } from "../../services/Handover.js"

const written = (db: string) => Effect.map(Anchor.read(db), Option.getOrNull)

/** Waits until the anchor file holds `commitSeq`, however long the disk takes. */
const until = (db: string, commitSeq: number) =>
  Effect.gen(function*() {
    const turn = yield* Handover
    while ((yield* written(db))?.commitSeq !== commitSeq) yield* turn
  }).pipe(Effect.provide(HandoverLive.layer))

describe("the anchor of a store", () => {
  it.scoped("is written once a second and at its close, always through a temporary file", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const db = `${yield* fs.makeTempDirectoryScoped()}/s.db`
      const scope = yield* Scope.make()
      const { moved } = yield* Scope.extend(Anchor.keep(db, "store", 0), scope)
      assert.isNull(yield* written(db))
      for (const seq of [1, 11, 21]) {
        yield* TestClock.adjust("1 second")
        yield* moved(seq)
        yield* until(db, seq)
        // Nothing is written within the second.
        yield* moved(seq + 1)
        assert.deepStrictEqual(yield* written(db), { storeId: "store", commitSeq: seq })
      }
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* written(db), { storeId: "store", commitSeq: 22 })
      assert.isFalse(yield* fs.exists(`${Anchor.anchorPath(db)}.tmp`))
    }).pipe(Effect.provide(NodeFileSystem.layer)))

  it.scoped("reads as none when its file cannot be parsed", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const db = `${yield* fs.makeTempDirectoryScoped()}/s.db`
      yield* fs.writeFileString(Anchor.anchorPath(db), "{")
      assert.isNull(yield* written(db))
    }).pipe(Effect.provide(NodeFileSystem.layer)))
})
