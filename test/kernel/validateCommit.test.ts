/** The check of a commit against the stored head: what is refused, what is applied, and the head afterwards. */
import { describe, expect, it } from "@effect/vitest"
import * as Either from "effect/Either"
import { runtimeIdOf } from "../../src/domain/Ids.js"
import type { InputId, RunId } from "../../src/domain/Ids.js"
import type { RunBoundaryReceipt } from "../../src/domain/Receipt.js"
import type { EpochFacts, InputPut, RuntimeCommit, SessionPart } from "../../src/domain/RuntimeCommit.js"
import type { CommitView, RuntimeHead } from "../../src/kernel/validateCommit.js"
import { trusting, unseen, validateCommit } from "../../src/kernel/validateCommit.js"
import * as C from "../support/commits.js"
import { opId } from "../support/operations.js"

const session = C.sessionId("s")
const body = { ...C.noBody, generation: 2, messageCount: 3 }
const epoch: EpochFacts = { ...C.newEpoch(), lastSeq: 2, cursors: { agentApplied: 1, observed: 1, injected: 2 } }
const head: RuntimeHead = {
  ...unseen(runtimeIdOf(session), session),
  incarnation: 4,
  open: true,
  revision: 7,
  nextAdmissionSeq: 5,
  ended: 2,
  terminals: 1,
  body,
  bodyStart: 10,
  epoch
}
const at: C.Cursor = { sessionId: session, runtimeId: head.runtimeId, incarnation: 4, basis: 7 }
const open = C.recordOf(0)
const over = C.recordOf(1)
const stranger = C.recordOf(5)
const keyed = C.recordOf(6, { key: "k" })
const run = C.runId()
const receipt: RunBoundaryReceipt = {
  runId: run,
  sequence: 0,
  boundary: "run_start",
  contributingInputIds: [open.inputId],
  conversationDigest: null,
  messageCount: 3
}

const view = (parts: Partial<CommitView> = {}): CommitView => ({
  head,
  isOpen: (id) => id === open.inputId,
  isTerminal: (id) => id === over.inputId,
  keyOwner: (key) => key === "k" ? over.inputId : undefined,
  receipt: (runId: RunId, sequence: number) => runId === run && sequence === 0 ? receipt : undefined,
  ...parts
})

const verdict = (parts: Partial<RuntimeCommit>, of = view(), mode: "open" | "commit" = "commit") =>
  validateCommit(C.commitOf(at, parts), of, mode)

const tag = (result: ReturnType<typeof verdict>): string =>
  Either.match(result, { onLeft: ({ _tag }) => _tag, onRight: ({ _tag }) => _tag })

const applied = (parts: Partial<RuntimeCommit>, of = view(), mode: "open" | "commit" = "commit"): RuntimeHead => {
  const result = verdict(parts, of, mode)
  if (Either.isLeft(result)) throw result.left
  if (result.right._tag !== "Apply") throw new Error(result.right._tag)
  return result.right.head
}

const insert = C.insert
const end = (record: typeof open): InputPut => ({ _tag: "Terminal", row: C.terminalOf(record, run) })
const addEnded = (record: typeof open): InputPut => ({ _tag: "InsertTerminal", row: C.terminalOf(record, run) })
const proved = (parts: Partial<RunBoundaryReceipt>): Partial<RuntimeCommit> => ({
  receipt: { receipt: { ...receipt, ...parts }, outcome: { _tag: "Completed", result: { text: "" } } }
})
const entry = (seq: number, operation = seq) => ({ seq, operationId: opId(operation) }) as never
const facts = (parts: Partial<EpochFacts>): EpochFacts => ({ ...epoch, ...parts })
const operation = (status: string, parts: object) => ({ spec: { id: opId(1) }, status, ...parts }) as never
const replace = (parts: object = {}): SessionPart =>
  ({
    _tag: "Replace",
    base: body,
    messages: [1],
    head: { generation: 3, messageCount: 1, digest: null },
    ...parts
  }) as never
