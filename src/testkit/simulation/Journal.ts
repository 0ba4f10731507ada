/**
 * What clients were told and what executors were seen to do. It outlives the processes that die, and is what the
 * store is held against.
 *
 * @since 0.1.0
 */
import type { CompletionOutcome } from "../../domain/Completion.js"
import type { InputId, OperationId, RunId, SessionId } from "../../domain/Ids.js"
import type { Durability } from "../../domain/Input.js"
import type { CompletionEntry, OperationOutcome } from "../../domain/Operation.js"
import * as Tally from "./Tally.js"

/** One input that a client handed in. @since 0.1.0 @category models */
export interface Sent {
  readonly inputId: InputId
  readonly sessionId: SessionId
  readonly durability: Durability
  readonly key: string | null
  readonly supersessionKey: string | null
  /** `sent` until the answer comes; it may never come */
  answer: "sent" | "accepted" | "refused"
  /** how it ended, as a waiter was told; what does not end it is not kept */
  outcome: CompletionOutcome | null
  /** runs that ended with the process */
  deaths: number
  /** runs that failed in a way that may be tried again */
  failures: number
}

/** One call of an executor. @since 0.1.0 @category models */
export interface Applied {
  readonly runId: RunId
  readonly sessionId: SessionId
  readonly life: number
  readonly inputs: ReadonlyArray<InputId>
  /** what was given to it of the completion feed */
  readonly completions: ReadonlyArray<CompletionEntry>
  /** when it began, in epoch milliseconds */
  readonly since: number
  /** whether the machine has interrupted it */
  readonly isInterrupted: () => boolean
  ended: boolean
  /** it cannot be interrupted, and may go on beside its successor */
  stubborn: boolean
}

/** An operation that a client or an executor started and was told the id of. @since 0.1.0 @category models */
export interface Started {
  readonly id: OperationId
  readonly sessionId: SessionId
  readonly owner: "process" | "external"
  /** of the session, if it was one and the same all through the call; null otherwise */
  readonly incarnation: number | null
}

/** @since 0.1.0 @category models */
export interface Journal {
  readonly inputs: Map<InputId, Sent>
  readonly runs: Map<RunId, Applied>
  readonly operations: Map<OperationId, Started>
  /** how an operation ended, as its watchers were told */
  readonly ends: Map<OperationId, OperationOutcome["_tag"]>
  /** sessions whose destruction was acknowledged */
  readonly destroyed: Set<SessionId>
  /** who holds a key, by `<session> <key>`, as clients were told */
  readonly keys: Map<string, InputId>
  readonly tally: Tally.Tally
  readonly violations: Array<string>
  /** a hash of everything that was noted: equal digests are equal runs */
  digest: number
  /** lines of what happened; null when nobody wants to read them */
  readonly lines: Array<string> | null
  life: number
}

/** @since 0.1.0 @category constructors */
export const make = (options: { readonly trace: boolean }): Journal => ({
  inputs: new Map(),
  runs: new Map(),
  operations: new Map(),
  ends: new Map(),
  destroyed: new Set(),
  keys: new Map(),
  tally: Tally.make(),
  violations: [],
  digest: 0,
  lines: options.trace ? [] : null,
  life: 0
})

/** Violations beyond these say nothing new. */
const kept = 50

/** @since 0.1.0 @category writing */
export const violate = (journal: Journal, rule: string, detail: string): void => {
  Tally.add(journal.tally, "violation", rule)
  note(journal, `VIOLATION ${rule}: ${detail}`)
  if (journal.violations.length < kept) journal.violations.push(`${rule}: ${detail}`)
}

/** Something that happened: part of the digest, and a line of the trace. @since 0.1.0 @category writing */
export const note = (journal: Journal, line: string): void => {
  let digest = journal.digest
  for (let i = 0; i < line.length; i++) digest = (Math.imul(digest, 31) + line.charCodeAt(i)) | 0
  journal.digest = digest
  journal.lines?.push(line)
}

/** @since 0.1.0 @category writing */
export const count = (journal: Journal, group: string, name: string): void => Tally.add(journal.tally, group, name)

/** @since 0.1.0 @category writing */
export const sent = (journal: Journal, fields: Omit<Sent, "answer" | "outcome" | "deaths" | "failures">): Sent => {
  const known = journal.inputs.get(fields.inputId)
  if (known !== undefined) return known
  const fresh: Sent = { ...fields, answer: "sent", outcome: null, deaths: 0, failures: 0 }
  journal.inputs.set(fields.inputId, fresh)
  return fresh
}

/** Outcomes that leave open how the input ends: the process, or the word of it, ended first. @since 0.1.0 @category guards */
export const isFinal = (outcome: CompletionOutcome): boolean =>
  outcome._tag !== "RuntimeTerminated" && outcome._tag !== "CompletedWithFinalizationFailure" &&
  !(outcome._tag === "AbandonedWithError" && outcome.reason.startsWith("runtime finalization failed"))

/** A waiter was told how an input ended: never two different ends. @since 0.1.0 @category writing */
export const told = (journal: Journal, inputId: InputId, outcome: CompletionOutcome): void => {
  count(journal, "outcome", outcome._tag)
  note(journal, `${inputId} told ${outcome._tag}`)
  if (!isFinal(outcome)) return
  const input = journal.inputs.get(inputId)
  if (input === undefined) return
  if (input.outcome !== null && !same(input.outcome, outcome)) {
    violate(journal, "20 waiter agreement", `${inputId} was told ${input.outcome._tag}, then ${outcome._tag}`)
  }
  input.outcome ??= outcome
}

/** Who waits for the end of an operation, or reads of it, is told the same as everybody. @since 0.1.0 @category writing */
export const toldEnd = (journal: Journal, id: OperationId, { _tag }: OperationOutcome): void => {
  count(journal, "operationOutcome", _tag)
  const before = journal.ends.get(id)
  if (before !== undefined && before !== _tag) {
    violate(journal, "25 operations", `${id} ended ${before}, and then ${_tag}`)
  }
  journal.ends.set(id, _tag)
}

/** Whether two outcomes are the same word. @since 0.1.0 @category guards */
export const same = (a: CompletionOutcome, b: CompletionOutcome): boolean =>
  a === b || (a._tag === b._tag && canonical(a) === canonical(b))

/** A value as text, whatever the order of its fields. @since 0.1.0 @category accessors */
export const canonical = (value: unknown): string =>
  JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([x], [y]) => x < y ? -1 : 1))
      : inner)
