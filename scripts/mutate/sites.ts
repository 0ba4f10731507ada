/**
 * Finds the mutants of a source file: guards, orders, steps, uninterruptible regions and bounds.
 *
 * It skips types, texts of templates (messages and SQL statements), and calls that only log, measure or trace.
 */
import ts from "typescript"

export type Group = "bound" | "guard" | "ordering" | "removal" | "uninterruptible"

/** How a mutant changes a node. */
export type Change =
  | { readonly _tag: "Replace"; readonly text: string }
  | { readonly _tag: "RemoveStatement" }
  | { readonly _tag: "DropElement" }
  /** a function that always returns true */
  | { readonly _tag: "AlwaysTrue" }
  | { readonly _tag: "SwapWith"; readonly next: ts.Statement }

/** One mutant of a file. `key` stays the same while its code does, even if the code moves in the file. */
export interface Site {
  readonly key: string
  readonly line: number
  readonly group: Group
  readonly operator: string
  /** the code of the node, shortened */
  readonly code: string
  readonly node: ts.Node
  readonly change: Change
}

const silent =
  /^(?:Effect\.(?:log\w*|annotate\w*|withSpan|withLogSpan|withTracer\w*|tagMetrics\w*|track\w*)|Metrics?\.\w+|Metric\w*\.\w+)$/

const calleeOf = (node: ts.Node): string => ts.isCallExpression(node) ? node.expression.getText() : ""

/** True for calls that only log, measure or trace: they get no mutants. */
const isSilent = (node: ts.Node): boolean => {
  if (ts.isYieldExpression(node) && node.expression !== undefined) return isSilent(node.expression)
  if (ts.isExpressionStatement(node) || ts.isParenthesizedExpression(node)) return isSilent(node.expression)
  if (!ts.isCallExpression(node)) return false
  if (silent.test(calleeOf(node))) return true
  const subject = node.expression
  return ts.isPropertyAccessExpression(subject) && subject.name.text === "pipe" && isSilent(subject.expression)
}

/** True for nodes that get no mutants, inside them neither. */
export const isSkipped = (node: ts.Node): boolean =>
  ts.isTypeNode(node) || ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node) ||
  ts.isImportDeclaration(node) || ts.isTemplateExpression(node) || ts.isTypeParameterDeclaration(node) ||
  isSilent(node)

/** True for a statement that can trade places with a neighbour. */
export const isMovable = (node: ts.Statement): node is ts.ExpressionStatement =>
  ts.isExpressionStatement(node) && !isSilent(node)

export const blockOf = (node: ts.Node): ReadonlyArray<ts.Statement> | null =>
  ts.isBlock(node) || ts.isCaseClause(node) || ts.isDefaultClause(node) ? node.statements : null

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
const searches = ["filter", "find", "findIndex", "findLast"]
const identity = "(<T>(it: T) => it)"
const boundaries = new Map<ts.SyntaxKind, string>([
  [ts.SyntaxKind.LessThanToken, "<="],
  [ts.SyntaxKind.LessThanEqualsToken, "<"],
  [ts.SyntaxKind.GreaterThanToken, ">="],
  [ts.SyntaxKind.GreaterThanEqualsToken, ">"]
])
const comparisons = new Set([
  ...boundaries.keys(),
  ts.SyntaxKind.EqualsEqualsEqualsToken,
  ts.SyntaxKind.ExclamationEqualsEqualsToken
])
// not plain literals: the compiler would find unreachable code behind them
const yes = "true as boolean"
const no = "false as boolean"

const shortened = (text: string): string => {
  const line = text.replace(/\s+/g, " ").trim()
  return line.length > 90 ? `${line.slice(0, 87)}...` : line
}

const isFunction = (node: ts.Node): boolean => ts.isArrowFunction(node) || ts.isFunctionExpression(node)
const isNothing = (node: ts.Node): boolean => node.getText() === "Effect.void" || isSilent(node)
const onlyTells = (node: ts.Statement): boolean => ts.isBlock(node) ? node.statements.every(isSilent) : isSilent(node)
const bodyOf = (node: ts.Node): ts.Node => ts.isArrowFunction(node) ? node.body : node
const lastOf = (args: ts.NodeArray<ts.Expression>): ts.Expression | undefined => args[args.length - 1]

