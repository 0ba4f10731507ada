// @effect-diagnostics nodeBuiltinImport:off
/** The contract of a runtime store, run against the store in memory and the store in SQLite. */
import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as RuntimeStoreMemory from "../../layers/RuntimeStoreMemory.js"
import * as RuntimeStoreSqlite from "../../layers/RuntimeStoreSqlite.js"
import { RuntimeStore } from "../../services/RuntimeStore.js"
import { type InputId, OperationId, RuntimeId, runtimeIdOf, SessionId, Sha256 } from "../../src/domain/Ids.js"
import type { InputRecord } from "../../src/domain/InputRecord.js"
import * as Message from "../../src/domain/Message.js"
import type { CompletionEntry, FeedCursors, OperationKind, OperationRecord } from "../../src/domain/Operation.js"
import type { RuntimeCommit, SessionHead } from "../../src/domain/RuntimeCommit.js"
import { isRetryable, type OpenError } from "../../src/domain/StoreErrors.js"
import * as C from "../support/commits.js"

const folder = mkdtempSync(join(tmpdir(), "meerkat-contract-"))

const backends: ReadonlyArray<readonly [string, Layer.Layer<RuntimeStore, OpenError>]> = [
  ["memory", RuntimeStoreMemory.layer],
  ["sqlite", RuntimeStoreSqlite.layer({ filename: join(folder, "store.db") })]
]

const texts = (messages: Iterable<Message.Message>) => Array.from(messages, ({ blocks }) => Message.textOf(blocks))

const historyOf = (runtimeId: RuntimeId, from?: number) =>
  Effect.flatMap(RuntimeStore, (store) => Effect.map(Stream.runCollect(store.history(runtimeId, from)), texts))

const accepted = (record: InputRecord) =>
  Effect.flatMap(C.open(C.sessionId()), ({ at }) => C.commit(at, { inputs: [C.insert(record)] }))

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

