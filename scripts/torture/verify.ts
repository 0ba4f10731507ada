/** Checks a store file after every kill against what its processes logged before they died. */
import type { CompletionOutcome } from "../../src/domain/Completion.js"
import type { InputState } from "../../src/domain/InputRecord.js"
import type { Message } from "../../src/domain/Message.js"
import type { Image, SessionImage } from "./image.js"
import type { Entry } from "./log.js"

/** How many processes may die during an input's runs: one with a soft staging, then `crashBudget` with hard ones. */
const deaths = 4

/** Outcomes that were read from the file before; they must never change. */
export type Seen = Map<string, string>

export interface Said {
  readonly entries: ReadonlyArray<Entry>
  /** lives that were killed by SIGKILL */
  readonly killed: ReadonlySet<number>
}

/** Returns the violations. With `finished` no input may be open any more. */
export const verify = (image: Image, said: Said, seen: Seen, finished: boolean): ReadonlyArray<string> => {
  const sessions = new Map(image.sessions.map((session) => [String(session.sessionId), session]))
  return [
    ...image.objections,
    ...said.entries.flatMap((entry) => entry._ === "wrong" ? [entry.what] : []),
    ...promises(sessions, said.entries),
    ...image.sessions.flatMap((session) => [
      ...inputs(session, seen, finished),
      ...body(session),
      ...answered(session, said.entries)
    ]),
    ...crashes(said)
  ]
}

/** Returns the outcome of an input in the driver's words. */
const endOf = (outcome: CompletionOutcome): string =>
  outcome._tag === "Completed" ? `Completed ${outcome.result.text}` : outcome._tag

/** Checks that no acknowledged input is lost, and that the store has the outcomes that waiters received. */
const promises = (
  sessions: ReadonlyMap<string, SessionImage>,
  entries: ReadonlyArray<Entry>
): ReadonlyArray<string> => {
  const byKey = new Map<string, InputState>()
  for (const [name, session] of sessions) {
    for (const input of session.inputs) byKey.set(`${name} ${input.idempotencyKey ?? ""}`, input)
  }
  return entries.flatMap((entry) => {
    if (entry._ !== "ack" && entry._ !== "done") return []
    const name = `${entry.session} ${entry.key}`
    const input = byKey.get(name)
    if (input === undefined) return [`lost: ${name} was acknowledged in life ${entry.life}`]
    if (entry._ === "ack") {
      return entry.id === "" || input.inputId === entry.id
        ? []
        : [`${name} is ${input.inputId}, not ${entry.id}`]
    }
    const stored = input.outcome === undefined ? input.phase : endOf(input.outcome)
    return stored === entry.end ? [] : [`lost: ${name} ended "${entry.end}" for its waiter, the store says "${stored}"`]
  })
}

const inputs = (session: SessionImage, seen: Seen, finished: boolean): ReadonlyArray<string> => {
  const found: Array<string> = []
  const keys = new Set<string>()
  for (const input of session.inputs) {
    const name = `${session.sessionId} ${input.idempotencyKey ?? input.inputId}`
    if (keys.has(name)) found.push(`twice: ${name} has two inputs`)
    keys.add(name)
    if (input.terminal === undefined) {
      if (seen.has(name)) found.push(`${name} had ended and is open again`)
      if (finished) found.push(`${name} never ended: ${input.phase}`)
      continue
    }
    const now = JSON.stringify([input.inputId, input.terminal, input.outcome])
    const before = seen.get(name)
    if (before !== undefined && before !== now) found.push(`${name} changed its end from ${before} to ${now}`)
    if (input.outcome === undefined) found.push(`${name} ended without an outcome`)
    seen.set(name, now)
  }
  if (finished && session.pendingInputs !== 0) found.push(`${session.sessionId}: ${session.pendingInputs} are pending`)
  return found
}

const textOf = (message: Message): string =>
  message.blocks.map((block) => block.type === "text" ? block.text : "").join("")

