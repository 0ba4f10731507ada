// @effect-diagnostics nodeBuiltinImport:off
/**
 * Recovery of files whose bytes were changed. A session with rows that cannot be trusted is refused; other sessions
 * open.
 */
import { assert, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { sumOf } from "../../layers/internal/sqlite/digest.js"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import * as RuntimeStoreSqlite from "../../layers/RuntimeStoreSqlite.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import { SessionId } from "../../src/domain/Ids.js"
import { inputId, prompt } from "../support/inputs.js"

const A = SessionId.make("A")
const other = SessionId.make("other")

/** Runs the body in a machine of its own on a file. The machine closes at the end. */
const process_ = <X, E>(filename: string, body: Effect.Effect<X, E, MeerkatMachine>) =>
  body.pipe(
    Effect.provide(Layer.fresh(Layer.provide(MeerkatMachineLive.layer, RuntimeStoreSqlite.layer({ filename })))),
    Effect.provide(Logger.remove(Logger.defaultLogger))
  )

/** A file with a session of three queued inputs, and another session. */
const written = Effect.gen(function*() {
  const filename = join(fs.mkdtempSync(join(tmpdir(), "meerkat-recovery-")), "s.db")
  yield* process_(
    filename,
    Effect.gen(function*() {
      const machine = yield* MeerkatMachine
      yield* machine.registerSession(A)
      for (const n of [1, 2, 3]) yield* machine.acceptInput(A, prompt(n))
      yield* machine.registerSession(other)
      yield* machine.acceptInput(other, prompt(4))
    })
  )
  return filename
})

const edit = (filename: string, change: (db: Sqlite.Database) => void) =>
  Effect.sync(() => {
    const db = new Sqlite(filename)
    change(db)
    db.close()
  })

const rowsOf = (filename: string) =>
  Effect.sync(() => {
    const db = new Sqlite(filename, { readonly: true })
    const rows = db.prepare("SELECT * FROM input_open ORDER BY key").all()
    db.close()
    return rows
  })

/**
 * Checks that the session is refused, that its rows stay as they are, and that the other session registers.
 * Returns the error.
 */
const refused = (filename: string) =>
  Effect.gen(function*() {
    const before = yield* rowsOf(filename)
    const error = yield* process_(
      filename,
      Effect.gen(function*() {
        const machine = yield* MeerkatMachine
        const failure = yield* Effect.flip(machine.registerSession(A))
        assert.isFalse(yield* machine.containsSession(A))
        yield* machine.registerSession(other)
        assert.deepStrictEqual(yield* machine.listActiveInputs(other), [inputId(4)])
        return failure
      })
    )
    assert.deepStrictEqual(yield* rowsOf(filename), before)
    return error._tag === "RecoveryCorruption" ? error : yield* Effect.dieMessage(error._tag)
  })

// The text of the row is overridden: the error is typed and names the table, the row and the reason.
it.live("RCV-12 in the file: an open input without its payload is refused", () =>
  Effect.gen(function*() {
    const filename = yield* written
    yield* edit(filename, (db) => db.exec(`UPDATE input_open SET payload = '' WHERE input_id = '${inputId(2)}'`))
    const error = yield* refused(filename)
    assert.deepStrictEqual([error.table, error.key], ["input_open", inputId(2)])
  }))

it.live("RCV-16 in the file: a session is refused when its third row has a flipped bit", () =>
  Effect.gen(function*() {
    const filename = yield* written
    const bytes = fs.readFileSync(filename)
    const at = bytes.indexOf("prompt 3")
    assert.isAbove(at, 0)
    bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at)
    fs.writeFileSync(filename, bytes)
    assert.strictEqual((yield* refused(filename)).key, inputId(3))
  }))

for (const lifecycle of ["stopped", "destroyed"] as const) {
  it.live(`RCV-17 in the file: a ${lifecycle} session with open inputs is refused`, () =>
    Effect.gen(function*() {
      const filename = yield* written
      yield* edit(filename, (db) => {
        // The changed row gets a correct checksum, as if its author knew the format. The sum covers the columns before
        // it.
        const columns = db.pragma("table_info(runtime)") as ReadonlyArray<{ readonly name: string }>
        const all = columns.map(({ name }) => name)
        const names = all.slice(0, all.indexOf("sum"))
        const read = db.prepare(`SELECT ${names.join(", ")} FROM runtime WHERE session_id = 'A'`).raw()
        const row = (read.get() as ReadonlyArray<unknown>).map((value, n) =>
          names[n] === "lifecycle" ? lifecycle : value
        )
        db.prepare("UPDATE runtime SET lifecycle = ?, sum = ? WHERE session_id = 'A'").run(
          lifecycle,
          sumOf(JSON.stringify(row))
        )
      })
      const error = yield* refused(filename)
      assert.include(error.reason, lifecycle)
      assert.include(error.reason, "3 open inputs")
    }))
}

it.live("RCV-24 in the file: a row that cannot be decoded fails the registration", () =>
  Effect.gen(function*() {
    const filename = yield* written
    yield* edit(filename, (db) => db.exec(`UPDATE input_open SET facts = '{"at"' WHERE input_id = '${inputId(2)}'`))
    assert.strictEqual((yield* refused(filename)).key, inputId(2))
  }))
