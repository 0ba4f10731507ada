// @effect-diagnostics nodeBuiltinImport:off globalTimers:off
/** Faults of a store file: damage, other holders, full disks, failing commits. The ids are those of docs/verification/faults.md. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import { assert, describe, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { type ChildProcess, spawn } from "node:child_process"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Batch from "../../layers/internal/sqlite/batch.js"
import type { Database, SqlFault } from "../../layers/internal/sqlite/database.js"
import { encode, type Encoded } from "../../layers/internal/sqlite/encode.js"
import * as Open from "../../layers/internal/sqlite/open.js"
import * as Quarantine from "../../layers/internal/sqlite/quarantine.js"
import * as Shapes from "../../layers/internal/sqlite/shapes.js"
import type { Member } from "../../layers/internal/storeMember.js"
import * as RuntimeStoreSqlite from "../../layers/RuntimeStoreSqlite.js"
import { RuntimeStore } from "../../services/RuntimeStore.js"
import { runtimeIdOf, SessionId } from "../../src/domain/Ids.js"
import { type OpenError, StoreFull, StoreIo } from "../../src/domain/StoreErrors.js"
import * as C from "../support/commits.js"

const folder = () => fs.mkdtempSync(join(tmpdir(), "meerkat-store-"))
const child = SessionId.make("child")

const using = <A, E>(
  filename: string,
  self: Effect.Effect<A, E, RuntimeStore>,
  options: Partial<RuntimeStoreSqlite.SqliteOptions> = {}
) => Effect.provide(self, RuntimeStoreSqlite.layer({ ...options, filename }))

const opening = (filename: string, options: Partial<RuntimeStoreSqlite.SqliteOptions> = {}) =>
  Effect.exit(using(filename, Effect.void, options))

const errorOf = (exit: Exit.Exit<unknown, OpenError>): OpenError | undefined =>
  Exit.isFailure(exit) ? Option.getOrUndefined(Cause.failureOption(exit.cause)) : undefined

/** Reads the names and bytes of the folder: a refused opening must not change them. */
const snapshot = (dir: string) =>
  fs.readdirSync(dir).sort().map((name) => [name, fs.readFileSync(join(dir, name), "hex")])

const refused = (filename: string) =>
  Effect.gen(function*() {
    const dir = join(filename, "..")
    const before = snapshot(dir)
    const error = errorOf(yield* opening(filename))
    assert.deepStrictEqual(snapshot(dir), before)
    return error
  })

const edit = (filename: string, ...statements: ReadonlyArray<string>) =>
  Effect.sync(() => {
    const db = new Sqlite(filename)
    for (const sql of statements) db.exec(sql)
    db.close()
  })

/** A closed store with one session that has one ended and one open input. */
const written = Effect.gen(function*() {
  const filename = join(folder(), "s.db")
  const done = C.recordOf(0, { key: "done" })
  const open = C.recordOf(1, { key: "open" })
  yield* using(
    filename,
    Effect.gen(function*() {
      const { at } = yield* C.open(child)
      const next = yield* C.commit(at, { inputs: [C.insert(done), C.insert(open)] })
      yield* C.commit(next, C.boundary(done, C.noBody))
    })
  )
  return { filename, done, open, runtimeId: (yield* using(filename, C.open(child))).at.runtimeId }
})

interface Holder {
  readonly process: ChildProcess
  readonly kill: Effect.Effect<void>
}

/** Starts another process that commits and holds the store. */
const holder = (filename: string, commits = 3, linger = 0): Effect.Effect<Holder, string, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.async<ChildProcess, string>((resume) => {
      const script = new URL("../support/storeChild.ts", import.meta.url).pathname
      const started = spawn(process.execPath, ["--import", "tsx", script, filename, String(commits), String(linger)])
      started.stdout.on("data", (data: Buffer) => {
        const line = data.toString()
        resume(line.startsWith("ready") ? Effect.succeed(started) : Effect.fail(line))
      })
      started.on("exit", (code) => resume(Effect.fail(`ended with ${String(code)}`)))
    }),
    (started) => Effect.sync(() => started.kill("SIGKILL"))
  ).pipe(Effect.map((started) => ({
    process: started,
    kill: Effect.async<void>((resume) => {
      started.on("exit", () => resume(Effect.void))
      started.kill("SIGKILL")
    })
  })))

