/** Compiles applications that use the package, and reads the hovers of an editor. `check-package.ts` calls it. */
import { writeFileSync } from "node:fs"
import { join, relative } from "node:path"
import ts from "typescript"

const options: ts.CompilerOptions = {
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  target: ts.ScriptTarget.ES2022,
  lib: ["lib.es2023.d.ts"],
  types: [],
  declaration: true,
  skipLibCheck: true
}

export const resolutions = {
  NodeNext: { module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext },
  Bundler: { module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler }
} satisfies Readonly<Record<string, ts.CompilerOptions>>

const told = (folder: string, { file, messageText, start }: ts.Diagnostic): string => {
  const line = file === undefined ? 0 : file.getLineAndCharacterOfPosition(start ?? 0).line + 1
  const where = file === undefined ? "" : `${relative(folder, file.fileName)}:${line}: `
  return where + ts.flattenDiagnosticMessageText(messageText, "\n")
}

export interface Compiled {
  readonly problems: ReadonlyArray<string>
  /** The declaration files of the package that the application uses. */
  readonly declarations: ReadonlyArray<ts.SourceFile>
}

/**
 * Compiles the files and their declarations into `out`. It also checks the package's own declarations, without the types
 * of Node, since an application may not have those.
 */
export const compile = (
  folder: string,
  files: ReadonlyArray<string>,
  resolution: keyof typeof resolutions
): Compiled => {
  const outDir = join(folder, "out", resolution)
  const program = ts.createProgram(files, { ...options, ...resolutions[resolution], outDir, rootDir: folder })
  const declarations = program.getSourceFiles().filter(({ fileName }) => /\/effect-meerkat\/.*\.d\.ts$/.test(fileName))
  const strict = ts.createProgram(declarations.map(({ fileName }) => fileName), {
    ...options,
    ...resolutions[resolution],
    skipLibCheck: false,
    noEmit: true
  })
  const own = declarations.flatMap(({ fileName }) => strict.getSemanticDiagnostics(strict.getSourceFile(fileName)))
  const found = [...ts.getPreEmitDiagnostics(program), ...program.emit().diagnostics, ...own]
  return { declarations, problems: Array.from(new Set(found.map((problem) => told(folder, problem)))) }
}

export interface Hover {
  readonly display: string
  readonly documentation: string
}

/** Returns the hover of an editor over the last word of each phrase, at its first place in the text. */
export const hovers = (folder: string, text: string, phrases: ReadonlyArray<string>): ReadonlyArray<Hover> => {
  const file = join(folder, "hovers.ts")
  writeFileSync(file, text)
  const settings = { ...options, ...resolutions.NodeNext }
  const service = ts.createLanguageService({
    directoryExists: ts.sys.directoryExists,
    fileExists: ts.sys.fileExists,
    readFile: ts.sys.readFile,
    readDirectory: ts.sys.readDirectory,
    realpath: (path) => ts.sys.realpath?.(path) ?? path,
    getCompilationSettings: () => settings,
    getCurrentDirectory: () => folder,
    getDefaultLibFileName: ts.getDefaultLibFilePath,
    getScriptFileNames: () => [file],
    getScriptVersion: () => "0",
    getScriptSnapshot: (name) => {
      const content = ts.sys.readFile(name)
      return content === undefined ? undefined : ts.ScriptSnapshot.fromString(content)
    }
  })
  return phrases.map((phrase) => {
    const info = service.getQuickInfoAtPosition(file, text.indexOf(phrase) + phrase.length - 1)
    return {
      display: ts.displayPartsToString(info?.displayParts),
      documentation: ts.displayPartsToString(info?.documentation)
    }
  })
}
