// @effect-diagnostics nodeBuiltinImport:off
/** What a store takes can be read back: texts, names and numbers, over both stores. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as RuntimeStoreMemory from "../../layers/RuntimeStoreMemory.js"
import * as RuntimeStoreSqlite from "../../layers/RuntimeStoreSqlite.js"
import { RuntimeStore } from "../../services/RuntimeStore.js"
import { type InputId, SessionId } from "../../src/domain/Ids.js"
import type { InputRecord } from "../../src/domain/InputRecord.js"
import * as Message from "../../src/domain/Message.js"
import type { RuntimeCommit } from "../../src/domain/RuntimeCommit.js"
import type { OpenError } from "../../src/domain/StoreErrors.js"
import { isWellFormed, wellFormed } from "../../src/domain/Text.js"
import * as C from "../support/commits.js"

const folder = mkdtempSync(join(tmpdir(), "meerkat-text-"))

const backends: ReadonlyArray<readonly [string, Layer.Layer<RuntimeStore, OpenError>]> = [
  ["memory", RuntimeStoreMemory.layer],
  ["sqlite", RuntimeStoreSqlite.layer({ filename: join(folder, "store.db") })]
]

const half = "k\ud83d"

const anyText = FastCheck.oneof(FastCheck.string16bits(), FastCheck.fullUnicodeString())

/** Samples that are the same in each run. */
const sample = <A>(arbitrary: FastCheck.Arbitrary<A>, numRuns: number) =>
  FastCheck.sample(arbitrary, { numRuns, seed: 7 })

const promptOf = ({ input }: InputRecord) => input._tag === "Prompt" ? input.text : ""

const changed = (record: InputRecord, facts: Partial<InputRecord>): Partial<RuntimeCommit> => ({
  inputs: [C.insert({ ...record, ...facts })]
})

const withHeader = (record: InputRecord, timestamp: number): Partial<RuntimeCommit> => ({
  inputs: [C.insert({ ...record, input: { ...record.input, header: { ...record.input.header, timestamp } } })]
})

const receiptWith = (receipt: { sequence?: number; messageCount?: number }): Partial<RuntimeCommit> => {
  const { receipt: stored, ...parts } = C.boundary(C.recordOf(0), C.noBody)
  return {
    ...parts,
    inputs: [],
    ...(stored === undefined ? {} : { receipt: { ...stored, receipt: { ...stored.receipt, ...receipt } } })
  }
}

const record = C.recordOf(0)

const metadata = (value: number): Partial<RuntimeCommit> => ({
  session: C.append(C.noBody, [{ role: "user", blocks: [], metadata: { deep: [{ value }] } }])
})

/** Commits with a number that a row cannot store exactly, by the field that the refusal names. */
const unreadable: ReadonlyArray<readonly [string, Partial<RuntimeCommit>]> = [
  ["receipt.receipt.sequence", receiptWith({ sequence: 2 ** 53 })],
  ["receipt.receipt.sequence", receiptWith({ sequence: -1 })],
  ["receipt.receipt.messageCount", receiptWith({ messageCount: 0.5 })],
  ["inputs.0.record.admissionSeq", changed(record, { admissionSeq: 1.5 })],
  ["inputs.0.record.attempts", changed(record, { attempts: -1 })],
  ["inputs.0.record.charged", changed(record, { charged: 2 ** 60 })],
  ["inputs.0.record.createdAt", changed(record, { createdAt: NaN })],
  ["inputs.0.record.notBefore", changed(record, { notBefore: Infinity })],
  ["inputs.0.record.input.header.timestamp", withHeader(record, -Infinity)],
  ["session.messages.0.metadata.deep.0.value", metadata(NaN)],
  ["at", { at: 1.5 }],
  ["retainTerminal", { retainTerminal: -1 }],
  ["epoch.lastSeq", { epoch: { ...C.newEpoch(), lastSeq: 0.5 } }],
  ["slices.0.value", { slices: [{ name: "s", value: NaN }] }]
]