const inputsOf = (filename: string, options: Partial<RuntimeStoreSqlite.SqliteOptions> = {}) =>
  using(filename, Effect.map(C.imageOf(child), ({ inputs }) => inputs.length), options)

describe("a file of another kind", () => {
  it.live("S2 is refused unchanged when it is text, a truncated header or a folder", () =>
    Effect.gen(function*() {
      const filename = join(folder(), "notes.txt")
      fs.writeFileSync(filename, "dear diary, ".repeat(400))
      assert.strictEqual((yield* refused(filename))?._tag, "SchemaUnsupported")
      assert.strictEqual(errorOf(yield* opening(folder()))?._tag, "StoreUnavailable")
    }))

  it.live("S2 is refused unchanged and without new files when it is the database of another program", () =>
    Effect.gen(function*() {
      for (const mode of ["delete", "wal"]) {
        const filename = join(folder(), "other.db")
        yield* edit(filename, `PRAGMA journal_mode = ${mode}`, "CREATE TABLE t (a); INSERT INTO t VALUES (1)")
        const error = yield* refused(filename)
        assert.strictEqual(error?._tag, "SchemaUnsupported", mode)
      }
    }))

  it.live("S2 becomes a new store when it is empty", () =>
    Effect.gen(function*() {
      const filename = join(folder(), "s.db")
      fs.writeFileSync(filename, "")
      yield* using(filename, C.open(child))
    }))

  it.live("D5 is refused with the next step when the folder or the file name is missing, or names memory", () =>
    Effect.gen(function*() {
      const nowhere = errorOf(yield* opening(join(folder(), "missing", "s.db")))
      assert.strictEqual(nowhere?._tag === "StoreUnavailable" && nowhere.detail.includes("create it first"), true)
      for (const name of [":memory:", "", "  "]) {
        assert.strictEqual(errorOf(yield* opening(name))?._tag, "StoreUnavailable")
      }
    }))

  it.live("S1 is refused unchanged when its schema is newer", () =>
    Effect.gen(function*() {
      const { filename } = yield* written
      yield* edit(filename, "PRAGMA user_version = 99")
      const error = yield* refused(filename)
      assert.deepInclude(error, { _tag: "SchemaFromFuture", found: 99, supported: 1 })
    }))

  it.live("S3 is refused by the name of the table when a table was altered", () =>
    Effect.gen(function*() {
      const { filename } = yield* written
      yield* edit(filename, "ALTER TABLE known ADD COLUMN extra TEXT", "CREATE INDEX mine ON ended (doc)")
      const error = yield* refused(filename)
      assert.strictEqual(error?._tag === "SchemaUnsupported" && /known.*mine/.test(error.detail), true, String(error))
    }))

  it.live("T5 fails as corrupt when the file or a session is opened after the file was cut in half", () =>
    Effect.gen(function*() {
      const { filename } = yield* written
      fs.truncateSync(filename, Math.floor(fs.statSync(filename).size / 1024) * 512)
      const exit = yield* Effect.exit(using(filename, C.imageOf(child)))
      assert.isTrue(Exit.isFailure(exit) && Cause.isFailType(exit.cause), String(exit))
    }))
})

