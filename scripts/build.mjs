/**
 * Compiles `dist`. `npm run build` and `prepare` call it; `prepare` passes `--if-changed`, and then an up-to-date `dist`
 * costs no compilation: `npx meerkat` in a clone runs `prepare` each time it links the folder.
 *
 * A build leaves a stamp of its sources in `dist`. The stamp is removed before the compiler starts and written after it
 * succeeds, so an interrupted or failed build never counts as up to date.
 */
import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, join, relative } from "node:path"
import { fileURLToPath } from "node:url"

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const dist = join(root, "dist")
const stamp = join(dist, ".stamp")
const sources = ["src", "services", "layers"]
const settings = ["package.json", "tsconfig.json", "tsconfig.build.json", "scripts/build.mjs"]

/** Every file below a folder. */
const filesIn = (folder) =>
  readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    return entry.isDirectory() ? filesIn(path) : [path]
  })

/** Changes with the name, size or time of any source, with the settings, and with the version of the compiler. */
const signature = (compiler) => {
  const hash = createHash("sha256")
  for (const path of sources.flatMap((name) => filesIn(join(root, name))).sort()) {
    const { mtimeMs, size } = statSync(path)
    hash.update(`${relative(root, path)} ${size} ${mtimeMs}\n`)
  }
  for (const name of settings) hash.update(readFileSync(join(root, name)))
  return hash.update(readFileSync(compiler)).digest("hex")
}

/** Compiles, removes what the build no longer makes, and answers whether it succeeded. */
const compile = (compiler) => {
  rmSync(stamp, { force: true })
  const args = [join(dirname(compiler), "bin/tsc"), "-p", "tsconfig.build.json", "--listEmittedFiles"]
  const { signal, status, stdout } = spawnSync(process.execPath, args, {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
    stdio: ["ignore", "pipe", "inherit"]
  })
  const lines = stdout.split("\n").filter((line) => line !== "")
  const emitted = new Set(lines.filter((line) => line.startsWith("TSFILE: ")).map((line) => line.slice(8)))
  for (const line of lines) if (!line.startsWith("TSFILE: ")) console.error(line)
  if (status !== 0) {
    console.error(`build: the compiler ended with ${status ?? signal}; dist is not up to date`)
    return false
  }
  if (existsSync(dist)) { for (const path of filesIn(dist)) if (!emitted.has(path)) rmSync(path) }
  return true
}

const compiler = createRequire(import.meta.url).resolve("typescript/package.json")
const wanted = signature(compiler)
const isCurrent = process.argv.includes("--if-changed") && existsSync(stamp) && readFileSync(stamp, "utf8") === wanted
if (!isCurrent) {
  if (!compile(compiler)) process.exit(1)
  mkdirSync(dist, { recursive: true })
  writeFileSync(stamp, wanted)
}
