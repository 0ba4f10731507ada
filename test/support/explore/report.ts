/**
 * Reports of explorations: one with every detail for the screen, one with the stable part for
 * docs/verification/exploration.md.
 */
import { operationRows } from "../../../src/kernel/operationRows.js"
import type { ListedRow } from "../../../src/kernel/table.js"
import { rows as tableRows } from "../../../src/kernel/table.js"
import type { Coverage } from "./coverage.js"
import { gaps } from "./coverage.js"
import { drainSlot } from "./drainSlot.js"
import type { Finding, Findings, Slice } from "./engine.js"
import { pacing } from "./engine.js"
import { batches, ephemeral, lanes, replacing, riders } from "./ledger.js"
import type { Deed, Node } from "./node.js"
import { operationCells } from "./operationCells.js"
import { product } from "./product.js"
import { deferredTools, intents, toolFilters } from "./toolVisibility.js"
import { wake } from "./wake.js"

/** Rows that no command reaches, with the reason for their existence. */
export const reachedOnlyWith: Readonly<Record<string, string>> = {
  "input.supersede": "no policy of the default table supersedes; the slice `inputs: replacing` has one that does"
}

export interface Exploration {
  readonly slices: ReadonlyArray<Findings>
  readonly coverage: Coverage
}

/** One slice to explore, by name. Its findings are the same each time. */
export interface Part {
  readonly name: string
  readonly explore: () => Generator<undefined, Findings>
}

/** Every slice. `coverage` is shown the states of the slices of whole sessions. */
export const parts = (coverage: Coverage): ReadonlyArray<Part> => {
  const sessions: ReadonlyArray<Slice<Node, Deed>> = [
    product(coverage.show),
    lanes,
    riders,
    batches,
    ephemeral,
    replacing,
    wake,
    toolFilters,
    deferredTools,
    intents
  ]
  return [
    ...sessions.map((slice): Part => ({ name: slice.name, explore: () => pacing(slice) })),
    ...[operationCells(1), operationCells(2)].map((slice): Part => ({
      name: slice.name,
      explore: () => pacing(slice)
    })),
    { name: drainSlot.name, explore: () => pacing(drainSlot) }
  ]
}

/** Every failure of an exploration. The list is empty when every slice closes and every predicate holds. */
export const failures = ({ coverage, slices }: Exploration): ReadonlyArray<string> => [
  ...slices.flatMap(({ closed, predicates, slice }) => [
    ...(closed ? [] : [`${slice}: it does not close`]),
    ...predicates.flatMap((finding) => counterExample(slice, finding))
  ]),
  ...deadRows(slices).map((id) => `the row ${id} never fires`),
  ...gaps(coverage, tableRows)
]

/** The part of the report that is the same on every machine. */
export const markdown = (exploration: Exploration): string =>
  [
    "# What the exploration of the kernel covers",
    intro,
    "## Sizes",
    sizes(exploration.slices),
    ...exploration.slices.map(({ about, slice }) => `- **${slice}**: ${about}.`),
    "## Predicates",
    "Each predicate held in every state, step or path that was examined.",
    predicates(exploration.slices),
    "## Rows",
    rowTable(exploration.slices),
    "## Guards, cells, refusals",
    coverageText(exploration.coverage)
  ].join("\n\n") +
  "\n"

/** One slice with its time, for the screen. */
export const summary = (
  { accepted, closed, depth, predicates, rejected, slice, states }: Findings,
  seconds: number
): string =>
  [
    `${slice}: ${states} states, ${accepted} steps, ${rejected} refusals, depth ${depth}, ${seconds.toFixed(1)} s`,
    `${predicates.length} predicates${closed ? "" : ", not closed"}`
  ].join("; ")

// --- internal ---

const intro =
  "`npm run explore -- --write` generates this page from the table that runs; a test compares. Two states differ if any " +
  "rule can tell them apart: ids count by their order, times and counters by the decisions that depend on them. Between " +
  "any two steps the process may crash; the next process opens what the store holds. The store's rules check each commit."

const counterExample = (slice: string, { counterExample: found, id, says }: Finding): ReadonlyArray<string> =>
  found === null ? [] : [
    `${slice}: ${id} (${says}) is broken by ${found.trace.join(" > ") || "the first state"}: ${
      found.details.join("; ")
    }`
  ]

const fired = (slices: ReadonlyArray<Findings>): ReadonlyMap<string, number> => {
  const total = new Map<string, number>()
  for (const { rows } of slices) for (const [id, times] of rows) total.set(id, (total.get(id) ?? 0) + times)
  return total
}

const deadRows = (slices: ReadonlyArray<Findings>): ReadonlyArray<string> => {
  const total = fired(slices)
  return [...tableRows, ...operationRows].flatMap(({ id }) => total.has(id) ? [] : [id])
}

const table = (head: ReadonlyArray<string>, body: ReadonlyArray<ReadonlyArray<string | number>>): string =>
  [head, head.map(() => "---"), ...body].map((cells) => `| ${cells.join(" | ")} |`).join("\n")

const sizes = (slices: ReadonlyArray<Findings>): string =>
  table(
    ["slice", "states", "steps", "refusals", "depth", "rows fired"],
    slices.map(({ accepted, depth, rejected, rows, slice, states }) => [
      slice,
      states,
      accepted,
      rejected,
      depth,
      rows.size
    ])
  )

/** One line per predicate id, with its number of checks in all slices together. */
const predicates = (slices: ReadonlyArray<Findings>): string => {
  const all = new Map<string, { readonly finding: Finding; readonly checked: number }>()
  for (const finding of slices.flatMap((slice) => slice.predicates)) {
    all.set(finding.id, { finding, checked: (all.get(finding.id)?.checked ?? 0) + finding.checked })
  }
  return table(
    ["id", "holds of", "predicate", "looked at"],
    Array.from(all.values(), ({ checked, finding: { id, kind, says } }) => [id, `every ${kind}`, says, checked])
  )
}

const rowTable = (slices: ReadonlyArray<Findings>): string => {
  const total = fired(slices)
  const notes = Object.entries(reachedOnlyWith).map(([id, why]) => `\`${id}\`: ${why}.`)
  const listed: ReadonlyArray<Pick<ListedRow, "id">> = [...tableRows, ...operationRows]
  return [
    `All ${listed.length} rows fire. ${notes.join(" ")}`,
    table(["row", "fired"], listed.map(({ id }) => [id, total.get(id) ?? 0]))
  ].join("\n\n")
}

const coverageText = ({ cells, guards, refusals }: Coverage): string =>
  [
    `Every guard holds in some state and fails in another (${guards.size} guards of rows), and each of the ${cells.size} cells ` +
    "of the phase matrix that a session can be asked in is taken, refused or guarded as the matrix says.",
    table(["refusal", "times"], Array.from(refusals).sort(([a], [b]) => a < b ? -1 : 1))
  ].join("\n\n")