describe("one writer", () => {
  it.live("P4 is refused when the same process opens a store twice", () =>
    Effect.gen(function*() {
      const filename = join(folder(), "s.db")
      const error = yield* using(filename, Effect.map(opening(filename), errorOf))
      assert.strictEqual(
        error?._tag === "StoreLocked" && error.holder.includes(`process ${process.pid} `),
        true,
        String(error)
      )
      yield* using(filename, C.open(child))
    }))

  it.live("P4 is refused when the same process opens a store under another name", () =>
    Effect.gen(function*() {
      const dir = folder()
      const filename = join(dir, "s.db")
      yield* using(filename, Effect.void)
      fs.symlinkSync(filename, join(dir, "alias.db"))
      const error = yield* using(filename, Effect.map(opening(join(dir, "alias.db")), errorOf))
      assert.strictEqual(error?._tag, "StoreLocked")
    }))

  it.live("P4 is refused when the file has a hard link, since a writer under the other name would use another lock", () =>
    Effect.gen(function*() {
      const dir = folder()
      const filename = join(dir, "s.db")
      yield* using(filename, Effect.void)
      fs.linkSync(filename, join(dir, "hard.db"))
      for (const name of [filename, join(dir, "hard.db")]) {
        assert.strictEqual(errorOf(yield* opening(name))?._tag, "StoreUnavailable")
      }
    }))

  it.scopedLive("P1, P2 a second process is told who holds the store; a killed holder holds nothing", () =>
    Effect.gen(function*() {
      const filename = join(folder(), "s.db")
      const other = yield* holder(filename)
      const error = errorOf(yield* opening(filename))
      assert.strictEqual(
        error?._tag === "StoreLocked" && error.holder.includes(`process ${String(other.process.pid)} `),
        true
      )
      yield* other.kill
      assert.strictEqual(yield* inputsOf(filename), 3)
    }))

  it.live("P3 is fenced and writes nothing when its lock was taken away", () =>
    Effect.gen(function*() {
      const filename = join(folder(), "s.db")
      const first = yield* Scope.make()
      const store = yield* Effect.provide(
        RuntimeStore,
        yield* Layer.buildWithScope(RuntimeStoreSqlite.layer({ filename }), first)
      )
      const { at } = yield* Effect.provideService(C.open(child), RuntimeStore, store)
      fs.rmSync(`${filename}.lock`)
      yield* using(filename, C.open(SessionId.make("second")))
      const errors = yield* Effect.forEach([1, 2], () =>
        Effect.flip(store.commit(C.commitOf(at, { lifecycle: "stopped" }))))
      assert.deepStrictEqual(
        errors.map((error) =>
          error._tag
        ),
        ["WriterFenced", "WriterFenced"]
      )
      yield* Scope.close(first, Exit.void)
      assert.strictEqual((yield* using(filename, C.imageOf(child))).lifecycle, "idle")
    }))

  it.live("T6 replaces the lock file and ignores the anchor when they are damaged", () =>
    Effect.gen(function*() {
      const { filename } = yield* written
      fs.writeFileSync(`${filename}.lock`, "garbage ".repeat(200))
      fs.writeFileSync(`${filename}.anchor`, "{")
      assert.strictEqual(yield* inputsOf(filename), 1)
      assert.isTrue(fs.readFileSync(`${filename}.anchor`, "utf8").includes("commitSeq"))
    }))
})

describe("a store that lost acknowledged commits", () => {
  let template: string | undefined

  /** A store whose holder was killed after 20 acknowledged inputs. The process runs once; each test copies its files. */
  const killed = Effect.gen(function*() {
    if (template === undefined) {
      const dir = folder()
      yield* using(join(dir, "s.db"), Effect.void)
      yield* Effect.scoped(Effect.flatMap(holder(join(dir, "s.db"), 20, 1100), (other) => other.kill))
      template = dir
    }
    const dir = folder()
    fs.cpSync(template, dir, { recursive: true })
    return join(dir, "s.db")
  })

  const lost = (damage: (filename: string) => void, tag = "StoreRegressed") =>
    Effect.gen(function*() {
      const filename = yield* killed
      damage(filename)
      const error = errorOf(yield* opening(filename))
      assert.strictEqual(error?._tag, tag, String(error))
      yield* using(filename, Effect.void, { acceptRegress: true })
      assert.strictEqual(errorOf(yield* opening(filename)), undefined)
    })

  it.live("keeps every acknowledged input when its holder was killed", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* inputsOf(yield* killed), 20)
    }))

  it.live("T1 is refused when the end of the log is torn off", () =>
    lost((filename) => fs.truncateSync(`${filename}-wal`, fs.statSync(`${filename}-wal`).size - 700)))

  it.live("T2 is refused when a bit of the log is flipped", () =>
    lost((filename) => {
      const bytes = fs.readFileSync(`${filename}-wal`)
      const at = Math.floor(bytes.length / 2)
      bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at)
      fs.writeFileSync(`${filename}-wal`, bytes)
    }))

  it.live("T3 is refused when the log is missing", () => lost((filename) => fs.rmSync(`${filename}-wal`)))

  it.live("T3 is reported as lost when the file and its log are missing", () =>
    lost((filename) => {
      fs.rmSync(`${filename}-wal`)
      fs.rmSync(filename)
    }, "StoreLost"))

  it.live("T3 is reported as lost when the file is missing and its log is present", () =>
    lost((filename) => fs.rmSync(filename), "StoreLost"))
})

