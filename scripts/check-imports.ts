/**
 * Checks imports beyond what a lint rule sees in one file: no circles between files (type imports count), and no native
 * code behind the public entry points.
 */
import { readFileSync } from "node:fs"
import * as path from "node:path"
import ts from "typescript"

const root = path.resolve(import.meta.dirname, "..")
const face = "src/index.ts"
const native = /^(?:better-sqlite3|@effect\/sql-sqlite-node|@effect\/platform-node)(?:\/|$)/

interface Imports {
  readonly files: ReadonlyArray<string>
  readonly packages: ReadonlyArray<string>
}
type Graph = ReadonlyMap<string, Imports>

const relative = (file: string) => path.relative(root, file).split(path.sep).join("/")

/** Returns every module that a file names: imports, re-exports, `import("…")` in types and in code. */
const namesIn = (file: string): ReadonlyArray<string> => {
  const names: Array<string> = []
  const visit = (node: ts.Node): void => {
    const name = ts.isImportDeclaration(node) || ts.isExportDeclaration(node)
      ? node.moduleSpecifier
      : ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)
      ? node.argument.literal
      : ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword
      ? node.arguments[0]
      : undefined
    if (name !== undefined && ts.isStringLiteralLike(name)) names.push(name.text)
    ts.forEachChild(node, visit)
  }
  visit(ts.createSourceFile(file, readFileSync(file, "utf8"), ts.ScriptTarget.Latest))
  return names
}

const readGraph = (): Graph => {
  const config = ts.readConfigFile(path.join(root, "tsconfig.json"), ts.sys.readFile)
  const project = ts.parseJsonConfigFileContent(config.config, ts.sys, root)
  const importsOf = (file: string): Imports => {
    const names = namesIn(file)
    const resolve = (name: string) =>
      ts.resolveModuleName(name, file, project.options, ts.sys, undefined, undefined, ts.ModuleKind.ESNext)
    return {
      files: names
        .filter((name) => name.startsWith("."))
        .flatMap((name) => resolve(name).resolvedModule?.resolvedFileName ?? [])
        .map(relative),
      packages: names.filter((name) => !name.startsWith("."))
    }
  }
  return new Map(project.fileNames.map((file) => [relative(file), importsOf(file)]))
}

/** Returns one path per circle that a depth-first walk closes. */
const findCircles = (graph: Graph): ReadonlyArray<ReadonlyArray<string>> => {
  const circles: Array<ReadonlyArray<string>> = []
  const done = new Set<string>()
  const visit = (file: string, trail: ReadonlyArray<string>) => {
    const at = trail.indexOf(file)
    if (at >= 0) {
      circles.push([...trail.slice(at), file])
      return
    }
    if (done.has(file)) return
    graph.get(file)?.files.forEach((next) => visit(next, [...trail, file]))
    done.add(file)
  }
  for (const file of graph.keys()) visit(file, [])
  return circles
}

/** Returns the paths from the public entry points to a native package. */
const findNative = (graph: Graph): ReadonlyArray<ReadonlyArray<string>> => {
  const ways: Array<ReadonlyArray<string>> = []
  const seen = new Set<string>()
  const visit = (file: string, trail: ReadonlyArray<string>) => {
    if (seen.has(file)) return
    seen.add(file)
    const here = [...trail, file]
    graph.get(file)?.packages.filter((name) => native.test(name)).forEach((name) => ways.push([...here, name]))
    graph.get(file)?.files.forEach((next) => visit(next, here))
  }
  visit(face, [])
  return ways
}

const graph = readGraph()
const problems = [
  ...findCircles(graph).map((files) => `circle: ${files.join(" -> ")}`),
  ...findNative(graph).map((files) => `native code behind the public face: ${files.join(" -> ")}`)
]
problems.forEach((problem) => console.error(problem))
if (problems.length > 0) process.exit(1)
