/**
 * Rewrites a source file so that it contains all its mutants, each behind a switch; or applies one of them for good.
 */
import ts from "typescript"
import type { Group, Site } from "./sites.js"
import { blockOf, isMovable, isSkipped, sitesOf } from "./sites.js"

/** A part of the text and its replacement. */
export interface Edit {
  readonly start: number
  readonly end: number
  readonly text: string
}

export interface Mutant {
  readonly id: number
  readonly key: string
  readonly file: string
  readonly line: number
  readonly group: Group
  readonly operator: string
  readonly code: string
  /** the change as a person would make it */
  readonly edits: ReadonlyArray<Edit>
}

export interface Instrumented {
  readonly text: string
  readonly mutants: ReadonlyArray<Mutant>
}

interface Numbered extends Site {
  readonly id: number
}

const editsOf = ({ change, node }: Site): ReadonlyArray<Edit> => {
  const at = (of: ts.Node, text: string): Edit => ({ start: of.getStart(), end: of.end, text })
  switch (change._tag) {
    case "Replace":
      return [at(node, `(${change.text})`)]
    case "RemoveStatement":
      return [at(node, ";")]
    case "DropElement":
      return [at(node, "...[]")]
    case "AlwaysTrue":
      return [at(node, "() => true")]
    case "SwapWith":
      return [at(node, change.next.getText()), at(change.next, node.getText())]
  }
}

export const edited = (text: string, edits: ReadonlyArray<Edit>): string =>
  edits.toSorted((a, b) => b.start - a.start)
    .reduce((rest, edit) => rest.slice(0, edit.start) + edit.text + rest.slice(edit.end), text)

/** Puts the switch of one site around the text that its node has so far. */
const switched = ({ change, id, node }: Numbered, emitted: string): string => {
  switch (change._tag) {
    case "Replace":
      return `(__m(${id}) ? (${change.text}) : (${emitted}))`
    case "RemoveStatement":
      // in braces, because a following `else` belongs to another `if`
      return `{ if (!__m(${id})) { ${emitted} } }`
    case "DropElement":
      return `...(__m(${id}) ? [] : [${ts.isSpreadElement(node) ? emitted : `...[${emitted}]`}])`
    case "AlwaysTrue":
      return `((...them) => __m(${id}) || (${emitted})(...them))`
    case "SwapWith":
      return emitted
  }
}

/** Rewrites one file; ids continue after `from`. The module `switchPath` tells which mutant is on. */
export const instrument = (file: string, text: string, from: number, switchPath: string): Instrumented => {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.ES2022, true)
  const sites = sitesOf(file, source).map((site, i) => ({ ...site, id: from + i }))
  const body = writer(text, sites)(source)
  const mutants = sites.map((site) => {
    const { code, group, id, key, line, operator } = site
    return { id, key, file, line, group, operator, code, edits: editsOf(site) }
  })
  return { text: `import { __m } from ${JSON.stringify(switchPath)};\n${body}`, mutants }
}

const writer = (text: string, sites: ReadonlyArray<Numbered>) => {
  const byNode = new Map<ts.Node, Array<Numbered>>()
  for (const site of sites) byNode.set(site.node, [...(byNode.get(site.node) ?? []), site])

  const emit = (node: ts.Node): string => {
    if (isSkipped(node)) return ts.isStatement(node) ? `${node.getText()};` : node.getText()
    const emitted = emitChildren(node)
    const ended = ts.isExpressionStatement(node) || ts.isVariableStatement(node) || ts.isReturnStatement(node)
      ? `${emitted};`
      : emitted
    return (byNode.get(node) ?? []).reduce((inner, site) => switched(site, inner), ended)
  }

  const emitChildren = (node: ts.Node): string => {
    const statements = blockOf(node)
    const done = new Set<ts.Node>()
    let out = ""
    let at = node.getStart()
    ts.forEachChild(node, (child) => {
      if (!done.has(child)) {
        const run = statements === null ? [] : runFrom(statements, child)
        out += text.slice(at, child.getStart()) + (run.length < 2 ? emit(child) : emitRun(run))
        for (const statement of run) done.add(statement)
      }
      at = child.end
    })
    return out + text.slice(at, node.end)
  }

  /** Emits the statements in the order that is switched on. */
  const emitRun = (run: ReadonlyArray<ts.Statement>): string => {
    const inOrder = run.map(emit).join("\n")
    return run.slice(0, -1).reduceRight((otherwise, first, i) => {
      const swap = byNode.get(first)?.find(({ change }) => change._tag === "SwapWith")
      const next = run[i + 1]
      if (swap === undefined || next === undefined) return otherwise
      const swapped = [...run.slice(0, i), next, first, ...run.slice(i + 2)].map((statement) => statement.getText())
      return `if (__m(${swap.id})) { ${swapped.join(";\n")} } else { ${otherwise} }`
    }, inOrder)
  }

  return emitChildren
}

/** Returns the statements from here on that can be swapped. */
const runFrom = (statements: ReadonlyArray<ts.Statement>, child: ts.Node): ReadonlyArray<ts.Statement> => {
  const at = statements.findIndex((statement) => statement === child)
  if (at < 0) return []
  const rest = statements.slice(at)
  const end = rest.findIndex((statement) => !isMovable(statement))
  return end < 0 ? rest : rest.slice(0, end)
}
