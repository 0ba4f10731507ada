// @effect-diagnostics nodeBuiltinImport:off
/** What a reader sees when a session is written between two statements of the reader. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Attach from "../../layers/internal/sqlite/attach.js"
import * as Quarantine from "../../layers/internal/sqlite/quarantine.js"
import * as Reads from "../../layers/internal/sqlite/reads.js"
import * as RuntimeStoreSqlite from "../../layers/RuntimeStoreSqlite.js"
import type { RuntimeStore } from "../../services/RuntimeStore.js"
import * as Message from "../../src/domain/Message.js"
import type { SessionHead } from "../../src/domain/RuntimeCommit.js"
import * as C from "../support/commits.js"

/** Runs the test with the path of a store that stays open for writing. */
const withStore = <A, E>(self: (filename: string) => Effect.Effect<A, E, RuntimeStore>) =>
  Effect.suspend(() => {
    const filename = join(fs.mkdtempSync(join(tmpdir(), "meerkat-beside-")), "s.db")
    return Effect.provide(self(filename), RuntimeStoreSqlite.layer({ filename }))
  })

/** Reads the file. After the first statement that begins with `statement`, it runs `written`. */
const readingWhile = <A, E, E2, R>(
  filename: string,
  statement: string,
  written: Effect.Effect<unknown, E2, R>,
  read: (reads: Reads.Reads) => Effect.Effect<A, E>
) =>
  Effect.gen(function*() {
    const { database } = yield* Attach.attach(filename)
    const context = yield* Effect.context<R>()
    let isWritten = false
    const once = Effect.suspend(() => {
      if (isWritten) return Effect.void
      isWritten = true
      return Effect.orDie(Effect.provide(written, context))
    })
    const all: typeof database.all = (sql, params) =>
      sql.startsWith(statement) ? Effect.tap(database.all(sql, params), once) : database.all(sql, params)
    const result = yield* Effect.either(read(Reads.make({ ...database, all }, Quarantine.make())))
    assert.isTrue(isWritten)
    return yield* result
  }).pipe(Effect.scoped, Effect.provide([NodeFileSystem.layer, NodePath.layer]))

const texts = (messages: Iterable<Message.Message>) => Array.from(messages, ({ blocks }) => Message.textOf(blocks))

const numbered = (length: number) => Array.from({ length }, (_, i) => Message.ofText("user", `${i}`))

const heads = "SELECT * FROM runtime"
const pages = "SELECT key, doc, digest FROM message"

describe("a session that is written while a reader reads it", () => {
  it.live("lists an input once, as ended, when the input ends in between", () =>
    withStore((filename) =>
      Effect.gen(function*() {
        const [record, other] = [C.recordOf(0), C.recordOf(1)]
        const { at } = yield* C.open(C.sessionId(), { inputs: [C.insert(record), C.insert(other)] })
        const states = yield* readingWhile(
          filename,
          "SELECT key, sum, input_id",
          C.commit(at, C.boundary(record, C.noBody)),
          (reads) => Stream.runCollect(reads.inputs(at.runtimeId))
        )
        assert.deepStrictEqual(Array.from(states, ({ inputId, phase }) => [inputId, phase]), [
          [record.inputId, "consumed"],
          [other.inputId, "queued"]
        ])
      })
    ))

  const replaced = { generation: 1, messageCount: 1, digest: null }
  const summary = (base: SessionHead) => {
    const head = { ...replaced, generation: base.generation + 1 }
    return { _tag: "Replace", base, messages: [Message.ofText("system", "summary")], head } as const
  }

  it.live("returns the new body when the body is replaced before its first message is read", () =>
    withStore((filename) =>
      Effect.gen(function*() {
        const body = C.append(C.noBody, numbered(3))
        const { at } = yield* C.open(C.sessionId(), { session: body })
        const replacing = C.commit(at, { session: summary(body.head) })
        const found = yield* readingWhile(
          filename,
          heads,
          replacing,
          (reads) => Stream.runCollect(reads.history(at.runtimeId))
        )
        assert.deepStrictEqual(texts(found), ["summary"])
      })
    ))

  it.live("returns the new body when an opaque body is replaced", () =>
    withStore((filename) =>
      Effect.gen(function*() {
        const head = { ...replaced, messageCount: 7 }
        const opaque = { _tag: "Opaque", base: C.noBody, bytes: Uint8Array.of(1), head } as const
        const { at } = yield* C.open(C.sessionId(), { session: opaque })
        const found = yield* readingWhile(
          filename,
          heads,
          C.commit(at, { session: summary(head) }),
          (reads) => Stream.runCollect(reads.history(at.runtimeId))
        )
        assert.deepStrictEqual(texts(found), ["summary"])
      })
    ))

  it.live("fails with BodyReplaced, not as damaged, when the body is replaced in the middle", () =>
    withStore((filename) =>
      Effect.gen(function*() {
        // The body has two pages; a page has 256 rows of 64 messages.
        const body = C.append(C.noBody, numbered(16_385))
        const { at } = yield* C.open(C.sessionId(), { session: body })
        const replacing = Effect.gen(function*() {
          let now = yield* C.commit(at, { session: summary(body.head) })
          let head: SessionHead = replaced
          // Each commit clears more of the old rows.
          for (let i = 0; i < 5; i++) {
            const more = C.append(head, [Message.ofText("user", `more ${i}`)])
            now = yield* C.commit(now, { session: more })
            head = more.head
          }
        })
        const error = yield* Effect.flip(
          readingWhile(filename, pages, replacing, (reads) => Stream.runDrain(reads.history(at.runtimeId)))
        )
        assert.strictEqual(error._tag, "BodyReplaced")
      })
    ))
})
