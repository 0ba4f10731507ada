import { describe, expect, it } from "@effect/vitest"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { createRequire } from "node:module"

const read = (file: string) => JSON.parse(readFileSync(new URL(`../${file}`, import.meta.url), "utf8"))

interface Manifest {
  readonly bin: Record<string, string>
  readonly files: ReadonlyArray<string>
  readonly exports: Record<string, string | null | { readonly types: string; readonly default: string }>
  readonly peerDependencies: Record<string, string>
  readonly devDependencies: Record<string, string>
  readonly scripts: Record<string, string>
}
const manifest: Manifest = read("package.json")
const installed: Record<string, { readonly version?: string; readonly resolved?: string }> =
  read("package-lock.json").packages

/** The source file that a built file comes from. */
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

  it("installs one copy of effect and of each of its packages", () => {
    const paths = Object.keys(installed).filter((path) => /\/node_modules\/(?:effect|@effect\/[^/]+)$/.test(path))
    expect(paths).toStrictEqual([])
  })

  it("locks versions, not places to download them from", () => {
    expect(Object.keys(installed).filter((path) => installed[path]?.resolved !== undefined)).toStrictEqual([])
  })

  it("gives every module of the domain a public name, so that users can name what they are given", () => {
    const face = readFileSync(new URL("../src/index.ts", import.meta.url), "utf8")
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
