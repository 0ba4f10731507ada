/**
 * Renders the transition table as Markdown and Mermaid. `npm run diagram` calls it on the rows that run, so the
 * document cannot differ from the behaviour.
 *
 * @since 0.1.0
 */
import type { Slice } from "./row.js"
import type { ListedRow } from "./table.js"

/** The phases of each slice, in the order of its life. @since 0.1.0 @category constructors */
export const phases: { readonly [S in Slice]: ReadonlyArray<string> } = {
  lifecycle: ["Idle", "Attached", "Running", "Retired", "Stopped", "Destroyed"],
  run: ["Idle", "Attached", "Running", "Retired", "Stopped", "Destroyed"],
  registration: ["Queuing", "Attaching", "Active", "Draining"],
  input: ["absent", "queued", "staged"]
}

/** The slices in display order. @since 0.1.0 @category constructors */
export const slices: ReadonlyArray<Slice> = ["lifecycle", "registration", "run", "input"]

/**
 * Renders which phase leads where, per trigger, as a Markdown table; a dot is a refusal.
 *
 * @since 0.1.0
 * @category rendering
 */
export const phaseMatrix = (rows: ReadonlyArray<ListedRow>, slice: Slice): string => {
  const listed = rows.filter((row) => row.slice === slice)
  const triggers = Array.from(new Set(listed.map(({ on }) => on)))
  return markdown(
    [slice, ...phases[slice]],
    triggers.map((on) => [on, ...phases[slice].map((phase) => cell(listed.filter((row) => row.on === on), phase))])
  )
}

/**
 * Renders every row with its guards, in the order of evaluation, as a Markdown table.
 *
 * @since 0.1.0
 * @category rendering
 */
export const transitionTable = (rows: ReadonlyArray<ListedRow>): string =>
  markdown(
    ["row", "on", "from", "to", "guards"],
    rows.map(({ from, guards, id, on, to }) => [
      id,
      on,
      from.join(", "),
      to.length === 0 ? "=" : to.join(", "),
      Object.keys(guards).join(", ")
    ])
  )

/**
 * Renders the moves of some slices as a Mermaid diagram, without rows that keep the phase.
 *
 * @since 0.1.0
 * @category rendering
 */
export const stateDiagram = (rows: ReadonlyArray<ListedRow>, ...shown: ReadonlyArray<Slice>): string =>
  movesDiagram(
    rows.filter(({ slice }) => shown.includes(slice)).flatMap(({ from, on, to }) =>
      from.flatMap((a) => to.map((b) => ({ on, from: a, to: b })))
    )
  )

/** A move of an operation or a drain slot, which have tables of their own. @since 0.1.0 @category models */
export interface Move {
  readonly on: string
  readonly from: string
  readonly to: string
}

/** Renders moves as a Mermaid state diagram, each move once. @since 0.1.0 @category rendering */
export const movesDiagram = (moves: ReadonlyArray<Move>): string => {
  const edges = new Map<string, Set<string>>()
  for (const { from, on, to } of moves) {
    if (from === to) continue
    const edge = `${from} --> ${to}`
    edges.set(edge, (edges.get(edge) ?? new Set()).add(on))
  }
  return [
    "stateDiagram-v2",
    ...Array.from(edges, ([edge, triggers]) => `  ${edge}: ${Array.from(triggers).join(", ")}`)
  ].join("\n")
}

/** Renders the whole document: a section per slice, then the other moves. @since 0.1.0 @category rendering */
export const document = (
  rows: ReadonlyArray<ListedRow>,
  others: Readonly<Record<string, ReadonlyArray<Move>>> = {}
): string =>
  [
    "# The kernel's table",
    "`npm run diagram` generates this page from the rows that run; a test compares. A dot is a refusal, `=` keeps the phase, " +
    "`?` depends on the guards below. Rows of a trigger are tried in the order listed: the first row whose phase and " +
    "guards hold fires.",
    "## Phases",
    ...slices.map((slice) => `### ${slice}\n\n${phaseMatrix(rows, slice)}`),
    "## Diagrams",
    `### lifecycle and run\n\n${mermaid(stateDiagram(rows, "lifecycle", "run"))}`,
    ...(["registration", "input"] as const).map((slice) => `### ${slice}\n\n${mermaid(stateDiagram(rows, slice))}`),
    ...Object.entries(others).map(([name, moves]) => `### ${name}\n\n${mermaid(movesDiagram(moves))}`),
    `## Rows\n\n${transitionTable(rows)}`
  ].join("\n\n") + "\n"

// --- internal ---

const mermaid = (diagram: string): string => `\`\`\`mermaid\n${diagram}\n\`\`\``

/** A question mark marks guarded targets: the trigger may be refused there if no unguarded row follows. */
const cell = (rows: ReadonlyArray<ListedRow>, phase: string): string => {
  const targets = rows.filter(({ from }) => from.includes(phase)).map(({ guards, to }) => {
    const mark = Object.keys(guards).length === 0 ? "" : "?"
    return `${to.length === 0 ? "=" : to.join("/")}${mark}`
  })
  return targets.length === 0 ? "·" : Array.from(new Set(targets)).join(" ")
}

const markdown = (head: ReadonlyArray<string>, body: ReadonlyArray<ReadonlyArray<string>>): string =>
  [head, head.map(() => "---"), ...body].map((cells) => `| ${cells.join(" | ")} |`).join("\n")