describe("rows that cannot be read", () => {
  const spoil = (table: string) => `UPDATE ${table} SET doc = replace(doc, 'a', 'b')`

  it.live("R1 opens the session, refuses the key and sets the row aside when a terminal row is damaged", () =>
    Effect.gen(function*() {
      const { done, filename, runtimeId } = yield* written
      yield* edit(filename, spoil("ended"))
      yield* using(
        filename,
        Effect.gen(function*() {
          const store = yield* RuntimeStore
          const { at } = yield* C.open(child)
          assert.strictEqual((yield* Effect.flip(store.terminalInput(runtimeId, done.inputId)))._tag, "StoreCorrupt")
          assert.strictEqual((yield* Effect.flip(store.findKey(runtimeId, "done")))._tag, "StoreCorrupt")
          assert.strictEqual(Chunk.size(yield* Stream.runCollect(store.inputs(runtimeId))), 1)
          assert.deepStrictEqual((yield* store.quarantined).map(({ table }) => table), ["ended"])
          yield* C.commit(at, {})
        })
      )
      const aside = yield* using(filename, Effect.flatMap(RuntimeStore, (store) => store.quarantined))
      assert.deepStrictEqual(aside.map(({ table }) => table), ["ended"])
    }))

  it.live("R1 sets the last terminal row aside and lists the others when its number of inputs is wrong", () =>
    Effect.gen(function*() {
      const { filename, runtimeId } = yield* written
      yield* edit(filename, "UPDATE ended SET inputs = inputs + 1")
      yield* using(
        filename,
        Effect.gen(function*() {
          const store = yield* RuntimeStore
          assert.strictEqual(Chunk.size(yield* Stream.runCollect(store.inputs(runtimeId))), 1)
          assert.deepStrictEqual((yield* store.quarantined).map(({ table }) => table), ["ended"])
        })
      )
    }))

  it.live("R1 does not take an ended input for an open one when its row was altered", () =>
    Effect.gen(function*() {
      const { done, filename, runtimeId } = yield* written
      yield* edit(filename, `UPDATE known SET ended = NULL WHERE id = '${done.inputId}'`)
      const told = using(
        filename,
        Effect.flatMap(RuntimeStore, (store) => store.terminalInput(runtimeId, done.inputId))
      )
      const error = yield* Effect.flip(told)
      assert.strictEqual(error._tag, "StoreCorrupt")
    }))

  it.live("R2 reports the row in the image of its session and keeps it when an open input is damaged", () =>
    Effect.gen(function*() {
      const { filename, open } = yield* written
      yield* edit(filename, "UPDATE input_open SET payload = '{}'")
      yield* using(
        filename,
        Effect.gen(function*() {
          const image = yield* C.imageOf(child)
          assert.deepInclude(image.corrupt[0], { table: "input_open", key: open.inputId })
          assert.deepStrictEqual((yield* C.imageOf(SessionId.make("other"))).corrupt, [])
        })
      )
    }))

  it.live("R2 reports the row in the image when the facts of an open input are damaged", () =>
    Effect.gen(function*() {
      const { filename } = yield* written
      yield* edit(filename, "UPDATE input_open SET facts = '{}'")
      assert.strictEqual((yield* using(filename, C.imageOf(child))).corrupt.length, 1)
    }))

  it.live("R3 fails the read of the body when a message is damaged", () =>
    Effect.gen(function*() {
      const { filename, runtimeId } = yield* written
      yield* edit(filename, spoil("message"))
      const read = Effect.flatMap(RuntimeStore, (store) => Stream.runCollect(store.history(runtimeId)))
      assert.strictEqual((yield* Effect.flip(using(filename, read)))._tag, "StoreCorrupt")
    }))

  it.live("T4 fails the read of the body when a bit of a message is flipped in the file", () =>
    Effect.gen(function*() {
      const { filename, runtimeId } = yield* written
      const bytes = fs.readFileSync(filename)
      bytes.write("Qaris", bytes.indexOf("\"Paris.\"}]") + 1)
      fs.writeFileSync(filename, bytes)
      const read = Effect.flatMap(RuntimeStore, (store) => Stream.runCollect(store.history(runtimeId)))
      assert.strictEqual((yield* Effect.flip(using(filename, read)))._tag, "StoreCorrupt")
    }))
})