const append = (parts: object = {}): SessionPart =>
  ({
    _tag: "Append",
    base: body,
    messages: [1],
    head: { generation: 2, messageCount: 4, digest: null },
    ...parts
  }) as never
const opaque = (generation: number): SessionPart =>
  ({
    _tag: "Opaque",
    base: body,
    bytes: new Uint8Array(),
    head: { generation, messageCount: 9, digest: null }
  }) as never

const retired = view({ head: { ...head, epoch: facts({ retired: true }) } })
const noEpoch = view({ head: { ...head, epoch: null } })

/** What the commit does wrong, the answer, the commit, and the stored view where it matters. */
const refusals: ReadonlyArray<readonly [string, string, Partial<RuntimeCommit>, CommitView?]> = [
  ["the runtime of another session", "CommitRefused", { sessionId: C.sessionId("other") }],
  ["an older opening", "RuntimeFenced", { incarnation: 3 }],
  ["a newer opening", "RuntimeFenced", { incarnation: 5 }],
  ["a closed opening", "RuntimeFenced", {}, view({ head: { ...head, open: false } })],
  ["an older revision", "RevisionConflict", { basis: 6 }],
  ["a newer revision", "RevisionConflict", { basis: 8 }],
  ["an insert of an open input", "InputConflict", { inputs: [insert(open)] }],
  ["an insert of an ended input", "InputConflict", { inputs: [insert(over)] }],
  ["an insert of an open input as ended", "InputConflict", { inputs: [addEnded(open)] }],
  ["two inserts of one input", "InputConflict", { inputs: [insert(stranger), insert(stranger)] }],
  ["a second end of an ended input", "InputConflict", { inputs: [end(over)] }],
  ["an end of an unknown input", "InputConflict", { inputs: [end(stranger)] }],
  ["two ends of one input", "InputConflict", { inputs: [end(open), end(open)] }],
  ["a key that another input owns", "IdempotencyConflict", { inputs: [insert(keyed)] }],
  ["a key that another input owns, for an ended input", "IdempotencyConflict", { inputs: [addEnded(keyed)] }],
  ["a key that one commit assigns twice", "IdempotencyConflict", {
    clearKeys: [{ key: "k", inputId: over.inputId }],
    inputs: [insert(keyed), insert(C.recordOf(7, { key: "k" }))]
  }],
  ["a key that is cleared of the wrong owner", "IdempotencyConflict", {
    clearKeys: [{ key: "k", inputId: open.inputId }],
    inputs: [insert(keyed)]
  }],
  ["a body of another generation", "CommitRefused", { session: append({ base: { ...body, generation: 1 } }) }],
  ["a body of another length", "CommitRefused", { session: append({ base: { ...body, messageCount: 2 } }) }],
  ["a body of another digest", "CommitRefused", { session: append({ base: { ...body, digest: "d" } }) }],
  ["an append that begins a generation", "CommitRefused", {
    session: append({ head: { generation: 3, messageCount: 4, digest: null } })
  }],
  ["an append that miscounts", "CommitRefused", {
    session: append({ head: { generation: 2, messageCount: 5, digest: null } })
  }],
  ["a replacement of the same generation", "CommitRefused", {
    session: replace({ head: { generation: 2, messageCount: 1, digest: null } })
  }],
  ["a replacement that miscounts", "CommitRefused", {
    session: replace({ head: { generation: 3, messageCount: 4, digest: null } })
  }],
  ["an opaque body of the same generation", "CommitRefused", { session: opaque(2) }],
  ["an opaque body that skips a generation", "CommitRefused", { session: opaque(4) }],
  ["a running operation with an outcome", "CommitRefused", {
    operations: [operation("running", { outcome: {} })]
  }],
  ["a running operation in the feed", "CommitRefused", {
    operations: [operation("running", { completionSeq: 1 })]
  }],
  ["an ended operation without an outcome", "CommitRefused", {
    operations: [operation("completed", { completionSeq: 1 })]
  }],
  ["an ended operation without a feed entry", "CommitRefused", {
    operations: [operation("completed", { outcome: {} })]
  }],
  ["a feed with a gap", "CommitRefused", { feed: [entry(4)] }],
  ["a feed that repeats a sequence", "CommitRefused", { feed: [entry(2)] }],
  ["a feed with two entries of one operation", "CommitRefused", { feed: [entry(3, 1), entry(4, 1)] }],
  ["an entry of a retired epoch", "CommitRefused", { feed: [entry(3)] }, retired],
  ["a retired epoch that becomes live", "CommitRefused", { epoch: facts({}) }, retired],
  ["a new epoch beside a live one", "CommitRefused", { epoch: C.newEpoch() }],
  ["a feed without an epoch", "CommitRefused", { feed: [entry(1)] }, noEpoch],
  ["a new epoch that does not begin at 1", "CommitRefused", { epoch: C.newEpoch(), feed: [entry(3)] }, retired],
  ["an epoch behind its feed", "CommitRefused", { epoch: facts({}), feed: [entry(3)] }],
  ["an epoch ahead of its feed", "CommitRefused", { epoch: facts({ lastSeq: 3 }) }],
  ["droppedThrough beyond the feed", "CommitRefused", { epoch: facts({ droppedThrough: 3 }) }],
  ["agentApplied beyond the feed", "CommitRefused", {
    epoch: facts({ cursors: { ...epoch.cursors, agentApplied: 3 } })
  }],
  ["observed beyond the feed", "CommitRefused", { epoch: facts({ cursors: { ...epoch.cursors, observed: 3 } }) }],
  ["injected beyond the feed", "CommitRefused", { epoch: facts({ cursors: { ...epoch.cursors, injected: 3 } }) }],
  ["a receipt of another boundary", "ReceiptConflict", proved({ boundary: "run_checkpoint" })],
  ["a receipt of another conversation", "ReceiptConflict", proved({ conversationDigest: "d" as never })],
  ["a receipt of another length", "ReceiptConflict", proved({ messageCount: 4 })],
  ["a receipt of fewer inputs", "ReceiptConflict", proved({ contributingInputIds: [] })],
  ["a receipt of more inputs", "ReceiptConflict", proved({ contributingInputIds: [open.inputId, over.inputId] })],
  ["a receipt of other inputs", "ReceiptConflict", proved({ contributingInputIds: [over.inputId] })]
]

