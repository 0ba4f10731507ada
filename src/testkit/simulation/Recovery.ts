/**
 * Checks every opening of a session: it must agree with the end of the last incarnation, and a second opening must change
 * nothing. The faulty store calls it with each planned opening; each broken rule becomes a violation in the journal.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import { imageOf } from "../../../layers/internal/memory/tables.js"
import type { RunId } from "../../domain/Ids.js"
import type { InputRecord } from "../../domain/InputRecord.js"
import type { Opening, RuntimeCommit, RuntimeImage } from "../../domain/RuntimeCommit.js"
import { canonical, count, note, violate } from "./Journal.js"
import type { World } from "./World.js"

/** Returns the policy that an input was admitted with; it must not change while the input is open. @since 0.1.0 @category accessors */
export const stampOf = ({ admissionSeq, createdAt, durability, hold, kind, policy, semantics }: InputRecord): string =>
  canonical([kind, durability, hold, admissionSeq, createdAt, policy, semantics])

/** Checks an opening that was planned on a stored image. @since 0.1.0 @category monitoring */
export const planned = <A>(world: World, image: RuntimeImage, opening: Opening<A>): void => {
  note(
    world.journal,
    `opens ${image.runtimeId} ${image.incarnation}: ${image.inputs.length} inputs, ${image.lifecycle}`
  )
  branches(world, image, opening)
  for (const row of rowsOf(opening.value)) count(world.journal, "row", row)
  for (const record of image.inputs) stamped(world, record)
  order(world, image)
  for (const batch of staged(image)) crashed(world, image, batch, opening.commit)
}

/**
 * Rule 19: a recovered session needs no recovery. Reads the store after the opening and before any other write.
 *
 * @since 0.1.0
 * @category monitoring
 */
export const repeated = <A, E>(
  { journal, peek }: World,
  { incarnation, runtimeId }: RuntimeCommit,
  plan: (image: RuntimeImage) => Either.Either<Opening<A>, E>
): void => {
  const tables = peek?.(runtimeId)
  if (tables === undefined || tables.head.incarnation !== incarnation) return
  const again = plan(imageOf(tables))
  if (Either.isLeft(again)) {
    return violate(journal, "19 recovery is idempotent", `${runtimeId} is refused the second time`)
  }
  const { dropOperations, feed, inputs, lifecycle, operations, session, slices } = again.right.commit
  if (inputs.length + operations.length + dropOperations.length + feed.length + slices.length > 0) {
    violate(journal, "19 recovery is idempotent", `${runtimeId}: ${canonical(inputs)} ${canonical(operations)}`)
  }
  if (session !== undefined || lifecycle !== undefined) {
    violate(journal, "19 recovery is idempotent", `${runtimeId}: ${lifecycle ?? "its body"} is written again`)
  }
}

// --- internal ---

const hasRows = (value: unknown): value is { readonly rows: ReadonlyArray<string> } =>
  typeof value === "object" && value !== null && "rows" in value && Array.isArray(value.rows)

const rowsOf = (value: unknown): ReadonlyArray<string> => hasRows(value) ? value.rows : []

/** Rule 18: the admission of an input fixes its policy. */
const stamped = ({ journal, ledger }: World, record: InputRecord): void => {
  const before = ledger.stamps.get(record.inputId)
  const found = stampOf(record)
  if (before !== undefined && before !== found) {
    violate(journal, "18 policy", `${record.inputId} was admitted as ${before} and is found as ${found}`)
  }
}

/** Rule 13: a process that closes in order leaves no staged input. */
const order = ({ journal, ledger }: World, { inputs, runtimeId }: RuntimeImage): void => {
  if (!ledger.tidy.has(runtimeId)) return
  for (const { inputId, status } of inputs) {
    if (status.type !== "staged") continue
    violate(journal, "13 crash budget", `${inputId} was left staged by an incarnation that closed in order`)
  }
}

const staged = ({ inputs }: RuntimeImage): ReadonlyArray<ReadonlyArray<InputRecord>> => {
  const runs = new Map<RunId, Array<InputRecord>>()
  for (const record of inputs) {
    if (record.status.type !== "staged") continue
    const batch = runs.get(record.status.runId)
    if (batch === undefined) runs.set(record.status.runId, [record])
    else batch.push(record)
  }
  return Array.from(runs.values())
}