/** Opens a session while another connection holds the write lock of the file. */
const besideWriter = <A, E>(
  body: (at: C.Cursor, other: Sqlite.Database) => Effect.Effect<A, E, RuntimeStore>,
  options: Partial<RuntimeStoreSqlite.SqliteOptions> = {}
) => {
  const filename = join(folder(), "s.db")
  return using(
    filename,
    Effect.gen(function*() {
      const { at } = yield* C.open(child)
      const other = new Sqlite(filename)
      other.exec("BEGIN IMMEDIATE")
      return yield* body(at, other)
    }),
    options
  )
}

describe("a file in use by another program", () => {
  it.live("B1 delays a commit without blocking the event loop when the program writes", () =>
    besideWriter((at, other) =>
      Effect.gen(function*() {
        let ticks = 0
        const timer = setInterval(() => ticks++, 10)
        setTimeout(() => other.exec("COMMIT"), 200)
        yield* C.commit(at, {})
        clearInterval(timer)
        other.close()
        assert.isAtLeast(ticks, 8)
      })
    ))

  it.live("B1 returns the waiting commit as the witness when the witness is read during the wait", () =>
    besideWriter((at, other) =>
      Effect.gen(function*() {
        const store = yield* RuntimeStore
        const commit = C.commitOf(at)
        const writing = yield* Effect.fork(store.commit(commit))
        yield* Effect.sleep("50 millis")
        const asking = yield* Effect.fork(store.witness(at.runtimeId))
        yield* Effect.sleep("50 millis")
        assert.isNull(asking.unsafePoll())
        other.close()
        yield* Fiber.join(writing)
        assert.strictEqual(Option.getOrThrow(yield* Fiber.join(asking)).lastRequestId, commit.requestId)
      })
    ))

  it.live("B2 fails a commit as busy without a write when the program writes for longer than the patience", () =>
    besideWriter((at, other) =>
      Effect.gen(function*() {
        const error = yield* C.refusal(at, {})
        other.close()
        assert.strictEqual(error._tag, "StoreBusy")
        yield* C.commit(at, {})
      }), { busyPatience: "100 millis" }))

  it.live("W1 reports the decided commit as the witness when the commit exceeded its deadline", () =>
    besideWriter((at, other) =>
      Effect.gen(function*() {
        const error = yield* C.refusal(at, {})
        assert.strictEqual(error._tag, "StoreOutcomeUnknown")
        setTimeout(() => other.exec("COMMIT"), 200)
        const witness = yield* Effect.flatMap(RuntimeStore, (store) => store.witness(at.runtimeId))
        other.close()
        assert.strictEqual(Option.getOrThrow(witness).revision, at.basis + 1)
      }), { commitDeadline: "50 millis" }))

  it.live("B4, P5 keeps the snapshot of a reader when the store commits and closes", () =>
    Effect.gen(function*() {
      const { filename } = yield* written
      const reader = yield* using(
        filename,
        Effect.gen(function*() {
          const other = new Sqlite(filename, { readonly: true })
          const count = other.prepare("SELECT revision FROM runtime")
          other.exec("BEGIN")
          const before = count.get()
          const { at } = yield* C.open(child)
          yield* C.commit(at, {})
          assert.deepStrictEqual(count.get(), before)
          return other
        })
      )
      reader.close()
      yield* using(filename, C.open(child))
    }))

  it.live("D1 fails the large commit of a batch as full and stores the small one when there is no room", () =>
    Effect.gen(function*() {
      const filename = join(folder(), "s.db")
      yield* using(
        filename,
        Effect.gen(function*() {
          const { at: small } = yield* C.open(child)
          const { at: big } = yield* C.open(SessionId.make("big"))
          const batch = [
            C.commit(big, { inputs: [C.insert(C.recordOf(0, { text: "x".repeat(600_000) }))] }),
            C.commit(small, { inputs: [C.insert(C.recordOf(0))] })
          ]
          const [full, fits] = yield* Effect.all(batch.map(Effect.exit), { concurrency: "unbounded" })
          assert.isTrue(
            full !== undefined && Exit.isFailure(full) && Cause.isFailType(full.cause) &&
              full.cause.error._tag === "StoreFull",
            String(full)
          )
          assert.isTrue(fits !== undefined && Exit.isSuccess(fits), String(fits))
          yield* C.commit(big, { inputs: [C.insert(C.recordOf(0))] })
        }),
        { maxFileBytes: 300_000 }
      )
    }))
})