/** Checks that each consumed input has one receipt, and that the body has its content and answer once, in order. */
const body = (session: SessionImage): ReadonlyArray<string> => {
  const { history, inputs, receipts, sessionId } = session
  const byId = new Map(inputs.map((input) => [input.inputId, input]))
  const found: Array<string> = []
  const contributed = new Set<string>()
  const runs = new Map<string, number>()
  const expected: Array<readonly [string, string]> = []
  for (const { outcome, receipt } of receipts) {
    const next = runs.get(receipt.runId) ?? 0
    if (receipt.sequence !== next) found.push(`${sessionId}: receipt ${receipt.runId} ${receipt.sequence}, not ${next}`)
    runs.set(receipt.runId, next + 1)
    for (const id of receipt.contributingInputIds) {
      const input = byId.get(id)
      if (input === undefined) found.push(`${sessionId}: receipt ${receipt.runId} names the unknown input ${id}`)
      if (contributed.has(id)) found.push(`twice: ${sessionId} ${id} is in two receipts`)
      contributed.add(id)
      expected.push(["user", input?.idempotencyKey ?? ""])
    }
    if (outcome._tag === "Completed") expected.push(["assistant", outcome.result.text])
    if (receipt.messageCount !== expected.length) {
      found.push(
        `${sessionId}: receipt ${receipt.runId} counts ${receipt.messageCount}, not ${expected.length} messages`
      )
    }
  }
  for (const { inputId, terminal } of inputs) {
    if ((terminal?.type === "consumed") !== contributed.has(inputId)) {
      found.push(`${sessionId}: ${inputId} is ${terminal?.type ?? "open"}, its receipt says otherwise`)
    }
  }
  if (history.length !== expected.length) {
    found.push(`${sessionId}: ${history.length} messages instead of ${expected.length}`)
  }
  for (const [i, [role, text]] of expected.entries()) {
    const message = history[i]
    const said = message === undefined ? "" : textOf(message)
    const same = message?.role === role && (role === "user" ? said.split(" ")[0] === text : said === text)
    if (!same) {
      found.push(`${sessionId}: message ${i} is ${message?.role ?? "missing"} "${said.slice(0, 60)}", not ${text}`)
    }
  }
  return found.slice(0, 5)
}

/** Checks that every stored answer was given by an executor for that input. */
const answered = ({ inputs: all, sessionId }: SessionImage, entries: ReadonlyArray<Entry>): ReadonlyArray<string> => {
  const given = new Set(
    entries.flatMap((entry) => entry._ === "end" ? [`${entry.session} ${entry.key} ${entry.answer}`] : [])
  )
  return all.flatMap(({ idempotencyKey, outcome }) =>
    outcome?._tag !== "Completed" || given.has(`${sessionId} ${idempotencyKey ?? ""} ${outcome.result.text}`)
      ? []
      : [`${sessionId} ${idempotencyKey ?? ""} has an answer that no executor gave: ${outcome.result.text}`]
  )
}

/** Checks that an input does not run in more killed lives than its budget allows. */
const crashes = ({ entries, killed }: Said): ReadonlyArray<string> => {
  const last = new Map<string, Entry["_"]>()
  for (const entry of entries) {
    if (!killed.has(entry.life)) continue
    if (entry._ === "start" || entry._ === "end" || entry._ === "fail" || entry._ === "interrupt") {
      last.set(`${entry.life} ${entry.session} ${entry.key}`, entry._)
    }
    if (entry._ === "done") last.delete(`${entry.life} ${entry.session} ${entry.key}`)
  }
  const counts = new Map<string, number>()
  for (const [name, what] of last) {
    const key = name.slice(name.indexOf(" ") + 1)
    if (what !== "interrupt") counts.set(key, (counts.get(key) ?? 0) + 1)
  }
  return Array.from(counts).flatMap(([key, n]) => n > deaths ? [`${key} ran in ${n} lives that were killed`] : [])
}