/**
 * Rule 13: an input that drove a run is charged when the process of that run dies, until it is a suspect. Exactly the
 * suspects that ran alone are abandoned (D10).
 */
const crashed = (
  world: World,
  image: RuntimeImage,
  batch: ReadonlyArray<InputRecord>,
  commit: RuntimeCommit
): void => {
  const { config, journal, staged } = world
  if (batch.some(({ status }) => status.type === "staged" && staged.has(status.runId))) {
    return uncharged(world, batch, commit)
  }
  const retired = image.lifecycle === "retired"
  const drivers = batch.filter(({ hold, kind }) => retired || (!hold && kind !== "peer_response_progress"))
  const most = Math.max(1, config.crashBudget - 1)
  for (const { crashed, inputId, status } of drivers) {
    const alone = status.type === "staged" && status.alone === true
    if (alone && (batch.length > 1 || crashed < most)) {
      violate(journal, "13 alone", `${inputId} ran alone beside ${batch.length - 1} others, after ${crashed} crashes`)
    }
    const found = commit.inputs.filter((put) => put._tag === "Update" && put.facts.inputId === inputId)
    const after = found.flatMap((put) => put._tag === "Update" ? [put.facts.crashed] : [])
    const end = commit.inputs.find((put) => put._tag === "Terminal" && put.row.inputId === inputId)
    const isOver = end !== undefined && end._tag === "Terminal" && end.row.crashed === crashed + 1
    const isOpen = end === undefined && after[after.length - 1] === Math.max(crashed, Math.min(crashed + 1, most))
    if (alone && crashed >= most ? isOver : isOpen) continue
    violate(
      journal,
      "13 crash budget",
      `${inputId} lost its process after ${crashed} charges and was not charged again`
    )
  }
}

/** Rule 13: a run that this process began is not charged as a crash. */
const uncharged = ({ journal }: World, batch: ReadonlyArray<InputRecord>, { inputs }: RuntimeCommit): void => {
  count(journal, "recovery", "staged by this process")
  for (const { crashed, inputId } of batch) {
    for (const put of inputs) {
      const facts = put._tag === "Update" ? put.facts : put._tag === "Terminal" ? put.row : null
      if (facts?.inputId !== inputId || facts.crashed === crashed) continue
      violate(journal, "13 no crash in a living process", `${inputId} was charged although its process lives`)
    }
  }
}

/** Counts the cases of recovery that an opening covers. */
const branches = <A>({ journal }: World, image: RuntimeImage, { commit }: Opening<A>): void => {
  const hit = (name: string, when: boolean) => {
    if (when) count(journal, "recovery", name)
  }
  const staged = image.inputs.filter(({ status }) => status.type === "staged")
  const ended = commit.inputs.filter((put) => put._tag === "Terminal").length
  const terminated = commit.operations.filter(({ status }) => status === "terminated").length
  hit("created", !image.exists)
  hit("adopted", image.exists)
  hit(`lifecycle.${image.lifecycle}`, image.exists)
  hit("queued inputs", image.inputs.length > staged.length)
  hit("staged inputs", staged.length > 0)
  hit("staged batch", staged.length > 1)
  hit("crash budget used up", ended > 0)
  hit("suspect ran alone", staged.some(({ status }) => status.type === "staged" && status.alone === true))
  hit("process operations terminated", terminated > 0)
  hit(
    "external operations kept",
    image.operations.some(({ outcome, spec }) => outcome === undefined && spec.owner === "external")
  )
  hit("completed operations kept", image.operations.some(({ outcome }) => outcome !== undefined))
  hit("feed beyond the agent", (image.epoch?.lastSeq ?? 0) > (image.epoch?.cursors.agentApplied ?? 0))
  hit("continuation owed", (image.epoch?.lastSeq ?? 0) > (image.epoch?.cursors.injected ?? 0))
  hit("retry pending", image.inputs.some(({ notBefore }) => notBefore !== undefined))
  hit("held inputs", image.inputs.some(({ hold }) => hold))
  for (const { name } of image.slices) hit(`slice.${name}`, true)
}