describe("D3 a COMMIT that fails", () => {
  type Fake = (real: Database) => Partial<Database>

  const fault = new StoreIo({ operation: "COMMIT", code: "SQLITE_IOERR_FSYNC", detail: "fsync" })

  /** Writes batches of one member to a file with a faulty connection. */
  const writing = (fake: Fake) =>
    Effect.gen(function*() {
      const filename = join(folder(), "s.db")
      const file = yield* Open.open({
        filename,
        acceptRegress: false,
        check: "never",
        freshId: C.uuid(),
        maxFileBytes: undefined
      })
      const shapes = yield* Shapes.make(file.writer)
      const faulty = { ...file, writer: { ...file.writer, ...fake(file.writer) } }
      const batch = yield* Batch.make(faulty, Quarantine.make(), shapes, Duration.millis(10))
      const write = (member: Member<Encoded>) =>
        batch.begin((self) => self).pipe(
          Effect.zipRight(batch.write([member])),
          Effect.map(([answer]) =>
            answer === undefined ? "" : Exit.match(answer, { onSuccess: () => "acknowledged", onFailure: tagOf })
          )
        )
      return { file, shapes, write }
    })

  const at = { sessionId: child, runtimeId: runtimeIdOf(child), incarnation: 1 }

  const opened: Member<Encoded> = {
    _tag: "Open",
    runtimeId: at.runtimeId,
    bytes: 0,
    decide: () => Either.right(C.commitOf({ ...at, basis: 0 }))
  }

  /** Returns the answer to a commit with the faulty connection, and the number of stored rows. */
  const answered = (fake: Fake) =>
    Effect.gen(function*() {
      const { file, write } = yield* writing(fake)
      const answer = yield* write(opened)
      const rows = yield* file.writer.all("SELECT revision FROM runtime")
      return [answer, rows.length]
    }).pipe(Effect.scoped, Effect.provide([NodeFileSystem.layer, NodePath.layer]))

  const tagOf = (cause: Cause.Cause<{ readonly _tag: string }>) => cause._tag === "Fail" ? cause.error._tag : cause._tag

  const onCommit = (real: Database, instead: string, error: SqlFault = fault): Pick<Database, "run"> => ({
    run: (sql, params) =>
      sql === "COMMIT" ? Effect.zipRight(real.run(instead), Effect.fail(error)) : real.run(sql, params)
  })

  it.live("answers unknown after an error of the medium when it happened", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* answered((real) => onCommit(real, "COMMIT")), ["StoreOutcomeUnknown", 1])
    }))

  it.live("answers unknown after an error of the medium when SQLite rolled it back", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* answered((real) => onCommit(real, "ROLLBACK")), ["StoreOutcomeUnknown", 0])
    }))

  it.live("answers unknown after an error of the medium when the transaction is still open", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* answered((real) => onCommit(real, "SELECT 1")), ["StoreOutcomeUnknown", 0])
    }))

  it.live("tries COMMIT once and opens the file again after an error of the medium", () =>
    Effect.gen(function*() {
      const ran: Array<string> = []
      const { file, write } = yield* writing((real) => ({
        run: (sql, params) => {
          ran.push(sql)
          return onCommit(real, "ROLLBACK").run(sql, params)
        }
      }))
      yield* file.writer.run("CREATE TEMP TABLE of_this_connection (a)")
      assert.strictEqual(yield* write(opened), "StoreOutcomeUnknown")
      assert.strictEqual(ran.filter((sql) => sql === "COMMIT").length, 1)
      const error = yield* Effect.flip(file.writer.all("SELECT * FROM of_this_connection"))
      assert.isTrue("detail" in error && error.detail.includes("no such table"), String(error))
      assert.deepStrictEqual(yield* file.reader.all("SELECT revision FROM runtime"), [])
    }).pipe(Effect.scoped, Effect.provide([NodeFileSystem.layer, NodePath.layer])))

  it.live("answers full when the transaction was rolled back because the disk is full", () =>
    Effect.gen(function*() {
      const full = new StoreFull({ operation: "COMMIT", detail: "disk full" })
      assert.deepStrictEqual(yield* answered((real) => onCommit(real, "ROLLBACK", full)), ["StoreFull", 0])
    }))

  it.live("answers unknown when the witness cannot be read", () =>
    Effect.gen(function*() {
      const blind: Fake = (real) => ({
        ...onCommit(real, "COMMIT"),
        all: (sql, params) => sql.includes("last_request_id") ? Effect.fail(fault) : real.all(sql, params)
      })
      assert.deepStrictEqual(yield* answered(blind), ["StoreOutcomeUnknown", 1])
    }))

  it.live("accepts the next commit on the stored revision when the unknown commit happened", () =>
    Effect.gen(function*() {
      let blind = false
      const { file, shapes, write } = yield* writing((real) => ({
        run: (sql, params) => blind ? onCommit(real, "COMMIT").run(sql, params) : real.run(sql, params),
        all: (sql, params) =>
          blind && sql.startsWith("SELECT last_request_id") ? Effect.fail(fault) : real.all(sql, params)
      }))
      const insert = (basis: number) => {
        const commit = C.commitOf({ ...at, basis }, { inputs: [C.insert(C.recordOf(basis - 1))] })
        return write({ _tag: "Commit", runtimeId: at.runtimeId, commit, ...encode(shapes)(commit) })
      }
      yield* write(opened)
      blind = true
      assert.strictEqual(yield* insert(1), "StoreOutcomeUnknown")
      blind = false
      assert.strictEqual(yield* insert(2), "acknowledged")
      const rows = yield* file.writer.all("SELECT revision, commit_seq FROM runtime")
      assert.deepStrictEqual(rows.map((row) => [row["revision"], row["commit_seq"]]), [[3, 3]])
    }).pipe(Effect.scoped, Effect.provide([NodeFileSystem.layer, NodePath.layer])))
})

describe("a commit that cannot be encoded", () => {
  it.scopedLive("is refused and does not block the next commit", () =>
    using(
      join(folder(), "s.db"),
      Effect.gen(function*() {
        const { at } = yield* C.open(child)
        const value = {
          get part(): string {
            throw new Error("it has no end")
          }
        }
        const error = yield* C.refusal(at, { slices: [{ name: "mine", value }] })
        assert.deepInclude(error, { _tag: "CommitUnencodable" })
        yield* C.commit(at, {})
      })
    ))
})
