/**
 * Transpiles the sources once per benchmark run, so that no measured process loads a transpiler. The benchmarks and the
 * count gates call it. The output lies below the project, where its packages are found.
 */
import { build } from "esbuild"
import { spawnSync } from "node:child_process"
import { readdirSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

export const root = fileURLToPath(new URL("../..", import.meta.url))

export interface Transpiled {
  /** Runs one module of the output in its own node process and waits for its end. */
  readonly run: (
    module: string,
    args: ReadonlyArray<string>,
    flags?: ReadonlyArray<string>
  ) => { readonly status: number | null; readonly stdout: string; readonly stderr: string }
  readonly remove: () => void
}

const sources = (folder: string): ReadonlyArray<string> =>
  readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => join(root, folder, name))

/** Transpiles into a folder of this process, because runs may overlap. */
export const transpile = async (): Promise<Transpiled> => {
  const out = join(root, "node_modules", ".cache", `meerkat-bench-${process.pid}`)
  await build({
    entryPoints: ["src", "services", "layers", join("scripts", "bench")].flatMap(sources),
    outdir: out,
    outbase: root,
    format: "esm",
    target: "node20",
    logLevel: "warning"
  })
  writeFileSync(join(out, "package.json"), JSON.stringify({ type: "module", name: "effect-meerkat", version: "0.0.0" }))
  return {
    run: (module, args, flags = []) =>
      spawnSync(
        process.execPath,
        ["--expose-gc", ...flags, join(out, "scripts", "bench", module), ...args],
        { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], timeout: 900_000, maxBuffer: 2 ** 26 }
      ),
    remove: () => rmSync(out, { recursive: true, force: true })
  }
}
