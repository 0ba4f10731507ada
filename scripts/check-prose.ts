/**
 * Checks the prose of the project: comments, strings and documents.
 *
 * `tsx scripts/check-prose.ts [PATH…]` prints `file:line: finding` and ends with 1 if it found something. A path is a
 * file or a folder; without one it reads everything. It reports:
 *
 * - mannerisms (the list below) in comments and strings of `*.ts`, and in the prose of `*.md`;
 * - source files of `src`, `services` and `layers` without a header of at least one sentence;
 * - exported declarations of those folders without a doc comment;
 * - TypeScript files of more than 400 lines, tests excepted.
 *
 * Code blocks, code spans, link targets and quoted test titles of documents are not prose and are skipped. Module names
 * in imports are skipped as well.
 */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs"
import * as path from "node:path"
import ts from "typescript"

const root = path.resolve(import.meta.dirname, "..")
const everything = ["src", "services", "layers", "test", "scripts", "examples", "docs", "README.md"]
const documented = /^(?:src|services|layers)\//
const maxLines = 400

/** A stretch of prose: its text and its position in the file. */
interface Prose {
  readonly at: number
  readonly text: string
}

interface Finding {
  readonly at: number
  readonly says: string
}

/** The beginning of a sentence, a list item or a table cell. */
const opening = "(?:^[\\s\"`]*|[.:;|]\\s+|\\n\\s*(?:[-*#]+|\\d+\\.)?\\s*)"

