/**
 * Finds what can be taken out of a source file and rewrites the file so that every mutant is in it, behind a switch.
 *
 * What is not looked at: types, texts of templates (messages and statements of SQL), whatever only logs, measures or
 * traces.
 */
import * as ts from "typescript"

export type Group = "guard" | "ordering" | "removal" | "uninterruptible"

/** One change. `key` stays the same as long as the code does, wherever in the file it moves. */
export interface Mutant {
  readonly id: number
  readonly key: string
  readonly file: string
  readonly line: number
  readonly group: Group
  readonly operator: string
  /** the code it concerns, shortened */
  readonly code: string
}

type Wrap = (emitted: string) => string

interface Pair {
  readonly first: ts.Statement
  readonly id: number
}

const silent =
  /^(?:Effect\.(?:log\w*|annotate\w*|withSpan|withLogSpan|withTracer\w*|tagMetrics\w*|track\w*)|Metrics?\.\w+|Metric\w*\.\w+)$/

const calleeOf = (node: ts.Node): string => ts.isCallExpression(node) ? node.expression.getText() : ""

/** Something that only tells: neither mutated nor looked into. */
const isSilent = (node: ts.Node): boolean => {
  if (ts.isYieldExpression(node) && node.expression !== undefined) return isSilent(node.expression)
  if (ts.isExpressionStatement(node) || ts.isParenthesizedExpression(node)) return isSilent(node.expression)
  if (!ts.isCallExpression(node)) return false
  const callee = calleeOf(node)
  if (silent.test(callee)) return true
  const subject = node.expression
  return ts.isPropertyAccessExpression(subject) && subject.name.text === "pipe" && isSilent(subject.expression)
}

const isNothing = (node: ts.Node): boolean => node.getText() === "Effect.void" || isSilent(node)

const finalizers = ["ensuring", "ensuringWith", "onExit", "onInterrupt", "onError"].map((name) => `Effect.${name}`)
const predicates = [
  "Option.filter",
  "Either.filterOrLeft",
  "Effect.filterOrFail",
  "Effect.filterOrElse",
  "Array.filter",
  "Arr.filter",
  "Chunk.filter",
  "Stream.filter"
]
const identity = "((it) => it)"
const boundaries = new Map<ts.SyntaxKind, string>([
  [ts.SyntaxKind.LessThanToken, "<="],
  [ts.SyntaxKind.LessThanEqualsToken, "<"],
  [ts.SyntaxKind.GreaterThanToken, ">="],
  [ts.SyntaxKind.GreaterThanEqualsToken, ">"]
])

const shortened = (text: string): string => {
  const line = text.replace(/\s+/g, " ").trim()
  return line.length > 90 ? `${line.slice(0, 87)}...` : line
}

const isFunction = (node: ts.Node): boolean => ts.isArrowFunction(node) || ts.isFunctionExpression(node)