for (const [name, layer] of backends) {
  it.layer(layer)(`RuntimeStore over ${name}`, (it) => {
    describe("commits", () => {
      it.effect("STO-01 body, receipt and inputs of a boundary are read back unchanged", () =>
        Effect.gen(function*() {
          const store = yield* RuntimeStore
          const record = C.recordOf(0, { text: "two words", key: "k" })
          const at = yield* accepted(record)
          const run = C.runId()
          const parts = C.boundary(record, C.noBody, "one answer", run)
          yield* C.commit(at, { ...parts, lifecycle: "retired" })
          const receipt = yield* store.receipt(at.runtimeId, run, 0)
          assert.deepStrictEqual(Option.getOrThrow(receipt).receipt, parts.receipt?.receipt)
          const row = Option.getOrThrow(yield* store.terminalInput(at.runtimeId, record.inputId))
          assert.deepStrictEqual(row, {
            ...C.terminalOf(record, run),
            outcome: { _tag: "Completed", result: { text: "one answer" } }
          })
          assert.deepStrictEqual(yield* historyOf(at.runtimeId), ["two words", "one answer"])
          const image = yield* C.imageOf(at.sessionId)
          assert.deepStrictEqual(image.head, parts.session.head)
          assert.strictEqual(image.lifecycle, "retired")
          assert.deepStrictEqual(image.inputs, [])
          assert.strictEqual(image.nextAdmissionSeq, 1)
        }))

      it.effect("STO-02 nothing is written when one part of a commit is refused", () =>
        Effect.gen(function*() {
          const store = yield* RuntimeStore
          const record = C.recordOf(0)
          const at = yield* accepted(record)
          const run = C.runId()
          const parts = C.boundary(record, C.noBody, "answer", run)
          const error = yield* C.refusal(at, {
            ...parts,
            lifecycle: "stopped",
            inputs: [...parts.inputs ?? [], { _tag: "Update", facts: C.recordOf(7) }]
          })
          assert.strictEqual(error._tag, "InputConflict")
          assert.isTrue(Option.isNone(yield* store.receipt(at.runtimeId, run, 0)))
          assert.isTrue(Option.isNone(yield* store.terminalInput(at.runtimeId, record.inputId)))
          assert.deepStrictEqual(yield* historyOf(at.runtimeId), [])
          const image = yield* C.imageOf(at.sessionId)
          assert.strictEqual(image.lifecycle, "idle")
          assert.deepStrictEqual(image.inputs, [record])
        }))

      it.effect("STO-03 a commit for the runtime of another session is refused and nothing is written", () =>
        Effect.gen(function*() {
          const { at } = yield* C.open(C.sessionId())
          const error = yield* C.refusal({ ...at, sessionId: C.sessionId() }, { lifecycle: "retired" })
          assert.strictEqual(error._tag, "CommitRefused")
          assert.strictEqual((yield* C.imageOf(at.sessionId)).lifecycle, "idle")
        }))

      it.effect("STO-04 receipts (run, 0) and (run, 1) are independent", () =>
        Effect.gen(function*() {
          const store = yield* RuntimeStore
          const run = C.runId()
          const [a, b] = [C.recordOf(0), C.recordOf(1)]
          const at = yield* Effect.flatMap(accepted(a), (at) => C.commit(at, { inputs: [C.insert(b)] }))
          const first = C.boundary(a, C.noBody, "first", run)
          const next = yield* C.commit(at, first)
          const second = C.boundary(b, first.session.head, "second", run)
          const receipt = second.receipt ?? assert.fail("a boundary has a receipt")
          yield* C.commit(next, { ...second, receipt: { ...receipt, receipt: { ...receipt.receipt, sequence: 1 } } })
          const both = yield* Stream.runCollect(store.receipts(at.runtimeId))
          assert.deepStrictEqual(Array.from(both, ({ outcome }) => outcome), [
            { _tag: "Completed", result: { text: "first" } },
            { _tag: "Completed", result: { text: "second" } }
          ])
          assert.strictEqual(Option.getOrThrow(yield* store.receipt(at.runtimeId, run, 1)).receipt.messageCount, 4)
        }))

      it.effect("STO-05 another receipt of the same run and sequence is refused with the rest of its commit", () =>
        Effect.gen(function*() {
          const run = C.runId()
          const [a, b] = [C.recordOf(0), C.recordOf(1)]
          const at = yield* Effect.flatMap(accepted(a), (at) => C.commit(at, { inputs: [C.insert(b)] }))
          const first = C.boundary(a, C.noBody, "first", run)
          const next = yield* C.commit(at, first)
          const error = yield* C.refusal(next, C.boundary(b, first.session.head, "second", run))
          assert.strictEqual(error._tag, "ReceiptConflict")
          assert.deepStrictEqual((yield* C.imageOf(at.sessionId)).inputs, [b])
          assert.strictEqual((yield* historyOf(at.runtimeId)).length, 2)
        }))

      it.effect("STO-06 a repeated receipt is accepted and stored once", () =>
        Effect.gen(function*() {
          const store = yield* RuntimeStore
          const record = C.recordOf(0)
          const at = yield* accepted(record)
          const parts = C.boundary(record, C.noBody)
          const next = yield* C.commit(at, parts)
          yield* C.commit(next, parts.receipt === undefined ? {} : { receipt: parts.receipt, lifecycle: "stopped" })
          assert.strictEqual(Chunk.size(yield* Stream.runCollect(store.receipts(at.runtimeId))), 1)
          assert.strictEqual((yield* C.imageOf(at.sessionId)).lifecycle, "stopped")
        }))

      it.effect("a repeated request is acknowledged and not applied twice", () =>
        Effect.gen(function*() {
          const store = yield* RuntimeStore
          const { at } = yield* C.open(C.sessionId())
          const commit = C.commitOf(at, { inputs: [C.insert(C.recordOf(0))] })
          const first = yield* store.commit(commit)
          const again = yield* store.commit(commit)
          assert.deepStrictEqual([first.replayed, again.replayed], [false, true])
          assert.strictEqual(again.revision, first.revision)
          assert.strictEqual((yield* C.imageOf(at.sessionId)).inputs.length, 1)
        }))

      it.effect("STO-09 the stored lifecycle is never attached or running", () =>
        Effect.gen(function*() {
          const store = yield* RuntimeStore
          for (const lifecycle of ["retired", "stopped", "destroyed", "idle"] as const) {
            const { at } = yield* C.open(C.sessionId())
            yield* C.commit(at, { lifecycle })
            const found = yield* Stream.runCollect(store.sessions({ prefix: at.sessionId }))
            assert.deepStrictEqual(Array.from(found, (session) => session.lifecycle), [lifecycle])
            assert.strictEqual((yield* C.imageOf(at.sessionId)).lifecycle, lifecycle)
          }
        }))
    })

    describe("fences", () => {
      it.effect("a commit from another revision is refused", () =>
        Effect.gen(function*() {
          const { at } = yield* C.open(C.sessionId())
          yield* C.commit(at, {})
          const error = yield* C.refusal(at, {})
          assert.strictEqual(error._tag, "RevisionConflict")
        }))

      it.effect("a commit of an earlier opening is fenced", () =>
        Effect.gen(function*() {
          const { at: old } = yield* C.open(C.sessionId())
          const { at: now } = yield* C.open(old.sessionId)
          assert.strictEqual((yield* C.refusal({ ...old, basis: now.basis }, {}))._tag, "RuntimeFenced")
          yield* C.commit(now, {})
        }))

      it.effect("only an opening is accepted after a closing commit", () =>
        Effect.gen(function*() {
          const { at } = yield* C.open(C.sessionId())
          const closed = yield* C.commit(at, { close: true })
          assert.strictEqual((yield* C.refusal(closed, {}))._tag, "RuntimeFenced")
          const again = yield* C.open(at.sessionId)
          yield* C.commit(again.at, {})
        }))

      it.effect("a session that was never opened refuses commits", () =>
        Effect.gen(function*() {
          const session = C.sessionId()
          const at = { sessionId: session, runtimeId: runtimeIdOf(session), incarnation: 0, basis: 0 }
          assert.strictEqual((yield* C.refusal(at, {}))._tag, "RuntimeFenced")
        }))

      it.effect("an image tells whether the session existed before", () =>
        Effect.gen(function*() {
          const session = C.sessionId()
          const first = yield* C.open(session)
          const second = yield* C.open(session)
          assert.deepStrictEqual([first.image?.exists, second.image?.exists], [false, true])
        }))

      it.effect("a plan that fails writes nothing, and its error is returned", () =>
        Effect.gen(function*() {
          const store = yield* RuntimeStore
          const id = runtimeIdOf(C.sessionId())
          const error = yield* Effect.flip(store.openRuntime(id, () => Either.left("not today")))
          assert.strictEqual(error, "not today")
          assert.isTrue(Option.isNone(yield* store.witness(id)))
        }))

      it.effect("a plan that throws fails only its own session", () =>
        Effect.gen(function*() {
          const store = yield* RuntimeStore
          const broken = store.openRuntime(runtimeIdOf(C.sessionId()), () => Option.getOrThrow(Option.none()))
          const [exit, ok] = yield* Effect.all([Effect.exit(broken), Effect.exit(C.open(C.sessionId()))], {
            concurrency: 2
          })
          assert.isTrue(Exit.isFailure(exit))
          assert.isTrue(Exit.isSuccess(ok))
        }))

      it.effect("the witness names the last request", () =>
        Effect.gen(function*() {
          const store = yield* RuntimeStore
          const { at } = yield* C.open(C.sessionId())
          const commit = C.commitOf(at)
          yield* store.commit(commit)
          assert.deepStrictEqual(Option.getOrThrow(yield* store.witness(at.runtimeId)), {
            incarnation: 1,
            revision: 2,
            lastRequestId: commit.requestId
          })
        }))

      it.effect("a commit is refused when its runtime id does not belong to its session", () =>
        Effect.gen(function*() {
          const session = C.sessionId()
          const at = { sessionId: session, runtimeId: RuntimeId.make(session), incarnation: 1, basis: 0 }
          assert.strictEqual((yield* C.refusal(at, {}))._tag, "CommitRefused")
        }))
    })

    describe("inputs and keys", () => {
      it.effect("an insert of a known id is refused, whether that input is open or terminal", () =>
        Effect.gen(function*() {
          const record = C.recordOf(0)
          const at = yield* accepted(record)
          const again = { ...C.recordOf(1, { id: record.inputId }) }
          assert.strictEqual((yield* C.refusal(at, { inputs: [C.insert(again)] }))._tag, "InputConflict")
          const next = yield* C.commit(at, C.boundary(record, C.noBody))
          assert.strictEqual((yield* C.refusal(next, { inputs: [C.insert(again)] }))._tag, "InputConflict")
        }))

      it.effect("an update replaces the facts of an input and keeps its payload", () =>
        Effect.gen(function*() {
          const record = C.recordOf(0, { text: "stay" })
          const at = yield* accepted(record)
          const { input, ...facts } = record
          const staged = {
            ...facts,
            attempts: 2,
            status: { type: "staged", runId: C.runId() } as const,
            trace: { traceId: "t", spanId: "s", sampled: true }
          }
          yield* C.commit(at, {
            inputs: [{ _tag: "Update", facts: { ...facts, attempts: 1 } }, { _tag: "Update", facts: staged }]
          })
          assert.deepStrictEqual((yield* C.imageOf(at.sessionId)).inputs, [{ ...staged, input }])
        }))

      it.effect("a key belongs to one input of its session until it is cleared", () =>
        Effect.gen(function*() {
          const store = yield* RuntimeStore
          const [a, b] = [C.recordOf(0, { key: "once" }), C.recordOf(1, { key: "once" })]
          const at = yield* accepted(a)
          const error = yield* C.refusal(at, { inputs: [C.insert(b)] })
          assert.strictEqual(error._tag === "IdempotencyConflict" && error.ownerInputId, a.inputId)
          yield* accepted(C.recordOf(0, { key: "once" }))
          const done = yield* C.commit(at, C.boundary(a, C.noBody))
          const fact = Option.getOrThrow(yield* store.findKey(at.runtimeId, "once"))
          assert.deepStrictEqual([fact.inputId, fact.completedAt, fact.newerTerminals], [
            a.inputId,
            1_700_000_000_500,
            0
          ])
          const cleared = (inputId: InputId) => ({ clearKeys: [{ key: "once", inputId }], inputs: [C.insert(b)] })
          const stale = yield* C.refusal(done, cleared(b.inputId))
          assert.strictEqual(stale._tag === "IdempotencyConflict" && stale.ownerInputId, a.inputId)
          yield* C.commit(done, cleared(a.inputId))
          assert.deepStrictEqual(Option.getOrThrow(yield* store.findKey(at.runtimeId, "once")), {
            key: "once",
            inputId: b.inputId,
            completedAt: null,
            newerTerminals: 0
          })
          assert.isTrue(Option.isNone(yield* store.findKey(at.runtimeId, "never")))
        }))

      it.effect("a key counts the terminal inputs that came after its own", () =>
        Effect.gen(function*() {
          const store = yield* RuntimeStore
          const records = [0, 1, 2, 3].map((seq) => C.recordOf(seq, { key: `k${seq}` }))
          const { at } = yield* C.open(C.sessionId())
          const run = C.runId()
          const rows = records.map((record) => ({
            ...C.terminalOf(record, run),
            outcome: { _tag: "Cancelled" } as const
          }))
          yield* C.commit(at, { inputs: rows.map((row) => ({ _tag: "InsertTerminal", row })) })
          const newer = yield* Effect.forEach(records, (_, i) => store.findKey(at.runtimeId, `k${i}`))
          assert.deepStrictEqual(newer.map((fact) => Option.getOrThrow(fact).newerTerminals), [3, 2, 1, 0])
        }))

      it.effect("one commit may admit and end an input", () =>
        Effect.gen(function*() {
          const store = yield* RuntimeStore
          const record = C.recordOf(0)
          const { at } = yield* C.open(C.sessionId())
          const row = { ...C.terminalOf(record, C.runId()), outcome: { _tag: "Cancelled" } as const }
          yield* C.commit(at, { inputs: [C.insert(record), { _tag: "Terminal", row }] })
          assert.strictEqual(
            Option.getOrThrow(yield* store.terminalInput(at.runtimeId, record.inputId)).outcome._tag,
            "Cancelled"
          )
          assert.deepStrictEqual((yield* C.imageOf(at.sessionId)).inputs, [])
        }))

      it.effect("all inputs are listed in admission order with their outcomes", () =>
        Effect.gen(function*() {
          const store = yield* RuntimeStore
          const [a, b, c] = [C.recordOf(0), C.recordOf(1), C.recordOf(2)]
          const { at } = yield* C.open(C.sessionId())
          const queued = yield* C.commit(at, { inputs: [a, b, c].map(C.insert) })
          yield* C.commit(queued, C.boundary(b, C.noBody, "b"))
          const states = Array.from(yield* Stream.runCollect(store.inputs(at.runtimeId)))
          assert.deepStrictEqual(states.map(({ inputId, phase }) => [inputId, phase]), [
            [a.inputId, "queued"],
            [b.inputId, "consumed"],
            [c.inputId, "queued"]
          ])
          assert.deepStrictEqual(states[1]?.outcome, { _tag: "Completed", result: { text: "b" } })
          const open = yield* Stream.runCollect(store.inputs(at.runtimeId, { openOnly: true }))
          assert.deepStrictEqual(Array.from(open, ({ inputId }) => inputId), [a.inputId, c.inputId])
        }))

      it.effect("an ephemeral input is refused", () =>
        Effect.gen(function*() {
          const { at } = yield* C.open(C.sessionId())
          const error = yield* C.refusal(at, { inputs: [C.insert({ ...C.recordOf(0), durability: "ephemeral" })] })
          assert.strictEqual(error._tag, "CommitRefused")
        }))

      it.effect("retention trims the oldest terminal rows with their keys, at most 16 per commit", () =>
        Effect.gen(function*() {
          const store = yield* RuntimeStore
          let { at } = yield* C.open(C.sessionId())
          for (let seq = 0; seq < 24; seq++) {
            const outcome = { _tag: "Cancelled" } as const
            const row = { ...C.terminalOf(C.recordOf(seq, { key: `k${seq}` }), C.runId()), outcome }
            at = yield* C.commit(at, { inputs: [{ _tag: "InsertTerminal", row }] })
          }
          const count = Effect.map(Stream.runCollect(store.inputs(at.runtimeId)), Chunk.size)
          at = yield* C.commit(at, { retainTerminal: 4 })
          assert.strictEqual(yield* count, 8)
          at = yield* C.commit(at, { retainTerminal: 4 })
          assert.strictEqual(yield* count, 4)
          assert.isTrue(Option.isNone(yield* store.findKey(at.runtimeId, "k0")))
          assert.isTrue(Option.isSome(yield* store.findKey(at.runtimeId, "k23")))
        }))

      it.effect("each of many inputs that one commit ended is found by its id and listed", () =>
        Effect.gen(function*() {
          const store = yield* RuntimeStore
          const { at } = yield* C.open(C.sessionId())
          const outcome = { _tag: "Cancelled" } as const
          const rows = Array.from({ length: 70 }, (_, seq) => ({
            ...C.terminalOf(C.recordOf(seq), C.runId()),
            outcome
          }))
          const next = yield* C.commit(at, { inputs: rows.map((row) => ({ _tag: "InsertTerminal", row })) })
          for (const row of rows) {
            assert.deepStrictEqual(yield* store.terminalInput(at.runtimeId, row.inputId), Option.some(row))
          }
          const last = { ...C.terminalOf(C.recordOf(70), C.runId()), outcome }
          yield* C.commit(next, { inputs: [{ _tag: "InsertTerminal", row: last }] })
          const listed = yield* Stream.runCollect(store.inputs(at.runtimeId))
          assert.deepStrictEqual(
            Array.from(listed, ({ inputId }) => inputId),
            [...rows, last].map((row) => row.inputId)
          )
        }))

      it.effect("retention keeps the outcome of every kept input, also of a run that ended many", () =>
        Effect.gen(function*() {
          const store = yield* RuntimeStore
          const { at } = yield* C.open(C.sessionId())
          const records = Array.from({ length: 70 }, (_, seq) => C.recordOf(seq))
          const put = yield* C.commit(at, { inputs: records.map(C.insert) })
          const together = C.boundaryOf(records, C.noBody)
          let now = yield* C.commit(put, together)
          let { head } = together.session
          for (let i = 0; i < 8; i++) {
            for (const { inputId } of yield* Stream.runCollect(store.inputs(at.runtimeId))) {
              const ended = yield* store.terminalInput(at.runtimeId, inputId)
              assert.strictEqual(Option.getOrThrow(ended).outcome._tag, "Completed")
            }
            const ofEphemeral = C.boundaryOf([], head)
            head = ofEphemeral.session.head
            now = yield* C.commit(now, { ...ofEphemeral, retainTerminal: 3 })
          }
          assert.isAtLeast(Chunk.size(yield* Stream.runCollect(store.inputs(at.runtimeId))), 3)
        }))

      it.effect("retention trims the receipts of runs whose inputs are gone", () =>
        Effect.gen(function*() {
          const store = yield* RuntimeStore
          let { at } = yield* C.open(C.sessionId())
          const runs = Array.from({ length: 6 }, () => C.runId())
          let head = C.noBody
          for (const [seq, run] of runs.entries()) {
            const record = C.recordOf(seq)
            const parts = C.boundary(record, head, "answer", run)
            head = parts.session.head
            at = yield* C.commit(at, { inputs: [C.insert(record)] })
            at = yield* C.commit(at, { ...parts, retainTerminal: 1 })
          }
          const kept = yield* Effect.filter(
            runs,
            (run) => Effect.map(store.receipt(at.runtimeId, run, 0), Option.isSome)
          )
          // A store may keep receipts a little longer than inputs.
          assert.deepStrictEqual(kept, runs.slice(-kept.length))
          assert.isAtLeast(kept.length, 1)
          assert.isAtMost(kept.length, 2)
        }))
    })

    describe("the body", () => {
      it.effect("appends accumulate, and history begins at the requested message", () =>
        Effect.gen(function*() {
          let { at } = yield* C.open(C.sessionId())
          let head = C.noBody
          for (let i = 0; i < 5; i++) {
            const session = C.append(head, [0, 1, 2].map((k) => Message.ofText("user", `${i * 3 + k}`)))
            at = yield* C.commit(at, { session })
            head = session.head
          }
          const all = Array.from({ length: 15 }, (_, i) => `${i}`)
          for (const from of [0, 1, 3, 7, 14, 15, 99]) {
            assert.deepStrictEqual(yield* historyOf(at.runtimeId, from), all.slice(from))
          }
        }))

      it.effect("a replacement begins a new generation, however long the old body was", () =>
        Effect.gen(function*() {
          const { at } = yield* C.open(C.sessionId())
          const long = C.append(C.noBody, Array.from({ length: 300 }, (_, i) => Message.ofText("user", `${i}`)))
          let now = yield* C.commit(at, { session: long })
          assert.strictEqual((yield* historyOf(at.runtimeId)).length, 300)
          const digest = Sha256.make("f".repeat(64))
          const head = { generation: 1, messageCount: 1, digest }
          now = yield* C.commit(now, {
            session: { _tag: "Replace", base: long.head, messages: [Message.ofText("system", "summary")], head }
          })
          assert.deepStrictEqual(yield* historyOf(at.runtimeId), ["summary"])
          yield* C.commit(now, { session: C.append(head, [Message.ofText("user", "on")]) })
          assert.deepStrictEqual(yield* historyOf(at.runtimeId), ["summary", "on"])
          assert.deepStrictEqual(yield* historyOf(at.runtimeId, 1), ["on"])
        }))

      it.effect("a long body is read completely from any message", () =>
        Effect.gen(function*() {
          // In SQLite a page is 256 rows of 64 messages. The body ends before, at and after the end of a page.
          for (const length of [16_383, 16_384, 16_385]) {
            const { at } = yield* C.open(C.sessionId())
            const messages = Array.from({ length }, (_, i) => Message.ofText("user", `${i}`))
            yield* C.commit(at, { session: C.append(C.noBody, messages) })
            for (const from of [0, 1, 63, 64, 16_382, 16_384]) {
              const texts = yield* historyOf(at.runtimeId, from)
              assert.strictEqual(texts.length, Math.max(0, length - from))
              if (from < length) assert.deepStrictEqual([texts[0], texts.at(-1)], [`${from}`, `${length - 1}`])
            }
          }
        }))

      it.effect("a body that is replaced during a read is read to its end or fails with BodyReplaced", () =>
        Effect.gen(function*() {
          const store = yield* RuntimeStore
          const { at } = yield* C.open(C.sessionId())
          const old = Array.from({ length: 16_385 }, (_, i) => `${i}`)
          const long = C.append(C.noBody, old.map((text) => Message.ofText("user", text)))
          const now = yield* C.commit(at, { session: long })
          const replacing = Effect.gen(function*() {
            let head: SessionHead = { generation: 1, messageCount: 1, digest: null }
            const messages = [Message.ofText("system", "summary")]
            let next = yield* C.commit(now, { session: { _tag: "Replace", base: long.head, messages, head } })
            for (let i = 0; i < 5; i++) {
              const more = C.append(head, [Message.ofText("user", `more ${i}`)])
              next = yield* C.commit(next, { session: more })
              head = more.head
            }
          })
          const seen: Array<string> = []
          const exit = yield* Effect.either(Stream.runForEach(store.history(at.runtimeId), ({ blocks }) => {
            seen.push(Message.textOf(blocks))
            return seen.length === 100 ? Effect.orDie(replacing) : Effect.void
          }))
          assert.deepStrictEqual(seen, old.slice(0, seen.length))
          if (Either.isRight(exit)) assert.strictEqual(seen.length, old.length)
          else assert.deepStrictEqual([exit.left._tag, isRetryable(exit.left)], ["BodyReplaced", true])
          const after = ["summary", ...[0, 1, 2, 3, 4].map((i) => `more ${i}`)]
          assert.deepStrictEqual(yield* historyOf(at.runtimeId), after)
        }))

      it.effect("a body computed from another head is refused", () =>
        Effect.gen(function*() {
          const { at } = yield* C.open(C.sessionId())
          const one = C.append(C.noBody, [Message.ofText("user", "1")])
          const next = yield* C.commit(at, { session: one })
          assert.strictEqual((yield* C.refusal(next, { session: one }))._tag, "CommitRefused")
        }))

      it.effect("an opaque body is read back byte for byte", () =>
        Effect.gen(function*() {
          const store = yield* RuntimeStore
          const { at } = yield* C.open(C.sessionId())
          const bytes = Uint8Array.from({ length: 5000 }, (_, i) => i % 251)
          const head = { generation: 1, messageCount: 7, digest: null }
          yield* C.commit(at, { session: { _tag: "Opaque", base: C.noBody, bytes, head } })
          assert.deepStrictEqual(
            Array.from(Option.getOrThrow(yield* store.opaqueBody(at.runtimeId))),
            Array.from(bytes)
          )
          assert.deepStrictEqual((yield* C.imageOf(at.sessionId)).head, head)
        }))

      it.effect("messages replace an opaque body, and an opaque body replaces messages", () =>
        Effect.gen(function*() {
          const store = yield* RuntimeStore
          const { at } = yield* C.open(C.sessionId())
          const messages = [Message.ofText("user", "a")]
          const head = (generation: number) => ({ generation, messageCount: 1, digest: null })
          const kinds = Effect.all([
            Effect.map(store.opaqueBody(at.runtimeId), Option.isSome),
            Effect.map(Stream.runCollect(store.history(at.runtimeId)), Chunk.size)
          ])
          const opaque = { _tag: "Opaque", base: C.noBody, bytes: Uint8Array.of(1), head: head(1) } as const
          let now = yield* C.commit(at, { session: opaque })
          assert.deepStrictEqual(yield* kinds, [true, 0])
          now = yield* C.commit(now, { session: { _tag: "Replace", base: head(1), messages, head: head(2) } })
          assert.deepStrictEqual(yield* kinds, [false, 1])
          yield* C.commit(now, { session: { ...opaque, base: head(2), head: head(3) } })
          assert.deepStrictEqual(yield* kinds, [true, 0])
        }))
    })

    describe("operations, feed, slices", () => {
      it.effect("STO-11 operations, feed and cursors are read back, and cursors never move back", () =>
        Effect.gen(function*() {
          const store = yield* RuntimeStore
          const epoch = C.newEpoch()
          const { at } = yield* C.open(C.sessionId(), { epoch })
          const [a, b] = [OperationId.make(C.uuid()), OperationId.make(C.uuid())]
          let now = yield* C.commit(at, { operations: [operationOf(a), operationOf(b)] })
          const seen = { agentApplied: 1, observed: 1, injected: 0 }
          now = yield* C.commit(now, {
            operations: [operationOf(a, 1)],
            feed: [entryOf(1, a)],
            epoch: { ...epoch, lastSeq: 1, cursors: seen }
          })
          yield* C.commit(now, { epoch: { ...epoch, lastSeq: 1 } })
          const image = yield* C.imageOf(at.sessionId)
          assert.deepStrictEqual(image.epoch, { ...epoch, lastSeq: 1, cursors: seen })
          assert.deepStrictEqual(image.feed, [entryOf(1, a)])
          assert.sameDeepMembers([...image.operations], [operationOf(a, 1), operationOf(b)])
          assert.deepStrictEqual(yield* store.feed(at.runtimeId, 0), {
            entries: [entryOf(1, a)],
            watermark: 1,
            droppedThrough: 0
          })
          assert.deepStrictEqual(Option.getOrThrow(yield* store.operation(at.runtimeId, b)), operationOf(b))
        }))

      it.effect("R4, R5 gaps in the feed and inconsistent operations are refused", () =>
        Effect.gen(function*() {
          const { at } = yield* C.open(C.sessionId())
          const id = OperationId.make(C.uuid())
          const refused = [
            { feed: [entryOf(2, id)] },
            { feed: [entryOf(1, id), entryOf(2, id)] },
            { operations: [{ ...operationOf(id), status: "failed" as const }] },
            { operations: [{ ...operationOf(id, 1), status: "running" as const }] }
          ]
          for (const parts of refused) assert.strictEqual((yield* C.refusal(at, parts))._tag, "CommitRefused")
        }))

      it.effect("R6 a retired epoch refuses entries, and a new epoch begins at 1", () =>
        Effect.gen(function*() {
          const store = yield* RuntimeStore
          const epoch = C.newEpoch()
          const { at } = yield* C.open(C.sessionId(), { epoch })
          const id = OperationId.make(C.uuid())
          let now = yield* C.commit(at, { feed: [entryOf(1, id)], operations: [operationOf(id, 1)] })
          now = yield* C.commit(now, { epoch: { ...epoch, lastSeq: 1, retired: true } })
          assert.strictEqual(
            (yield* C.refusal(now, { feed: [entryOf(2, OperationId.make(C.uuid()))] }))._tag,
            "CommitRefused"
          )
          yield* C.commit(now, { epoch: C.newEpoch() })
          assert.deepStrictEqual(yield* store.feed(at.runtimeId, 0), { entries: [], watermark: 0, droppedThrough: 0 })
        }))

      it.effect("dropped feed entries and operations are removed", () =>
        Effect.gen(function*() {
          const store = yield* RuntimeStore
          const epoch = C.newEpoch()
          const { at } = yield* C.open(C.sessionId(), { epoch })
          const ids = [1, 2, 3].map(() => OperationId.make(C.uuid()))
          const feed = ids.map((id, i) => entryOf(i + 1, id))
          const now = yield* C.commit(at, { feed, operations: ids.map((id, i) => operationOf(id, i + 1)) })
          yield* C.commit(now, { dropOperations: ids.slice(0, 2), epoch: { ...epoch, lastSeq: 3, droppedThrough: 2 } })
          const left = yield* store.feed(at.runtimeId, 0)
          assert.deepStrictEqual([left.entries, left.droppedThrough, left.watermark], [feed.slice(2), 2, 3])
          assert.strictEqual(Chunk.size(yield* Stream.runCollect(store.operations(at.runtimeId))), 1)
        }))

      it.effect("slices are stored by name, and the last value wins", () =>
        Effect.gen(function*() {
          const { at } = yield* C.open(C.sessionId())
          const now = yield* C.commit(at, { slices: [{ name: "a", value: [1] }, { name: "b", value: { x: null } }] })
          yield* C.commit(now, { slices: [{ name: "a", value: "two" }] })
          assert.sameDeepMembers([...(yield* C.imageOf(at.sessionId)).slices], [
            { name: "a", value: "two" },
            { name: "b", value: { x: null } }
          ])
        }))
    })

    describe("listing", () => {
      it.effect("sessions are filtered by prefix, lifecycle and pending inputs", () =>
        Effect.gen(function*() {
          const store = yield* RuntimeStore
          const prefix = C.uuid()
          const [a, b, c] = ["a", "b", "c"].map((part) => SessionId.make(`${prefix}:${part}`))
          const { at } = yield* C.open(a ?? C.sessionId())
          yield* C.commit(at, { inputs: [C.insert(C.recordOf(0)), C.insert(C.recordOf(1))] })
          yield* C.open(b ?? C.sessionId(), { lifecycle: "stopped" })
          yield* C.open(c ?? C.sessionId())
          const list = (filter: Parameters<typeof store.sessions>[0]) =>
            Effect.map(Stream.runCollect(store.sessions({ prefix, ...filter })), (found) =>
              Array.from(found, ({ pendingInputs, sessionId }) => [sessionId, pendingInputs]))
          assert.deepStrictEqual(yield* list({}), [[a, 2], [b, 0], [c, 0]])
          assert.deepStrictEqual(yield* list({ pendingOnly: true }), [[a, 2]])
          assert.deepStrictEqual(yield* list({ lifecycle: ["stopped"] }), [[b, 0]])
        }))

      it.effect("one session is found by its runtime id, not by a prefix of it", () =>
        Effect.gen(function*() {
          const store = yield* RuntimeStore
          const name = C.uuid()
          const [one, ten] = [SessionId.make(`${name}-1`), SessionId.make(`${name}-10`)]
          const { at } = yield* C.open(one, { inputs: [C.insert(C.recordOf(0)), C.insert(C.recordOf(1))] })
          yield* C.open(ten, { lifecycle: "stopped" })
          for (const session of [one, ten]) {
            const [listed] = yield* Stream.runCollect(
              Stream.filter(store.sessions({ prefix: session }), ({ sessionId }) => sessionId === session)
            )
            assert.deepStrictEqual(Option.getOrNull(yield* store.session(runtimeIdOf(session))), listed)
          }
          assert.strictEqual(Option.getOrThrow(yield* store.session(at.runtimeId)).pendingInputs, 2)
          assert.isTrue(Option.isNone(yield* store.session(runtimeIdOf(SessionId.make(name)))))
        }))

      it.effect("sessions with untold or lost background work are due, others are not", () =>
        Effect.gen(function*() {
          const store = yield* RuntimeStore
          const prefix = C.uuid()
          const live = (owner: "process" | "external", kind: OperationKind): OperationRecord => ({
            spec: {
              id: OperationId.make(C.uuid()),
              kind,
              owner,
              displayName: `"kind":"background_tool_op" "owner":"process"`,
              sourceLabel: "x",
              expectPeerChannel: false
            },
            status: "running",
            peerReady: false,
            progressCount: 0,
            createdAt: 1
          })
          const ended = (cursors: Partial<FeedCursors>, kind: OperationKind = "background_tool_op") => {
            const { spec } = live("process", kind)
            const epoch = { ...C.newEpoch(), lastSeq: 1 }
            const outcome = { _tag: "Retired" } as const
            return {
              epoch: { ...epoch, cursors: { ...epoch.cursors, ...cursors } },
              feed: [{ seq: 1, operationId: spec.id, kind, displayName: spec.displayName, outcome, completedAt: 1 }]
            }
          }
          const sessions: Record<string, Partial<RuntimeCommit>> = {
            "a lives": { operations: [live("process", "background_tool_op")] },
            "b external": { operations: [live("external", "background_tool_op")] },
            "c child": { operations: [live("process", "mob_member_child")] },
            "d ended": ended({}),
            "e told": ended({ agentApplied: 1 }),
            "f injected": ended({ injected: 1 }),
            "g ended child": ended({}, "mob_member_child"),
            "h retired": { ...ended({}), lifecycle: "retired" },
            "i input": { inputs: [C.insert(C.recordOf(0))] }
          }
          for (const [name, parts] of Object.entries(sessions)) {
            yield* C.open(SessionId.make(`${prefix}:${name}`), parts)
          }
          const due = yield* Stream.runCollect(store.sessions({ prefix, dueOnly: true }))
          assert.deepStrictEqual(
            Array.from(due, ({ sessionId }) => sessionId.slice(prefix.length + 1)),
            ["a lives", "d ended", "i input"]
          )
        }))
    })

    describe("many commits at once", () => {
      it.effect("W4 refused members of a batch change nothing for the others", () =>
        Effect.gen(function*() {
          const sessions = yield* Effect.forEach(Array.from({ length: 200 }), () => C.open(C.sessionId()), {
            concurrency: "unbounded"
          })
          const exits = yield* Effect.forEach(sessions, ({ at }, i) => {
            const record = C.recordOf(0, { key: "k" })
            const inputs = i % 7 === 0 ? [C.insert(record), C.insert(C.recordOf(1, { key: "k" }))] : [C.insert(record)]
            return Effect.exit(C.commit(i % 11 === 0 ? { ...at, basis: 99 } : at, { inputs }))
          }, { concurrency: "unbounded" })
          assert.deepStrictEqual(exits.map(Exit.isSuccess), sessions.map((_, i) => i % 7 !== 0 && i % 11 !== 0))
          const images = yield* Effect.forEach(sessions, ({ at }) => C.imageOf(at.sessionId), {
            concurrency: "unbounded"
          })
          assert.deepStrictEqual(
            images.map(({ inputs }) => inputs.length),
            exits.map((exit) => Exit.isSuccess(exit) ? 1 : 0)
          )
        }))

      it.effect("conflicts that only the tables reveal are found within a batch", () =>
        Effect.gen(function*() {
          const known = C.recordOf(0, { key: "k" })
          const first = yield* accepted(known)
          const rest = yield* Effect.forEach(Array.from({ length: 30 }), () => C.open(C.sessionId()), {
            concurrency: "unbounded"
          })
          const clash = Effect.exit(C.commit(first, { inputs: [C.insert(C.recordOf(1, { key: "k" }))] }))
          const fine = rest.map(({ at }) =>
            Effect.exit(C.commit(at, { inputs: [C.insert(C.recordOf(0, { key: "k" }))] }))
          )
          const [bad, ...good] = yield* Effect.all([clash, ...fine], { concurrency: "unbounded" })
          assert.isTrue(Exit.isFailure(bad))
          assert.isTrue(good.every(Exit.isSuccess))
        }))

      it.effect("two commits of one session in one batch apply in order", () =>
        Effect.gen(function*() {
          const { at } = yield* C.open(C.sessionId())
          const both = yield* Effect.all([
            Effect.exit(C.commit(at, { inputs: [C.insert(C.recordOf(0))] })),
            Effect.exit(C.commit(C.next(at), { inputs: [C.insert(C.recordOf(1))] }))
          ], { concurrency: 2 })
          assert.isTrue(both.every(Exit.isSuccess))
          assert.strictEqual((yield* C.imageOf(at.sessionId)).inputs.length, 2)
        }))

      it.effect("STO-14 W3 the commit of an interrupted submitter is applied completely or not at all", () =>
        Effect.gen(function*() {
          const store = yield* RuntimeStore
          const outcomes = yield* Effect.forEach(Array.from({ length: 40 }), (_, i) =>
            Effect.gen(function*() {
              const record = C.recordOf(0)
              const at = yield* accepted(record)
              const fiber = yield* Effect.fork(C.commit(at, C.boundary(record, C.noBody)))
              for (let k = 0; k < i % 8; k++) yield* Effect.yieldNow()
              yield* Fiber.interrupt(fiber)
              const image = yield* C.imageOf(at.sessionId)
              const receipts = Chunk.size(yield* Stream.runCollect(store.receipts(at.runtimeId)))
              const messages = (yield* historyOf(at.runtimeId)).length
              return [image.inputs.length, receipts, messages].join()
            }), { concurrency: 8 })
          assert.isTrue(outcomes.every((outcome) => outcome === "1,0,0" || outcome === "0,1,2"), outcomes.join(" "))
          yield* accepted(C.recordOf(0))
        }))
    })
  })
}