const fine: ReadonlyArray<readonly [string, Partial<RuntimeCommit>, CommitView?]> = [
  ["an empty commit", {}],
  ["an input that is admitted and ended", { inputs: [insert(stranger), end(stranger)] }],
  ["a key that the commit clears first", { clearKeys: [{ key: "k", inputId: over.inputId }], inputs: [insert(keyed)] }],
  ["an append that counts correctly", { session: append() }],
  ["a replacement that counts correctly", { session: replace() }],
  ["an opaque body of the next generation", { session: opaque(3) }],
  ["consistent operations", {
    operations: [operation("running", {}), operation("completed", { outcome: {}, completionSeq: 1 })]
  }],
  ["a feed that continues with its epoch", { feed: [entry(3), entry(4)], epoch: facts({ lastSeq: 4 }) }],
  ["an epoch whose entries are all dropped and seen", {
    epoch: facts({ droppedThrough: 2, cursors: { agentApplied: 2, observed: 2, injected: 2 } })
  }],
  ["a new epoch after a retired one", {
    epoch: { ...C.newEpoch(), lastSeq: 1 },
    feed: [entry(1)]
  }, retired],
  ["the cursors of a retired epoch", { epoch: facts({ retired: true }) }, retired],
  ["a first epoch", { epoch: C.newEpoch() }, noEpoch]
]

