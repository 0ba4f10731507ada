import { describe, expect, it } from "@effect/vitest"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import base from "../vitest.config.js"
import proof from "../vitest.proof.config.js"

const read = (file: string) => JSON.parse(readFileSync(new URL(`../${file}`, import.meta.url), "utf8"))

interface Manifest {
  readonly bin: Record<string, string>
  readonly files: ReadonlyArray<string>
  readonly exports: Record<string, string | null | { readonly types: string; readonly default: string }>
  readonly peerDependencies: Record<string, string>
  readonly peerDependenciesMeta: Record<string, { readonly optional: boolean }>
  readonly devDependencies: Record<string, string>
  readonly scripts: Record<string, string>
}
const manifest: Manifest = read("package.json")
const installed: Record<string, { readonly version?: string; readonly resolved?: string }> =
  read("package-lock.json").packages

/** Returns the source file of a built file. */
const sourceOf = (built: string) => built.replace(/^(?:\.\/)?dist\//, "").replace(/\.js$/, ".ts")

describe("package", () => {
  it("exports modules of the build together with their types", () => {
    const targets = Object.values(manifest.exports).filter((target) => typeof target === "object" && target !== null)
    expect(targets.length).toBeGreaterThan(0)
    for (const target of targets) {
      expect(target.default).toMatch(/^\.\/dist\/(?:src|services|layers)\/.*\.js$/)
      expect(target.types).toBe(target.default.replace(/\.js$/, ".d.ts"))
    }
    expect(Object.values(manifest.bin).map(sourceOf)).toStrictEqual(["src/cli/main.ts"])
  })

  it("keeps the internals of the layers to itself", () => {
    const require = createRequire(import.meta.url)
    expect(() => require.resolve("effect-meerkat/layers/internal/anything")).toThrow(
      expect.objectContaining({ code: "ERR_PACKAGE_PATH_NOT_EXPORTED" })
    )
  })

  it("pins every peer it is developed against, inside the range it asks for", () => {
    for (const [name, range] of Object.entries(manifest.peerDependencies)) {
      expect(`${name} ^${manifest.devDependencies[name]}`).toBe(`${name} ${range}`)
      expect(installed[`node_modules/${name}`]?.version).toBe(manifest.devDependencies[name])
    }
  })

  it("asks applications for effect alone", () => {
    const required = Object.keys(manifest.peerDependencies).filter((name) =>
      manifest.peerDependenciesMeta[name]?.optional !== true
    )
    expect(required).toStrictEqual(["effect"])
  })

  it("names in README what it is developed against", () => {
    const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8")
    const named = Array.from(
      readme.matchAll(/ ((?:@effect\/)?[\w-]+)@(\^[\d.]+)/g),
      ([, name = "", range]) => [name, range]
    )
    expect(named.length).toBeGreaterThan(5)
    expect(named).toStrictEqual(named.map(([name = ""]) => [name, manifest.peerDependencies[name]]))
  })

  it("runs in npm run test:proof every test that is shorter in npm test", () => {
    const folder = fileURLToPath(new URL("..", import.meta.url))
    const tests = readdirSync(new URL("../test", import.meta.url), { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".test.ts"))
      .map((name) => `test/${name}`)
    const asking = /from "\.\.?\/(?:support\/(?:worlds|rows)|driver)\.js"/
    const short = tests.filter((name) => asking.test(readFileSync(join(folder, name), "utf8")))
    const matches = (name: string, pattern: string) =>
      new RegExp(`^${pattern.replaceAll(".", "\\.").replace(/\*\*(?:\/\*)?/, ".*")}$`).test(name)
    const runs = (patterns: ReadonlyArray<string> = []) => (name: string) =>
      patterns.some((pattern) => matches(name, pattern))
    const { exclude, include } = proof.test ?? {}
    expect(short.length).toBeGreaterThan(20)
    expect(short.filter((name) => !runs(include)(name) || runs(exclude)(name))).toStrictEqual([])
    expect(tests.filter((name) => runs(base.test?.exclude)(name) && !runs(include)(name))).toStrictEqual([])
  })

  it("installs one copy of effect and of each of its packages", () => {
    const paths = Object.keys(installed).filter((path) => /\/node_modules\/(?:effect|@effect\/[^/]+)$/.test(path))
    expect(paths).toStrictEqual([])
  })

  it("locks versions, not places to download them from", () => {
    expect(Object.keys(installed).filter((path) => installed[path]?.resolved !== undefined)).toStrictEqual([])
  })

  it("gives every module of the domain a public name, so that users can name what they are given", () => {
    const faces = ["index", "unstable"].map((name) => new URL(`../src/${name}.ts`, import.meta.url))
    const face = faces.map((file) => readFileSync(file, "utf8")).join("")
    const modules = readdirSync(new URL("../src/domain", import.meta.url)).map((file) => file.replace(/\.ts$/, ".js"))
    expect(modules.filter((file) => !face.includes(`"./domain/${file}"`))).toStrictEqual([])
  })

  it("ships what its documents link to", () => {
    const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8")
    const linked = Array.from(readme.matchAll(/\]\((?!https?:|#)([^)#]+)/g), ([, target = ""]) => target.split("/")[0])
    expect(linked.length).toBeGreaterThan(0)
    expect(linked.filter((folder = "") => !manifest.files.includes(folder))).toStrictEqual([])
    expect(manifest.files).toContain("examples")
  })

  it("has a source file behind the public face", () => {
    expect(existsSync(new URL(`../${sourceOf("./dist/src/index.js")}`, import.meta.url))).toBe(true)
  })
})
