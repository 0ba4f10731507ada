// @effect-diagnostics nodeBuiltinImport:off
/** Checks the documents: their code runs, their links lead to existing files, and the README leads to all of them. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { dirname, join, normalize, sep } from "node:path"
import { fileURLToPath } from "node:url"
import { defaults } from "../services/MeerkatMachineConfig.js"

const root = fileURLToPath(new URL("..", import.meta.url))
const read = (path: string) => readFileSync(join(root, path), "utf8")

interface Example {
  readonly program: Effect.Effect<unknown, unknown>
  readonly expected: unknown
}

const load = (name: string): Promise<Example> => import(`../examples/${name}.ts`)

const guides = [
  "README.md",
  ...readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name.split(sep).join("/")}`)
]

interface Block {
  readonly guide: string
  readonly text: string
  /** the example that the line below the block names, if there is such a line */
  readonly name: string | undefined
}

const blocksOf = (guide: string): ReadonlyArray<Block> =>
  Array.from(
    read(guide).matchAll(
      /```ts\n([^]*?)```\n(?:\n?\(This is `examples\/([\w-]+)\.ts`; a test compares and runs it\.\))?/g
    ),
    ([, text = "", name]) => ({ guide, text, name })
  )

const blocks = guides.flatMap(blocksOf)
const examples = readdirSync(join(root, "examples")).filter((name) => name.endsWith(".ts")).map((name) =>
  name.slice(0, -3)
)

describe("guides", () => {
  it("show only code of examples", () => {
    for (const { guide, name, text } of blocks) assert.isDefined(name, `${guide}: ${text.slice(0, 80)}`)
  })

  for (const { guide, name, text } of blocks) {
    if (name !== undefined) {
      it(`${guide} shows examples/${name}.ts unchanged`, () => assert.strictEqual(text, read(`examples/${name}.ts`)))
    }
  }

  it("show every example", () => {
    assert.deepStrictEqual(examples.filter((name) => !blocks.some((block) => block.name === name)), [])
  })

  for (const name of examples) {
    it.live(`examples/${name}.ts produces its expected result`, () =>
      Effect.gen(function*() {
        const { expected, program } = yield* Effect.promise(() => load(name))
        const answer = yield* program
        assert.deepStrictEqual(JSON.parse(JSON.stringify(answer)), expected)
      }))
  }

  for (const guide of guides) {
    it(`${guide} links only to existing files and headings`, () => {
      const targets = Array.from(read(guide).matchAll(/\]\(([^)\s]+)\)/g), ([, target = ""]) => target)
      for (const target of targets) {
        const [path = "", anchor] = target.split("#")
        if (/^[a-z]+:/.test(path)) continue
        const file = path === "" ? guide : join(dirname(guide), path)
        assert.isTrue(existsSync(join(root, file)), `${guide}: ${target}`)
        if (anchor !== undefined) assert.include(anchorsOf(file), anchor, `${guide}: ${target}`)
      }
    })
  }

  it("name only existing source files", () => {
    const pattern = /`((?:src|services|layers|test|scripts|examples)\/[\w./-]+\.(?:ts|mjs))`/g
    const gone = guides.flatMap((guide) =>
      Array.from(read(guide).matchAll(pattern), ([, path = ""]) => path)
        .filter((path) => !existsSync(join(root, path)))
        .map((path) => `${guide}: ${path}`)
    )
    assert.deepStrictEqual(gone, [])
  })

  it("name every limit with its default and its variable", () => {
    const text = read("docs/reference/configuration.md")
    for (const name of Object.keys(defaults)) {
      const variable = `MEERKAT_${name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`
      assert.match(text, new RegExp(`^\\| \`${name}\` \\| [^|]+ \\| \`${variable}\` \\|`, "m"))
    }
  })

  it("are all reachable from the README", () => {
    const reached = new Set<string>()
    const follow = (guide: string): void => {
      if (reached.has(guide)) return
      reached.add(guide)
      for (const target of documentsOf(guide)) follow(target)
    }
    follow("README.md")
    assert.deepStrictEqual(guides.filter((guide) => !reached.has(guide)), [])
  })
})

/** The documents that a document links to. A link to a folder leads to every document in it. */
const documentsOf = (guide: string): ReadonlyArray<string> =>
  Array.from(read(guide).matchAll(/\]\(([^)\s#]+)/g), ([, target = ""]) => target)
    .filter((target) => !/^[a-z]+:/.test(target))
    .map((target) => normalize(join(dirname(guide), target)).split(sep).join("/"))
    .flatMap((path) => path.endsWith("/") ? guides.filter((name) => name.startsWith(path)) : [path])
    .filter((path) => guides.includes(path))

/** The anchors of the headings in a file. */
const anchorsOf = (file: string): ReadonlyArray<string> =>
  Array.from(
    read(file).matchAll(/^#+ (.*)$/gm),
    ([, heading = ""]) => heading.toLowerCase().replace(/[^\w\- ]/g, "").replaceAll(" ", "-")
  )
