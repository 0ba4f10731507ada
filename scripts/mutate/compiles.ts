/** Finds out which mutants compile: a mutant that the compiler refuses needs no test. */
import * as path from "node:path"
import ts from "typescript"
import type { Edit, Mutant } from "./instrument.js"
import { edited } from "./instrument.js"
import { root } from "./workplace.js"

type Overlay = ReadonlyMap<string, string>

/** Options under which code that a mutant leaves unused is not an error. */
const lenient: ts.CompilerOptions = {
  noUnusedLocals: false,
  allowUnreachableCode: true,
  noEmit: true,
  declaration: false,
  declarationMap: false,
  sourceMap: false,
  plugins: []
}

const optionsOf = (): ts.CompilerOptions => {
  const read = ts.readConfigFile(path.join(root, "tsconfig.json"), ts.sys.readFile)
  return { ...ts.parseJsonConfigFileContent(read.config, ts.sys, root).options, ...lenient }
}

/** A compiler that sees the project with some files replaced; it caches what did not change. */
const compiler = (files: ReadonlyArray<string>) => {
  const options = optionsOf()
  const parsed = new Map<string, ts.SourceFile>()
  const cache = ts.createModuleResolutionCache(root, (name) => name, options)
  let program: ts.Program | undefined
  const parse = (name: string, text: string): ts.SourceFile =>
    ts.createSourceFile(name, text, {
      languageVersion: ts.ScriptTarget.ES2022,
      impliedNodeFormat: ts.ModuleKind.ESNext
    })
  return (overlay: Overlay): ts.Program => {
    const plain = ts.createCompilerHost(options, true)
    const host: ts.CompilerHost = {
      ...plain,
      getSourceFile: (name, target) => {
        const changed = overlay.get(name)
        if (changed !== undefined) return parse(name, changed)
        const known = parsed.get(name) ?? plain.getSourceFile(name, target)
        if (known !== undefined) parsed.set(name, known)
        return known
      },
      getModuleResolutionCache: () => cache
    }
    program = ts.createProgram(files.slice(), options, host, program)
    return program
  }
}

const compilesIn = (program: ts.Program, name: string): boolean => {
  const file = program.getSourceFile(name)
  return file !== undefined && program.getSyntacticDiagnostics(file).length === 0 &&
    program.getSemanticDiagnostics(file).length === 0
}

/**
 * Returns the mutants that compile. Each round has one change per file: the other files of the round cannot see a
 * change inside a function.
 */
export const compiling = (
  mutants: ReadonlyArray<Mutant>,
  say: (text: string) => void
): ReadonlySet<number> => {
  const byFile = new Map<string, Array<Mutant>>()
  for (const mutant of mutants) byFile.set(mutant.file, [...(byFile.get(mutant.file) ?? []), mutant])
  const nameOf = (file: string): string => path.join(root, file)
  const compile = compiler([...byFile.keys()].map(nameOf))
  const textOf = (file: string, edits: ReadonlyArray<Edit>): string =>
    edited(ts.sys.readFile(nameOf(file)) ?? "", edits)
  const good = new Set<number>()
  const rounds = Math.max(0, ...[...byFile.values()].map((of) => of.length))
  for (let round = 0; round < rounds; round++) {
    const now = [...byFile.values()].flatMap((of) => of[round] ?? [])
    const program = compile(new Map(now.map(({ edits, file }) => [nameOf(file), textOf(file, edits)])))
    for (const { file, id } of now) if (compilesIn(program, nameOf(file))) good.add(id)
    say(`compiler: round ${round + 1} of ${rounds}, ${good.size} accepted`)
  }
  return good
}