describe("the check of a commit", () => {
  for (const [what, expected, parts, of] of refusals) {
    it(`refuses ${what}`, () => {
      expect(tag(verdict(parts, of))).toBe(expected)
    })
  }

  for (const [what, parts, of] of fine) {
    it(`accepts ${what}`, () => {
      expect(tag(verdict(parts, of))).toBe("Apply")
    })
  }

  it("an opening takes the next incarnation, whether the last one was closed or not", () => {
    for (const open of [true, false]) {
      const of = view({ head: { ...head, open } })
      expect(tag(verdict({ incarnation: 5 }, of, "open"))).toBe("Apply")
      expect(tag(verdict({ incarnation: 4 }, of, "open"))).toBe("RuntimeFenced")
    }
  })

  it("a repeated request is not applied again", () => {
    const { requestId } = C.commitOf(at)
    const of = view({ head: { ...head, lastRequestId: requestId } })
    expect(verdict({ requestId, basis: 1 }, of)).toEqual(Either.right({ _tag: "Replayed", revision: 7 }))
  })

  it("a receipt is written once", () => {
    const writes = (parts: Partial<RunBoundaryReceipt>) => {
      const result = verdict(proved(parts))
      return Either.isRight(result) && result.right._tag === "Apply" ? result.right.writesReceipt : null
    }
    expect([writes({}), writes({ sequence: 1 })]).toEqual([false, true])
    expect(applied(proved({ sequence: 1 })).ended).toBe(3)
    expect(applied(proved({})).ended).toBe(2)
  })

  it("the head counts what the commit adds", () => {
    const next = applied({ inputs: [insert(C.recordOf(8)), insert(C.recordOf(7)), end(open)], lifecycle: "retired" })
    expect(next).toMatchObject({
      nextAdmissionSeq: 9,
      ended: 3,
      terminals: 2,
      revision: 8,
      open: true,
      lifecycle: "retired"
    })
    expect(applied({ inputs: [insert(C.recordOf(5))] }).nextAdmissionSeq).toBe(6)
    expect(applied({ inputs: [addEnded(C.recordOf(6))] })).toMatchObject({ nextAdmissionSeq: 7, terminals: 2 })
    expect(applied({ inputs: [end(open)] }).nextAdmissionSeq).toBe(5)
    expect(applied({})).toMatchObject({ lifecycle: "idle", body, bodyStart: 10, epoch })
    expect(applied({ close: true }).open).toBe(false)
  })

  it("a new generation of the body begins after the old one", () => {
    expect(applied({ session: append() })).toMatchObject({ bodyStart: 10, body: { generation: 2, messageCount: 4 } })
    expect(applied({ session: replace() })).toMatchObject({ bodyStart: 13, body: { generation: 3, messageCount: 1 } })
    expect(applied({ session: opaque(3) })).toMatchObject({ bodyStart: 13, body: { generation: 3, messageCount: 9 } })
  })

  it("cursors and droppedThrough never decrease, unless the epoch is new", () => {
    const back = facts({ droppedThrough: 0, cursors: { agentApplied: 0, observed: 2, injected: 0 } })
    const stored = view({ head: { ...head, epoch: facts({ droppedThrough: 1 }) } })
    expect(applied({ epoch: back }, stored).epoch).toEqual({
      ...epoch,
      droppedThrough: 1,
      cursors: { agentApplied: 1, observed: 2, injected: 2 }
    })
    expect(applied({ feed: [entry(3)] }).epoch?.lastSeq).toBe(3)
    const fresh = C.newEpoch()
    expect(applied({ epoch: fresh }, retired).epoch).toEqual(fresh)
    expect(applied({}, noEpoch).epoch).toBeNull()
  })

  it("a trusting view leaves checks to the constraints of the store", () => {
    const of = (inputs: ReadonlyArray<InputPut>) => trusting(head, C.commitOf(at, { inputs }))
    const isOpen = (inputs: ReadonlyArray<InputPut>, id: InputId) => of(inputs).isOpen(id)
    expect(isOpen([end(stranger)], stranger.inputId)).toBe(true)
    expect(isOpen([insert(stranger), end(stranger)], stranger.inputId)).toBe(false)
    expect(isOpen([addEnded(stranger)], stranger.inputId)).toBe(false)
    expect(tag(verdict({ inputs: [insert(open), end(stranger)] }, of([insert(open), end(stranger)])))).toBe("Apply")
  })
})