for (const [name, layer] of backends) {
  it.layer(layer)(`RuntimeStore over ${name}`, (it) => {
    describe("numbers", () => {
      for (const [field, parts] of unreadable) {
        it.effect(`commit fails with CommitUnencodable and writes nothing when ${field} cannot be read back`, () =>
          Effect.gen(function*() {
            const { at } = yield* C.open(C.sessionId())
            const refusal = yield* C.refusal(at, parts)
            assert.strictEqual(refusal._tag, "CommitUnencodable", String(refusal))
            assert.include(refusal.message, `${field}: `)
            assert.isBelow(refusal.message.length, 400)
            yield* C.commit(at, {})
          }))
      }

      it.effect("commit stores fractions and negative numbers when the field takes them", () =>
        Effect.gen(function*() {
          const store = yield* RuntimeStore
          const { at } = yield* C.open(C.sessionId())
          const values = [0.5, -1, -0.25, 2 ** 60, 1e300, 5e-324]
          const message = { role: "user", blocks: [], metadata: { values } } as const
          yield* C.commit(at, { session: C.append(C.noBody, [message]) })
          const [read] = yield* Stream.runCollect(store.history(at.runtimeId))
          assert.deepStrictEqual(read, message)
        }))

      it.effect("openRuntime fails with CommitUnencodable when its commit cannot be read back", () =>
        Effect.gen(function*() {
          const session = C.sessionId()
          const error = yield* Effect.flip(C.open(session, metadata(NaN)))
          assert.strictEqual(error._tag, "CommitUnencodable", String(error))
          assert.strictEqual((yield* C.imageOf(session)).exists, false)
        }))

      it.effect("commit takes a number if and only if its field gives it back", () =>
        Effect.gen(function*() {
          const store = yield* RuntimeStore
          for (const attempts of sample(FastCheck.oneof(FastCheck.double(), FastCheck.maxSafeInteger()), 60)) {
            const { at } = yield* C.open(C.sessionId())
            const record = C.recordOf(0)
            const exit = yield* Effect.either(C.commit(at, changed(record, { attempts })))
            const states = yield* Stream.runCollect(store.inputs(at.runtimeId))
            const read = Array.from(states, (state) => state.attempts)
            if (Either.isRight(exit)) assert.deepStrictEqual(read, [Math.abs(attempts)])
            else assert.deepStrictEqual([exit.left._tag, read], ["CommitUnencodable", []])
            assert.strictEqual(Either.isRight(exit), Number.isSafeInteger(attempts) && attempts >= 0, `${attempts}`)
          }
        }))
    })

    describe("texts and names", () => {
      it.effect("any text is read back well formed, live and after an opening", () =>
        Effect.gen(function*() {
          const store = yield* RuntimeStore
          const { at } = yield* C.open(C.sessionId())
          const given = ["a\u0000b", half, "\udc00", ...sample(anyText, 40)]
          const records = given.map((text, i) => C.recordOf(i, { text }))
          const messages = given.map((text) => Message.ofText("user", text))
          yield* C.commit(at, { inputs: records.map(C.insert), session: C.append(C.noBody, messages) })
          const repaired = given.map(wellFormed)
          const history = yield* Stream.runCollect(store.history(at.runtimeId))
          assert.deepStrictEqual(Array.from(history, ({ blocks }) => Message.textOf(blocks)), repaired)
          const { corrupt, inputs } = yield* C.imageOf(at.sessionId)
          assert.deepStrictEqual([corrupt, inputs.map(promptOf)], [[], repaired])
        }))

      it.effect("keys of JSON objects are read back well formed", () =>
        Effect.gen(function*() {
          const store = yield* RuntimeStore
          const { at } = yield* C.open(C.sessionId())
          yield* C.commit(at, {
            session: C.append(C.noBody, [{ role: "user", blocks: [], metadata: { [half]: { [half]: half } } }])
          })
          const [read] = yield* Stream.runCollect(store.history(at.runtimeId))
          assert.deepStrictEqual(read?.metadata, { "k\ufffd": { "k\ufffd": "k\ufffd" } })
        }))

      it.effect("a key is accepted if and only if it is well formed, and found under that name alone", () =>
        Effect.gen(function*() {
          const store = yield* RuntimeStore
          const given = new Set([
            "",
            "a\u0000b",
            "a\u0000c",
            "a",
            half,
            "k\ufffd",
            "k😀",
            "\udc00",
            ...sample(anyText, 60)
          ])
          const { at } = yield* C.open(C.sessionId())
          const owners = new Map<string, InputId>()
          let now = at
          for (const key of given) {
            const record = C.recordOf(owners.size, { key })
            const exit = yield* Effect.either(C.commit(now, { inputs: [C.insert(record)] }))
            assert.strictEqual(Either.isRight(exit), isWellFormed(key), JSON.stringify(key))
            if (Either.isLeft(exit)) assert.strictEqual(exit.left._tag, "CommitUnencodable")
            else {
              now = exit.right
              owners.set(key, record.inputId)
            }
          }
          for (const key of given) {
            const found = yield* store.findKey(at.runtimeId, key)
            assert.strictEqual(Option.getOrUndefined(found)?.inputId, owners.get(key), JSON.stringify(key))
          }
          for (const [key, ownerInputId] of owners) {
            const twice = yield* C.refusal(now, { inputs: [C.insert(C.recordOf(owners.size, { key }))] })
            assert.deepInclude(twice, { _tag: "IdempotencyConflict", key, ownerInputId })
          }
        }))

      it.effect("sessions lists no session for a prefix that is half of a character", () =>
        Effect.gen(function*() {
          const store = yield* RuntimeStore
          const name = SessionId.make(`😀-${C.uuid()}`)
          yield* C.open(name)
          const listed = (prefix: string) =>
            Effect.map(Stream.runCollect(store.sessions({ prefix })), (found) => Array.from(found, (_) => _.sessionId))
          assert.deepStrictEqual(yield* listed("😀"), [name])
          assert.deepStrictEqual(yield* listed("\ud83d"), [])
        }))
    })
  })
}