/** Patterns of writing that hide the actor or turn a sentence around. */
const mannerisms: ReadonlyArray<RegExp> = [
  // missing actors: name the caller, the session, the store
  /\b(?:who|whom|which|what)soever\b/gi,
  /\b(?:whoever|whomever|whom)\b/gi,
  /\b(?:nobody|somebody|anybody|everybody)(?:'s)?\b/gi,
  /\bstrangers?\b/gi,
  /\b(?:he|him|himself|his)\b/gi,
  /\bone's(?: own)?\b/gi,
  /\b(?:all|those|the ones?) who\b/gi,
  /\b(?:for|of|by|to|with|as|than) who\b/gi,
  new RegExp(`${opening}(?:Who|Whose)\\b(?![^.?!]*\\?)`, "g"),
  // riddles with "none", "no" and "nothing"
  /\b(?:be|been|becomes?|became|is|are|was|were|had) none\b/gi,
  /\bnone (?:is|are|was|were|may|can|has|have|does|do)\b/gi,
  /\bwhat (?:is|are|was) (?:none|no|not|there)\b/gi,
  /\b(?:it|that|which|this) (?:is|was) no (?!longer\b|more\b)\w+/gi,
  /\b(?:comes?|came|coming) to (?:nothing|anything)\b/gi,
  /\b(?:comes?|came) (?:about|upon)\b/gi,
  /\bNothing of\b/g,
  /\bis no matter\b/gi,
  // words that another word says better
  /\banew\b/gi,
  /\bfor ever\b/gi,
  /\b(?:goes|going|went|gone) on\b/gi,
  /\ball the same\b/gi,
  /\bbe it\b/gi,
  /\bthat (?:is|are) not\b/gi,
  /\bthat (?:is|are|was|were) there\b/gi,
  /\bhears? of\b/gi,
  /\bsees? to (?:it|its|the|that)\b/gi,
  /\bdo(?:es)? without\b/gi,
  /\b(?:mistakes?|files?|bugs?|is|are) (?:of )?ours\b/gi,
  // inversions
  new RegExp(`${opening}Of (?:the|two|all|what|those|these|such)\\b`, "g")
]

// --- files ---

const relative = (file: string): string => path.relative(root, file).split(path.sep).join("/")

const filesBelow = (file: string): ReadonlyArray<string> =>
  statSync(file).isDirectory()
    ? readdirSync(file).filter((name) => name !== "node_modules" && name !== "dist").sort()
      .flatMap((name) => filesBelow(path.join(file, name)))
    : /\.(?:ts|md)$/.test(file)
    ? [file]
    : []

/** Blanks each match, so that positions stay the same. */
const without = (text: string, ...patterns: ReadonlyArray<RegExp>): string =>
  patterns.reduce((left, pattern) => left.replace(pattern, (match) => match.replace(/[^\n]/g, " ")), text)

/** Returns the prose of a document, in one piece. */
const ofDocument = (text: string): ReadonlyArray<Prose> => [{
  at: 0,
  text: without(
    text,
    /^```[^]*?^```/gm,
    /(?<=`test\/[^`]+`:\s*)"[^"]*"/g,
    /``[^]*?``|`[^`\n]*(?:\n[^`\n]*)?`/g,
    /\]\([^)]*\)/g,
    /<!--[^]*?-->/g
  )
}]

/** Returns a comment without its frame, code spans and examples. */
const ofComment = (text: string): string => without(text, /```[^]*?```/g, /`[^`\n]*`/g, /^\s*\/?\*+\/?|\*+\/$|\/\//gm)

const isText = (node: ts.Node): boolean =>
  ts.isStringLiteral(node) || ts.isNoSubstitutionTemplateLiteral(node) || ts.isTemplateHead(node) ||
  ts.isTemplateMiddle(node) || ts.isTemplateTail(node)

const isModuleName = ({ parent }: ts.Node): boolean =>
  parent !== undefined && (ts.isImportDeclaration(parent) || ts.isExportDeclaration(parent))

/** Returns the comments and strings of a source file. */
const ofSource = (source: ts.SourceFile): ReadonlyArray<Prose> => {
  const { text } = source
  const found = new Map<number, Prose>()
  const comments = (ranges: ReadonlyArray<ts.CommentRange> | undefined) => {
    for (const { end, pos } of ranges ?? []) found.set(pos, { at: pos, text: ofComment(text.slice(pos, end)) })
  }
  const visit = (node: ts.Node): void => {
    comments(ts.getLeadingCommentRanges(text, node.pos))
    comments(ts.getTrailingCommentRanges(text, node.end))
    if (isText(node) && !isModuleName(node)) {
      const at = node.getStart(source)
      found.set(at, { at, text: text.slice(at, node.end) })
    }
    for (const child of node.getChildren(source)) if (!ts.isJSDoc(child)) visit(child)
  }
  visit(source)
  return Array.from(found.values())
}

// --- checks ---

const ofProse = ({ at, text }: Prose): ReadonlyArray<Finding> =>
  mannerisms.flatMap((pattern) => {
    const spaced = new RegExp(pattern.source.replaceAll(" ", "[\\s*]+"), pattern.flags)
    return Array.from(text.matchAll(spaced), (match) => {
      const said = match[0].replace(/[\s*]+/g, " ")
      return { at: at + match.index + match[0].search(/\w/), says: `"${said.replace(/^\W+/, "")}"` }
    })
  })

/** Returns the words of a doc comment without its tags. */
const words = (comment: string): string => ofComment(comment).replace(/@\w+(?:[ \t]+[\w.-]+)?/g, "").trim()

const headerOf = (text: string): string => {
  const begin = text.replace(/^#!.*\n/, "").replace(/^(?:\/\/ @.*\n)+/, "")
  const [comment = ""] = /^\/\*\*[^]*?\*\//.exec(begin) ?? []
  return words(comment)
}

const hasSentence = (header: string): boolean => header.split(/\s+/).length >= 4 && /[.:!?]/.test(header)

const isExported = (statement: ts.Statement): boolean =>
  ts.canHaveModifiers(statement) &&
  (ts.getModifiers(statement) ?? []).some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword)

const undocumented = (source: ts.SourceFile): ReadonlyArray<Finding> =>
  source.statements.filter(isExported).flatMap((statement) => {
    const ranges = ts.getLeadingCommentRanges(source.text, statement.pos) ?? []
    const isDocumented = ranges.some(({ pos }) => source.text.startsWith("/**", pos))
    const [line = ""] = source.text.slice(statement.getStart(source)).split("\n")
    return isDocumented ? [] : [{
      at: statement.getStart(source),
      says: `no doc comment: ${line.slice(0, 60)}`
    }]
  })

const inSource = (name: string, text: string): ReadonlyArray<Finding> => {
  const source = ts.createSourceFile(name, text, ts.ScriptTarget.Latest, true)
  const lines = text.split("\n").length - 1
  return [
    ...ofSource(source).flatMap(ofProse),
    ...(lines > maxLines && !name.startsWith("test/")
      ? [{ at: text.length - 1, says: `${lines} lines; a file has at most ${maxLines}` }]
      : []),
    ...(!documented.test(name) ? [] : [
      ...(hasSentence(headerOf(text)) ? [] : [{ at: 0, says: "no header comment that says what the file is for" }]),
      ...undocumented(source)
    ])
  ]
}

const inFile = (file: string): ReadonlyArray<string> => {
  const name = relative(file)
  const text = readFileSync(file, "utf8")
  const findings = name.endsWith(".md") ? ofDocument(text).flatMap(ofProse) : inSource(name, text)
  return Array.from(findings)
    .sort((one, other) => one.at - other.at)
    .map(({ at, says }) => `${name}:${text.slice(0, at).split("\n").length}: ${says}`)
}

const given = process.argv.slice(2)
const targets = given.length === 0 ?
  everything.map((name) => path.join(root, name)) :
  given.map((name) => path.resolve(name))
const missing = targets.filter((target) => !existsSync(target))
for (const target of missing) console.error(`there is no ${target}`)
const findings = missing.length > 0 ? [] : targets.flatMap(filesBelow).flatMap(inFile)
for (const finding of findings) console.log(finding)
console.error(missing.length > 0 ? "nothing was checked" : `${findings.length} findings in prose`)
process.exitCode = missing.length > 0 ? 2 : findings.length > 0 ? 1 : 0
