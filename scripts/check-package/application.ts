/**
 * Applications outside the repository that install the packed tarball by the instructions of the README.
 * `check-package.ts` makes two: one with `effect` alone, one with all peers. It removes both at its end.
 */
import { execFile } from "node:child_process"
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { promisify } from "node:util"

export const root = dirname(dirname(import.meta.dirname))

const execute = promisify(execFile)

/** Runs a program and returns its standard output; throws with both outputs when it fails. */
export const run = async (cwd: string, command: string, ...args: ReadonlyArray<string>): Promise<string> => {
  try {
    return (await execute(command, args, { cwd, maxBuffer: 64 * 1024 * 1024 })).stdout
  } catch (error) {
    const { stderr = "", stdout = "" } = error as { readonly stderr?: string; readonly stdout?: string }
    throw new Error(`${command} ${args.join(" ")} failed in ${cwd}\n${stdout}${stderr}`, { cause: error })
  }
}

/** Packs the project, which builds changed sources first, and returns the path of the tarball. */
export const pack = async (folder: string): Promise<string> => {
  const told = await run(root, "npm", "pack", "--json", "--silent", "--pack-destination", folder)
  const packed: ReadonlyArray<{ readonly filename: string }> = JSON.parse(told.slice(told.indexOf("[")))
  const [first] = packed
  if (first === undefined) throw new Error(`npm pack made no tarball: ${told}`)
  return join(folder, first.filename)
}

/** Returns the packages of each `npm install` line in the README's section "Install", in order. */
export const installLines = (): ReadonlyArray<ReadonlyArray<string>> => {
  const section = /^## Install$([^]*?)^## /m.exec(readFileSync(join(root, "README.md"), "utf8"))?.[1] ?? ""
  const lines = Array.from(section.matchAll(/^npm install ([^#\n]+)/gm), ([, names = ""]) => names.trim().split(/\s+/))
  if (lines.length !== 3) {
    throw new Error(`README, section "Install": 3 lines of npm install expected, ${lines.length} found`)
  }
  return lines
}

/**
 * Makes an application with the packages, and with the tarball in place of the published package. It copies the driver
 * that the repository has built, if the versions agree, instead of building it again.
 */
export const install = async (folder: string, tarball: string, names: ReadonlyArray<string>): Promise<string> => {
  mkdirSync(folder)
  writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "application", private: true, type: "module" }))
  const wanted = names.map((name) => name === "effect-meerkat" ? tarball : name)
  await run(folder, "npm", "install", "--prefer-offline", "--no-audit", "--no-fund", "--ignore-scripts", ...wanted)
  const driver = join("node_modules", "better-sqlite3")
  if (existsSync(join(folder, driver))) {
    const [theirs, ours] = [folder, root].map((where) => readFileSync(join(where, driver, "package.json"), "utf8"))
    if (theirs === ours) cpSync(join(root, driver, "build"), join(folder, driver, "build"), { recursive: true })
    else await run(folder, "npm", "rebuild", "better-sqlite3")
  }
  return folder
}