/** Returns the value of a number literal or of a product of such. */
const valueOf = (node: ts.Expression): number | null => {
  if (ts.isNumericLiteral(node)) return Number(node.text)
  if (!ts.isBinaryExpression(node) || node.operatorToken.kind !== ts.SyntaxKind.AsteriskToken) return null
  const [left, right] = [valueOf(node.left), valueOf(node.right)]
  return left === null || right === null ? null : left * right
}

/** True for the name of a bound. Page sizes and pauses only tune. */
const isBound = (name: string): boolean => /max|limit|budget/i.test(name)

const isTopLevel = (node: ts.VariableDeclaration): boolean => ts.isSourceFile(node.parent.parent.parent)

/** Returns the target of an assignment. */
const targetOf = (node: ts.ExpressionStatement): string | null => {
  const { expression } = node
  if (ts.isPostfixUnaryExpression(expression)) return expression.operand.getText()
  if (!ts.isBinaryExpression(expression)) return null
  const { kind } = expression.operatorToken
  return kind >= ts.SyntaxKind.FirstAssignment && kind <= ts.SyntaxKind.LastAssignment
    ? expression.left.getText()
    : null
}

/** True if the order of two statements matters: effects always, plain statements if one reads what the other writes. */
const orderMatters = (one: ts.ExpressionStatement, other: ts.ExpressionStatement): boolean => {
  if (ts.isYieldExpression(one.expression) && ts.isYieldExpression(other.expression)) return true
  const [written, next] = [targetOf(one), targetOf(other)]
  return (written !== null && other.getText().includes(written)) || (next !== null && one.getText().includes(next))
}