/** Rewrites one file; ids go on from `from`. */
export const rewrite = (
  file: string,
  text: string,
  from: number,
  switchPath: string
): { readonly text: string; readonly mutants: ReadonlyArray<Mutant> } => {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.ES2022, true)
  const kernel = file.startsWith("src/kernel/")
  const mutants: Array<Mutant> = []
  const wraps = new Map<ts.Node, Array<Wrap>>()
  const pairs = new Map<ts.Node, Array<Pair>>()
  const seen = new Map<string, number>()

  const mutant = (node: ts.Node, group: Group, operator: string, code: ts.Node = node): number => {
    const line = source.getLineAndCharacterOfPosition(node.getStart()).line + 1
    const base = `${file}|${operator}|${code.getText().replace(/\s+/g, " ")}`
    const nth = seen.get(base) ?? 0
    seen.set(base, nth + 1)
    const id = from + mutants.length
    mutants.push({ id, key: `${base}|${nth}`, file, line, group, operator, code: shortened(code.getText()) })
    return id
  }
  const wrap = (node: ts.Node, wrapped: Wrap): void => {
    wraps.set(node, [...(wraps.get(node) ?? []), wrapped])
  }
  const replace = (node: ts.Node, group: Group, operator: string, mutated: string, code: ts.Node = node): void => {
    const id = mutant(node, group, operator, code)
    wrap(node, (emitted) => `(__m(${id}) ? (${mutated}) : (${emitted}))`)
  }
  const dropElement = (node: ts.Expression, operator: string): void => {
    const id = mutant(node, "removal", operator)
    const list = (emitted: string) => ts.isSpreadElement(node) ? emitted : `...[${emitted}]`
    wrap(node, (emitted) => `...(__m(${id}) ? [] : [${list(emitted)}])`)
  }

  // --- what a call offers ---

  const ofCall = (node: ts.CallExpression): void => {
    const callee = calleeOf(node)
    const args = node.arguments
    const [first, second] = args
    if (callee === "Effect.uninterruptible") {
      replace(node.expression, "uninterruptible", "region made interruptible", "Effect.interruptible", node)
    } else if (callee === "Effect.uninterruptibleMask") {
      replace(node.expression, "uninterruptible", "region made interruptible", "Effect.interruptibleMask", node)
    } else if (callee === "Effect.acquireRelease" && first !== undefined && second !== undefined) {
      replace(node, "uninterruptible", "release dropped", first.getText())
    } else if (callee === "Effect.acquireUseRelease" && args[2] !== undefined) {
      replace(args[2], "uninterruptible", "release dropped", "() => Effect.void")
    } else if (callee === "Effect.disconnect" && first !== undefined) {
      replace(node, "uninterruptible", "disconnect dropped", first.getText())
    } else if (callee === "Effect.interruptible" && first !== undefined) {
      replace(node, "uninterruptible", "interruptible dropped", first.getText())
    } else if (finalizers.includes(callee) && first !== undefined) {
      replace(node, "uninterruptible", "finalizer dropped", second === undefined ? identity : first.getText())
    } else if (/^(?:Scope|Effect)\.addFinalizer(?:Exit)?$/.test(callee) && !ts.isYieldExpression(node.parent)) {
      replace(node, "uninterruptible", "finalizer dropped", "Effect.void")
    } else if (callee === "Effect.zipRight" || callee === "Effect.andThen" || callee === "Effect.zipLeft") {
      sequence(node, callee)
    } else if (/^Effect\.tap\w*$/.test(callee) && first !== undefined && !isSilent(last(args))) {
      if (!(isFunction(last(args)) && isNothing(bodyOf(last(args))))) {
        replace(node, "removal", "step dropped", second === undefined ? identity : first.getText())
      }
    } else if ((callee === "Effect.when" || callee === "Effect.unless") && first !== undefined) {
      const condition = last(args)
      replace(condition, "guard", "condition forced", callee === "Effect.when" ? "() => true" : "() => false", node)
    } else if (predicates.includes(callee) && first !== undefined) {
      const at = args.find(isFunction) ?? (second ?? first)
      replace(at, "guard", "predicate forced", "() => true", node)
    } else if (
      ts.isPropertyAccessExpression(node.expression) && node.expression.name.text === "filter" && first !== undefined &&
      args.length === 1
    ) {
      replace(first, "guard", "predicate forced", "() => true", node)
    } else if (kernel && (callee === "also" || callee === "Table.also")) {
      args.slice(1).forEach((arg) => dropElement(arg, "emit dropped"))
    }
  }

  const last = (args: ts.NodeArray<ts.Expression>): ts.Expression => args[args.length - 1] ?? args[0]!
  const bodyOf = (node: ts.Node): ts.Node => ts.isArrowFunction(node) ? node.body : node

  /** One effect after another. */
  const sequence = (node: ts.CallExpression, callee: string): void => {
    const [first, second] = node.arguments
    if (first === undefined) return
    if (second === undefined) {
      // in a pipe: what comes after is dropped where its value is not needed
      if (!isSilent(first) && callee === "Effect.zipLeft") replace(node, "removal", "step dropped", identity)
      return
    }
    if (isFunction(second) || isNothing(first) || isNothing(second)) return
    const [kept, dropped] = callee === "Effect.zipLeft" ? [first, second] : [second, first]
    replace(node, "removal", "step dropped", kept.getText(), node)
    if (/^Effect\.(?:void|succeed|fail|interrupt|never)/.test(kept.getText())) return
    const swapped = callee === "Effect.zipLeft" ? "zipRight" : "zipLeft"
    replace(node, "ordering", "steps swapped", `Effect.${swapped}(${second.getText()}, ${first.getText()})`)
    void dropped
  }

  // --- statements ---

  const removable = (node: ts.Statement): node is ts.ExpressionStatement =>
    ts.isExpressionStatement(node) && !isSilent(node)

  const ofStatements = (owner: ts.Node, statements: ReadonlyArray<ts.Statement>): void => {
    statements.forEach((statement, i) => {
      const next = statements[i + 1]
      if (!removable(statement)) return
      if (next !== undefined && removable(next)) {
        const id = mutant(statement, "ordering", "statements swapped")
        pairs.set(owner, [...(pairs.get(owner) ?? []), { first: statement, id }])
      }
    })
  }

  // --- everything else ---

  const visit = (node: ts.Node): void => {
    if (skipped(node)) return
    if (ts.isBlock(node) || ts.isCaseClause(node) || ts.isDefaultClause(node)) ofStatements(node, node.statements)
    if (ts.isExpressionStatement(node)) {
      const what = ts.isBinaryExpression(node.expression) ? "assignment removed" : "statement removed"
      const id = mutant(node, "removal", what)
      wrap(node, (emitted) => `if (!__m(${id})) { ${emitted} }`)
    } else if (ts.isIfStatement(node)) {
      if (!onlyTells(node.thenStatement)) {
        replace(node.expression, "guard", "branch never taken", "false", node.expression)
        if (node.elseStatement !== undefined) {
          replace(node.expression, "guard", "branch always taken", "true", node.expression)
        }
      }
    } else if (ts.isConditionalExpression(node)) {
      if (!(isNothing(node.whenTrue) && isNothing(node.whenFalse))) {
        replace(node.condition, "guard", "condition true", "true", node)
        replace(node.condition, "guard", "condition false", "false", node)
      }
    } else if (ts.isBinaryExpression(node)) {
      ofBinary(node)
    } else if (ts.isCallExpression(node)) {
      ofCall(node)
    } else if (
      ts.isPropertyAccessExpression(node) && !(ts.isCallExpression(node.parent) && node.parent.expression === node)
    ) {
      // in a pipe, without arguments
      const name = node.getText()
      if (name === "Effect.uninterruptible") {
        replace(node, "uninterruptible", "region made interruptible", "Effect.interruptible", node.parent)
      } else if (name === "Effect.disconnect") {
        replace(node, "uninterruptible", "disconnect dropped", identity, node.parent)
      } else if (name === "Effect.interruptible") {
        replace(node, "uninterruptible", "interruptible dropped", identity, node.parent)
      }
    } else if (ts.isPropertyAssignment(node) && kernel) {
      ofProperty(node)
    }
    ts.forEachChild(node, visit)
  }

  const ofBinary = (node: ts.BinaryExpression): void => {
    const { kind } = node.operatorToken
    if (kind === ts.SyntaxKind.AmpersandAmpersandToken || kind === ts.SyntaxKind.BarBarToken) {
      replace(node, "guard", "right operand only", node.right.getText())
      replace(node, "guard", "left operand only", node.left.getText())
    }
    const moved = boundaries.get(kind)
    if (moved !== undefined && kernel) {
      replace(node, "guard", "boundary moved", `${node.left.getText()} ${moved} ${node.right.getText()}`)
    }
  }

  /** Rows: guards that always hold, emits that are left out. */
  const ofProperty = (node: ts.PropertyAssignment): void => {
    const name = node.name.getText()
    const { initializer } = node
    if (name === "guards" && ts.isObjectLiteralExpression(initializer)) {
      for (const guard of initializer.properties) {
        if (!ts.isPropertyAssignment(guard)) continue
        const id = mutant(guard, "guard", "guard of a row dropped")
        wrap(guard.initializer, (emitted) => `((...them) => __m(${id}) || (${emitted})(...them))`)
      }
    }
    if (name !== "emit" || !ts.isArrowFunction(initializer)) return
    const { body } = initializer
    if (ts.isArrayLiteralExpression(body)) {
      body.elements.forEach((element) => dropElement(element, "emit dropped"))
    } else if (!ts.isBlock(body)) {
      replace(body, "removal", "emit dropped", "[]")
    }
  }

  const onlyTells = (node: ts.Statement): boolean => ts.isBlock(node) ? node.statements.every(isSilent) : isSilent(node)

  const skipped = (node: ts.Node): boolean =>
    ts.isTypeNode(node) || ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node) ||
    ts.isImportDeclaration(node) || ts.isTemplateExpression(node) || ts.isTypeParameterDeclaration(node) ||
    (ts.isExpressionStatement(node) ? isSilent(node) : isSilent(node))

  // --- writing ---

  const plainly = (node: ts.Node): string => node.getText()

  const emit = (node: ts.Node): string => {
    if (skipped(node)) return ts.isStatement(node) ? `${plainly(node)};` : plainly(node)
    const emitted = emitChildren(node)
    const ended = ts.isExpressionStatement(node) || ts.isVariableStatement(node) || ts.isReturnStatement(node)
      ? `${emitted};`
      : emitted
    return (wraps.get(node) ?? []).reduce((inner, wrapped) => wrapped(inner), ended)
  }

  const emitChildren = (node: ts.Node): string => {
    const swaps = pairs.get(node)
    let out = ""
    let at = node.getStart()
    const skip = new Set<ts.Node>()
    ts.forEachChild(node, (child) => {
      if (skip.has(child)) {
        at = child.end
        return
      }
      const run = swaps === undefined ? null : runFrom(node, child)
      out += text.slice(at, child.getStart()) + (run === null ? emit(child) : emitRun(run, swaps ?? []))
      run?.forEach((statement) => skip.add(statement))
      at = child.end
    })
    return out + text.slice(at, node.end)
  }

  /** The statements from here on that stand next to each other and can be swapped. */
  const runFrom = (owner: ts.Node, child: ts.Node): ReadonlyArray<ts.Statement> | null => {
    if (!(ts.isBlock(owner) || ts.isCaseClause(owner) || ts.isDefaultClause(owner))) return null
    const at = owner.statements.findIndex((statement) => statement === child)
    if (at < 0) return null
    const rest = owner.statements.slice(at)
    const end = rest.findIndex((statement) => !removable(statement))
    const run = end < 0 ? rest : rest.slice(0, end)
    return run.length >= 2 ? run : null
  }

  const emitRun = (run: ReadonlyArray<ts.Statement>, swaps: ReadonlyArray<Pair>): string => {
    const inOrder = run.map(emit).join("\n")
    return run.slice(0, -1).reduceRight((otherwise, first, i) => {
      const id = swaps.find((pair) => pair.first === first)?.id ?? -1
      const order = run.map(plainly)
      const swapped = [...order.slice(0, i), order[i + 1], order[i], ...order.slice(i + 2)].join(";\n")
      return `if (__m(${id})) { ${swapped} } else { ${otherwise} }`
    }, inOrder)
  }

  ts.forEachChild(source, visit)
  const body = emitChildren(source)
  return { text: `import { __m } from ${JSON.stringify(switchPath)};\n${body}`, mutants }
}
