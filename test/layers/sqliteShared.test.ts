// @effect-diagnostics nodeBuiltinImport:off
/** Sessions share tables: a damaged row fails only the look-ups of the sessions that may own it. */
import { assert, describe, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import * as RuntimeStoreSqlite from "../../layers/RuntimeStoreSqlite.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import { RuntimeStore } from "../../services/RuntimeStore.js"
import * as Turn from "../../services/Turn.js"
import { InputId, runtimeIdOf, SessionId } from "../../src/domain/Ids.js"
import * as C from "../support/commits.js"

const [first, middle, last] = [SessionId.make("first"), SessionId.make("middle"), SessionId.make("last")]
const sessions = [first, middle, last]

const using = <A, E>(filename: string, self: Effect.Effect<A, E, RuntimeStore>) =>
  Effect.provide(self, RuntimeStoreSqlite.layer({ filename }))

const idOf = (start: string) => InputId.make(`${start}${C.uuid().slice(start.length)}`)

/** One ended input with a key for each session; ids and keys in the order of the sessions. */
const written = Effect.gen(function*() {
  const filename = join(fs.mkdtempSync(join(tmpdir(), "meerkat-shared-")), "s.db")
  const records = [
    C.recordOf(0, { key: "k", id: idOf("10") }),
    C.recordOf(0, { key: "k", id: idOf("50") }),
    C.recordOf(0, { key: "k", id: idOf("90") })
  ]
  yield* using(
    filename,
    Effect.forEach(sessions, (session, i) =>
      Effect.gen(function*() {
        const { at } = yield* C.open(session)
        const record = records[i] ?? C.recordOf(0)
        const next = yield* C.commit(at, { inputs: [C.insert(record)] })
        return yield* C.commit(next, C.boundary(record, C.noBody))
      }))
  )
  return { filename, records }
})

const edit = (filename: string, sql: string, ...params: ReadonlyArray<unknown>) =>
  Effect.sync(() => {
    const db = new Sqlite(filename)
    db.pragma("foreign_keys = OFF")
    db.prepare(sql).run(...params)
    db.close()
  })

const tagOf = <A, E extends { readonly _tag: string }>(exit: Exit.Exit<A, E>) =>
  Exit.isSuccess(exit) ? "Success" : exit.cause._tag === "Fail" ? exit.cause.error._tag : String(exit.cause)

/** Looks up a new key in every session; returns the results. */
const keyed = (filename: string, key = "new") =>
  using(
    filename,
    Effect.flatMap(RuntimeStore, (store) =>
      Effect.forEach(sessions, (session) =>
        Effect.map(Effect.exit(store.findKey(runtimeIdOf(session), key)), tagOf)))
  )

/** Looks up an unknown input id in every session; returns the results. */
const byId = (filename: string, id: InputId) =>
  using(
    filename,
    Effect.flatMap(RuntimeStore, (store) =>
      Effect.forEach(sessions, (session) =>
        Effect.map(Effect.exit(store.terminalInput(runtimeIdOf(session), id)), tagOf)))
  )

describe("a damaged row of a key", () => {
  // a damaged row without a valid session may belong to each session next to it in the index
  // "new" sorts after "k": the row of the same session is below that place, the row of the next session above it
  const damages: ReadonlyArray<readonly [string, string, ReadonlyArray<string>]> = [
    ["its sum", "UPDATE dedup_key SET sum = sum + 1 WHERE rt = 2", ["Success", "StoreCorrupt", "Success"]],
    ["its input", "UPDATE dedup_key SET input_id = 'x' WHERE rt = 2", ["Success", "StoreCorrupt", "Success"]],
    ["its key", "UPDATE dedup_key SET key = 'l' WHERE rt = 2", ["Success", "StoreCorrupt", "Success"]],
    ["its session", "UPDATE dedup_key SET rt = 3, key = 'o' WHERE rt = 2", ["Success", "Success", "StoreCorrupt"]],
    ["its session, to one that does not exist", "UPDATE dedup_key SET rt = 9 WHERE rt = 3", [
      "Success",
      "StoreCorrupt",
      "StoreCorrupt"
    ]]
  ]
  for (const [what, sql, tags] of damages) {
    it.live(`findKey fails for the session that it may be about when ${what} was damaged`, () =>
      Effect.gen(function*() {
        const { filename } = yield* written
        assert.deepStrictEqual(yield* keyed(filename), ["Success", "Success", "Success"])
        yield* edit(filename, sql)
        assert.deepStrictEqual(yield* keyed(filename), tags)
      }))
  }
})

describe("a damaged row of an input", () => {
  for (
    const [what, sql] of [
      ["its sum", "UPDATE known SET sum = sum + 1 WHERE rt = 2 AND sequence = -1"],
      ["its end", "UPDATE known SET ended = 7 WHERE rt = 2 AND sequence = -1"]
    ] as const
  ) {
    it.live(`terminalInput fails for its session alone when ${what} was damaged`, () =>
      Effect.gen(function*() {
        const { filename } = yield* written
        // keeps only the rows next to the damaged row, whose id begins with 50: runs have other ids
        yield* edit(filename, "DELETE FROM known WHERE sequence >= 0")
        const near = idOf("51")
        assert.deepStrictEqual(yield* byId(filename, near), ["Success", "Success", "Success"])
        yield* edit(filename, sql)
        assert.deepStrictEqual(yield* byId(filename, near), ["Success", "StoreCorrupt", "Success"])
      }))
  }

  it.live("terminalInput fails for a session when the session of its row was damaged", () =>
    Effect.gen(function*() {
      const { filename, records } = yield* written
      yield* edit(filename, "UPDATE known SET rt = 3 WHERE rt = 2 AND sequence = -1")
      const id = records[1]?.inputId ?? C.inputId()
      const [, found, other] = yield* byId(filename, id)
      assert.deepStrictEqual([found, other], ["StoreCorrupt", "StoreCorrupt"])
    }))
})

it.live("commits of a batch succeed when one of them trims a row with invalid JSON", () =>
  Effect.gen(function*() {
    const { filename } = yield* written
    yield* edit(filename, "UPDATE ended SET doc = substr(doc, 2) WHERE key / 268435456 = 2")
    yield* using(
      filename,
      Effect.gen(function*() {
        const cursors = yield* Effect.forEach(sessions, (session) => Effect.map(C.open(session), (_) => _.at))
        yield* Effect.forEach(cursors, (at) => C.commit(at, { retainTerminal: 0 }), { concurrency: "unbounded" })
      })
    )
    const rows = new Sqlite(filename)
    assert.strictEqual(rows.prepare("SELECT count(*) FROM ended").pluck().get(), 0)
    rows.close()
  }))

describe("a key with half of a character that an earlier version stored", () => {
  const half = "k\ud83d"

  /** Writes the key as the earlier version did: invalid UTF-8 bytes, with the sum of valid text. */
  const legacy = Effect.gen(function*() {
    const { filename } = yield* written
    const id = idOf("55")
    const sum = (text: string) => createHash("sha256").update(text).digest().readUIntBE(0, 6)
    yield* edit(filename, "INSERT INTO dedup_key VALUES (2, ?, ?, ?)", half, id, sum(`2\n${half}\n${id}`))
    return filename
  })

  it.live("findKey answers every session when one session has the key", () =>
    Effect.gen(function*() {
      const filename = yield* legacy
      for (const key of ["k\ud83c", "ka", "l", "\u0000", "k\ufffd"]) {
        assert.deepStrictEqual(yield* keyed(filename, key), ["Success", "Success", "Success"], JSON.stringify(key))
      }
    }))

  it.live("keyed prompts of every session are answered when the process restarts", () =>
    Effect.gen(function*() {
      const filename = yield* legacy
      for (const key of ["one", "two"]) {
        yield* Effect.gen(function*() {
          const machine = yield* MeerkatMachine
          for (const session of sessions) {
            yield* machine.ensureSessionWithExecutor(session, { apply: () => Effect.succeed(Turn.reply("yes")) })
            const { completion } = yield* machine.session(session).prompt("hello", { idempotencyKey: key })
            assert.strictEqual((yield* completion.wait)._tag, "Completed")
          }
        }).pipe(
          Effect.provide(Layer.fresh(Layer.provide(MeerkatMachineLive.layer, RuntimeStoreSqlite.layer({ filename }))))
        )
      }
    }))

  it.live("an open input is opened and listed with valid text when its key has half a character", () =>
    Effect.gen(function*() {
      const { filename } = yield* written
      const record = C.recordOf(1, { key: "kk", text: "hi" })
      yield* using(filename, Effect.flatMap(C.open(middle), ({ at }) => C.commit(at, { inputs: [C.insert(record)] })))
      // writes the half as JSON.stringify escapes it, in facts and texts, with matching digests
      const db = new Sqlite(filename)
      const column = (name: string) =>
        String(db.prepare(`SELECT ${name} FROM input_open JOIN shape ON id = input_open.shape`).pluck().get())
      const row = { key: Number(column("key")), facts: column("facts"), payload: column("payload"), doc: column("doc") }
      const [facts, payload] = [row.facts, row.payload].map((text) => text.replaceAll("\"kk\"", "\"k\\ud83d\""))
      const digest = createHash("sha256").update(payload ?? "").digest()
      digest.writeInt32LE(digest.readInt32LE(0) ^ (row.key | 0), 0)
      digest.writeInt32LE(digest.readInt32LE(4) ^ Math.floor(row.key / 2 ** 32), 4)
      const sum = createHash("sha256").update(`${record.inputId}\n${row.doc}\n${facts}`).digest().readUIntBE(0, 6)
      db.prepare("UPDATE input_open SET facts = ?, payload = ?, digest = ?, sum = ?").run(facts, payload, digest, sum)
      db.close()
      const { corrupt, inputs } = yield* using(filename, C.imageOf(middle))
      assert.deepStrictEqual([corrupt, inputs.map((_) => _.idempotencyKey)], [[], ["k\ufffd"]])
    }))
})

it.live("the error is one short sentence when a row is damaged", () =>
  Effect.gen(function*() {
    const { filename, records } = yield* written
    const db = new Sqlite(filename)
    const column = (name: string) =>
      String(db.prepare(`SELECT ${name} FROM ended WHERE key / 268435456 = 2`).pluck().get())
    const place = ["key", "has_receipt", "ordinal", "inputs"].map((name) => Number(column(name)))
    // the digest is correct, but this version cannot decode the row
    const doc = column("doc").replace("\"sequence\":0", "\"sequence\":-1")
    const digest = createHash("sha256").update(doc).digest()
    for (const [i, n] of place.entries()) {
      digest.writeInt32LE(digest.readInt32LE(i * 8) ^ (n | 0), i * 8)
      digest.writeInt32LE(digest.readInt32LE(i * 8 + 4) ^ Math.floor(n / 2 ** 32), i * 8 + 4)
    }
    db.prepare("UPDATE ended SET doc = ?, digest = ? WHERE key = ?").run(doc, digest, place[0])
    db.close()
    const id = records[1]?.inputId ?? C.inputId()
    const error = yield* Effect.flip(
      using(filename, Effect.flatMap(RuntimeStore, (store) => store.terminalInput(runtimeIdOf(middle), id)))
    )
    assert.strictEqual(error._tag, "StoreCorrupt")
    assert.include(error.message, `ended ${place[0]}`)
    assert.include(error.message, "receipt.sequence: ")
    assert.notInclude(error.message, "\n")
    assert.isBelow(error.message.length, 300)
  }))