/** Returns all mutants of one file, outer nodes first. */
export const sitesOf = (file: string, source: ts.SourceFile): ReadonlyArray<Site> => {
  const kernel = file.startsWith("src/kernel/")
  const sites: Array<Site> = []
  const seen = new Map<string, number>()

  const add = (node: ts.Node, group: Group, operator: string, change: Change, about: ts.Node = node): void => {
    const line = source.getLineAndCharacterOfPosition(node.getStart()).line + 1
    const code = shortened(about.getText())
    const base = `${file} | ${operator} | ${code}`
    const nth = seen.get(base) ?? 0
    seen.set(base, nth + 1)
    sites.push({ key: nth === 0 ? base : `${base} #${nth + 1}`, line, group, operator, code, node, change })
  }
  const replace = (node: ts.Node, group: Group, operator: string, text: string, about: ts.Node = node): void =>
    add(node, group, operator, { _tag: "Replace", text }, about)

  // --- regions, releases, finalizers ---

  const ofRegion = (node: ts.CallExpression, callee: string): boolean => {
    const [first, second, third] = node.arguments
    if (callee === "Effect.uninterruptible" || callee === "Effect.uninterruptibleMask") {
      const opened = callee.replace("unint", "int")
      replace(node.expression, "uninterruptible", "region made interruptible", opened, node)
    } else if (callee === "Effect.acquireRelease" && first !== undefined && second !== undefined) {
      replace(node, "uninterruptible", "release dropped", first.getText())
    } else if (callee === "Effect.acquireUseRelease" && third !== undefined) {
      replace(third, "uninterruptible", "release dropped", "() => Effect.void")
    } else if (callee === "Effect.disconnect" && first !== undefined) {
      replace(node, "uninterruptible", "disconnect dropped", first.getText())
    } else if (callee === "Effect.interruptible" && first !== undefined) {
      replace(node, "uninterruptible", "interruptible dropped", first.getText())
    } else if (finalizers.includes(callee) && first !== undefined) {
      const last = bodyOf(second ?? first)
      if (!isNothing(last)) {
        replace(node, "uninterruptible", "finalizer dropped", second === undefined ? identity : first.getText())
      }
    } else if (/^(?:Scope|Effect)\.addFinalizer(?:Exit)?$/.test(callee) && !ts.isYieldExpression(node.parent)) {
      replace(node, "uninterruptible", "finalizer dropped", "Effect.void")
    } else return false
    return true
  }

  /** A name in a pipe, without arguments. */
  const ofName = (node: ts.PropertyAccessExpression): void => {
    if (ts.isCallExpression(node.parent) && node.parent.expression === node) return
    const name = node.getText()
    if (name === "Effect.uninterruptible") {
      replace(node, "uninterruptible", "region made interruptible", "Effect.interruptible", node.parent)
    } else if (name === "Effect.disconnect") {
      replace(node, "uninterruptible", "disconnect dropped", identity, node.parent)
    } else if (name === "Effect.interruptible") {
      replace(node, "uninterruptible", "interruptible dropped", identity, node.parent)
    }
  }

  // --- steps and conditions of effects ---

  const ofStep = (node: ts.CallExpression, callee: string): boolean => {
    const [first, second] = node.arguments
    const last = lastOf(node.arguments)
    if (first === undefined || last === undefined) return false
    if (callee === "Effect.zipRight" || callee === "Effect.andThen" || callee === "Effect.zipLeft") {
      sequence(node, callee, first, second)
    } else if (/^Effect\.tap\w*$/.test(callee)) {
      if (!isNothing(bodyOf(last))) {
        replace(node, "removal", "step dropped", second === undefined ? identity : first.getText())
      }
    } else if (callee === "Effect.when" || callee === "Effect.unless") {
      replace(last, "guard", "condition forced", callee === "Effect.when" ? "() => true" : "() => false", node)
    } else return false
    return true
  }

  const ofSearch = (node: ts.CallExpression, callee: string): boolean => {
    const [first, second] = node.arguments
    if (first === undefined) return false
    if (predicates.includes(callee)) {
      const at = node.arguments.find(isFunction) ?? second ?? first
      replace(at, "guard", "predicate forced", "() => true", node)
      return true
    }
    const subject = node.expression
    if (!ts.isPropertyAccessExpression(subject) || !searches.includes(subject.name.text)) return false
    if (node.arguments.length === 1) replace(first, "guard", "predicate forced", "() => true", node)
    return true
  }

  /** Two effects in sequence. */
  const sequence = (
    node: ts.CallExpression,
    callee: string,
    first: ts.Expression,
    second: ts.Expression | undefined
  ): void => {
    if (second === undefined) {
      // in a pipe: drops the second effect where its value is not used
      if (!isSilent(first) && callee === "Effect.zipLeft") replace(node, "removal", "step dropped", identity)
      return
    }
    if (isFunction(second) || isNothing(first) || isNothing(second)) return
    const kept = callee === "Effect.zipLeft" ? first : second
    replace(node, "removal", "step dropped", kept.getText())
    if (/^Effect\.(?:void|succeed|fail|interrupt|never)/.test(kept.getText())) return
    const swapped = callee === "Effect.zipLeft" ? "zipRight" : "zipLeft"
    replace(node, "ordering", "steps swapped", `Effect.${swapped}(${second.getText()}, ${first.getText()})`)
  }

  const ofCall = (node: ts.CallExpression): void => {
    const callee = calleeOf(node)
    if (ofRegion(node, callee) || ofStep(node, callee) || ofSearch(node, callee)) return
    if (kernel && (callee === "also" || callee === "Table.also")) {
      node.arguments.slice(1).forEach((arg) => add(arg, "removal", "emit dropped", { _tag: "DropElement" }))
    }
  }

  // --- statements ---

  const ofStatements = (statements: ReadonlyArray<ts.Statement>): void => {
    statements.forEach((statement, i) => {
      const next = statements[i + 1]
      if (next === undefined || !isMovable(statement) || !isMovable(next) || !orderMatters(statement, next)) return
      add(statement, "ordering", "statements swapped", { _tag: "SwapWith", next })
    })
  }

  const ofIf = (node: ts.IfStatement): void => {
    if (onlyTells(node.thenStatement)) return
    replace(node.expression, "guard", "branch never taken", no, node.expression)
    if (node.elseStatement !== undefined) replace(node.expression, "guard", "branch always taken", yes, node.expression)
  }

  const ofConditional = (node: ts.ConditionalExpression): void => {
    if (isNothing(node.whenTrue) && isNothing(node.whenFalse)) return
    replace(node.condition, "guard", "condition true", yes, node)
    replace(node.condition, "guard", "condition false", no, node)
  }

  const ofBinary = (node: ts.BinaryExpression): void => {
    const { kind } = node.operatorToken
    if (kind === ts.SyntaxKind.AmpersandAmpersandToken || kind === ts.SyntaxKind.BarBarToken) {
      replace(node, "guard", "right operand only", node.right.getText())
      replace(node, "guard", "left operand only", node.left.getText())
    }
    const moved = boundaries.get(kind)
    if (moved !== undefined) {
      replace(node, "bound", "boundary moved", `${node.left.getText()} ${moved} ${node.right.getText()}`)
    }
    const answer = ts.isArrowFunction(node.parent) || ts.isReturnStatement(node.parent) ||
      ts.isPropertyAssignment(node.parent) || ts.isVariableDeclaration(node.parent)
    if (answer && comparisons.has(kind)) {
      replace(node, "guard", "check always true", yes)
      replace(node, "guard", "check always false", no)
    }
  }

  // --- guards of rows, emits of commands, values of constants ---

  const ofProperty = (node: ts.PropertyAssignment): void => {
    const name = node.name.getText()
    const { initializer } = node
    if (isBound(name)) ofNumber(initializer, node)
    if (kernel && name === "guards" && ts.isObjectLiteralExpression(initializer)) {
      for (const guard of initializer.properties) {
        if (!ts.isPropertyAssignment(guard)) continue
        add(guard.initializer, "guard", "guard of a row dropped", { _tag: "AlwaysTrue" }, guard)
      }
    }
    if (kernel && name === "emit" && ts.isArrowFunction(initializer)) {
      const { body } = initializer
      // an array literal gets its mutants where it is visited
      if (!ts.isBlock(body) && !ts.isArrayLiteralExpression(body)) replace(body, "removal", "emit dropped", "[]")
    }
  }

  const ofNumber = (initializer: ts.Expression, about: ts.Node): void => {
    const value = valueOf(initializer)
    if (value !== null && value > 1) replace(initializer, "bound", "one more", `${value + 1}`, about)
  }

  /** A list of tagged data is what a decision emits; so is a list that `emits` or `emit` receives. */
  const ofList = (node: ts.ArrayLiteralExpression): void => {
    const owner = node.parent
    const named = (ts.isPropertyAssignment(owner) && owner.name.getText() === "emits") ||
      (ts.isArrowFunction(owner) && ts.isPropertyAssignment(owner.parent) && owner.parent.name.getText() === "emit")
    for (const element of node.elements) {
      const tagged = ts.isObjectLiteralExpression(element) &&
        element.properties.some((property) => property.name?.getText() === "_tag")
      if (named || tagged) add(element, "removal", "emit dropped", { _tag: "DropElement" })
    }
  }

  const visit = (node: ts.Node): void => {
    if (isSkipped(node)) return
    const statements = blockOf(node)
    if (statements !== null) ofStatements(statements)
    if (ts.isExpressionStatement(node)) {
      const what = targetOf(node) === null ? "statement removed" : "assignment removed"
      add(node, "removal", what, { _tag: "RemoveStatement" })
    } else if (ts.isIfStatement(node)) ofIf(node)
    else if (ts.isConditionalExpression(node)) ofConditional(node)
    else if (ts.isBinaryExpression(node)) ofBinary(node)
    else if (ts.isCallExpression(node)) ofCall(node)
    else if (ts.isPropertyAccessExpression(node)) ofName(node)
    else if (ts.isPropertyAssignment(node)) ofProperty(node)
    else if (ts.isArrayLiteralExpression(node) && kernel) ofList(node)
    else if (ts.isVariableDeclaration(node) && isTopLevel(node) && node.initializer !== undefined) {
      if (kernel || isBound(node.name.getText())) ofNumber(node.initializer, node)
    }
    ts.forEachChild(node, visit)
  }

  ts.forEachChild(source, visit)
  return sites
}
