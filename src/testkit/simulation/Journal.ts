/**
 * The record of what clients were told and what executors did. It outlives the simulated processes; the audits compare
 * the store with it.
 *
 * @since 0.1.0
 */
import type { CompletionOutcome } from "../../domain/Completion.js"
import type { InputId, OperationId, RunId, SessionId } from "../../domain/Ids.js"
import type { Durability } from "../../domain/Input.js"
import type { CompletionEntry, OperationOutcome } from "../../domain/Operation.js"
import * as Tally from "./Tally.js"

/** One input that a client submitted. @since 0.1.0 @category models */
export interface Sent {
  readonly inputId: InputId
  readonly sessionId: SessionId
  readonly durability: Durability
  readonly key: string | null
  readonly supersessionKey: string | null
  /** `sent` until the answer arrives, which may never happen */
  answer: "sent" | "accepted" | "refused"
  /** the final outcome that a waiter was told; other outcomes are not kept */
  outcome: CompletionOutcome | null
  /** how many of its runs ended with the process */
  deaths: number
  /** how many of its runs failed retryably */
  failures: number
}

/** One call of an executor. @since 0.1.0 @category models */
export interface Applied {
  readonly runId: RunId
  readonly sessionId: SessionId
  readonly life: number
  readonly inputs: ReadonlyArray<InputId>
  /** the feed entries that it received */
  readonly completions: ReadonlyArray<CompletionEntry>
  /** its start, in epoch milliseconds */
  readonly since: number
  /** true once the machine has interrupted it */
  readonly isInterrupted: () => boolean
  ended: boolean
  /** true: it cannot be interrupted, and may continue beside its successor */
  stubborn: boolean
}

/** An operation whose id a client or an executor received. @since 0.1.0 @category models */
export interface Started {
  readonly id: OperationId
  readonly sessionId: SessionId
  readonly owner: "process" | "external"
  /** the incarnation of the session during the call; null if it changed meanwhile */
  readonly incarnation: number | null
}

/** The record of one simulation. @since 0.1.0 @category models */
export interface Journal {
  readonly inputs: Map<InputId, Sent>
  readonly runs: Map<RunId, Applied>
  readonly operations: Map<OperationId, Started>
  /** how an operation ended, as its watchers were told */
  readonly ends: Map<OperationId, OperationOutcome["_tag"]>
  /** sessions whose destruction was acknowledged */
  readonly destroyed: Set<SessionId>
  /** the owner of a key, by `<session> <key>`, as clients were told */
  readonly keys: Map<string, InputId>
  readonly tally: Tally.Tally
  readonly violations: Array<string>
  /** a hash of all notes: equal digests mean equal runs */
  digest: number
  /** the notes as lines; null without a trace */
  readonly lines: Array<string> | null
  life: number
}

/** Makes an empty journal. @since 0.1.0 @category constructors */
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

/** How many violations are kept; further ones add nothing. */
const kept = 50

/** Records a violation of a rule. @since 0.1.0 @category writing */
export const violate = (journal: Journal, rule: string, detail: string): void => {
  Tally.add(journal.tally, "violation", rule)
  note(journal, `VIOLATION ${rule}: ${detail}`)
  if (journal.violations.length < kept) journal.violations.push(`${rule}: ${detail}`)
}

/** Records an event in the digest and in the trace. @since 0.1.0 @category writing */
export const note = (journal: Journal, line: string): void => {
  let digest = journal.digest
  for (let i = 0; i < line.length; i++) digest = (Math.imul(digest, 31) + line.charCodeAt(i)) | 0
  journal.digest = digest
  journal.lines?.push(line)
}

/** Counts a hit for coverage. @since 0.1.0 @category writing */
export const count = (journal: Journal, group: string, name: string): void => Tally.add(journal.tally, group, name)

/** Returns the record of an input, and makes it at the first call. @since 0.1.0 @category writing */
export const sent = (journal: Journal, fields: Omit<Sent, "answer" | "outcome" | "deaths" | "failures">): Sent => {
  const known = journal.inputs.get(fields.inputId)
  if (known !== undefined) return known
  const fresh: Sent = { ...fields, answer: "sent", outcome: null, deaths: 0, failures: 0 }
  journal.inputs.set(fields.inputId, fresh)
  return fresh
}

/**
 * False for outcomes that leave the end of the input open, because process or commit ended first.
 *
 * @since 0.1.0
 * @category guards
 */
export const isFinal = (outcome: CompletionOutcome): boolean =>
  outcome._tag !== "RuntimeTerminated" && outcome._tag !== "CompletedWithFinalizationFailure" &&
  !(outcome._tag === "AbandonedWithError" && outcome.reason.startsWith("runtime finalization failed"))

/**
 * Records the outcome that a waiter was told; two different final outcomes are a violation.
 *
 * @since 0.1.0
 * @category writing
 */
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

/**
 * Records the end of an operation that a watcher or reader was told; two different ends are a violation.
 *
 * @since 0.1.0
 * @category writing
 */
export const toldEnd = (journal: Journal, id: OperationId, { _tag }: OperationOutcome): void => {
  count(journal, "operationOutcome", _tag)
  const before = journal.ends.get(id)
  if (before !== undefined && before !== _tag) {
    violate(journal, "25 operations", `${id} ended ${before}, and then ${_tag}`)
  }
  journal.ends.set(id, _tag)
}

/** True if two outcomes are equal. @since 0.1.0 @category guards */
export const same = (a: CompletionOutcome, b: CompletionOutcome): boolean =>
  a === b || (a._tag === b._tag && canonical(a) === canonical(b))

/** Returns a value as text, independent of the order of its fields. @since 0.1.0 @category accessors */
export const canonical = (value: unknown): string =>
  JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([x], [y]) => x < y ? -1 : 1))
      : inner)
