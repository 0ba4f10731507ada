/**
 * Bundles the driver, the puppet and the `meerkat` program from their sources. A bundle starts three times as fast as tsx,
 * and never contains an old build.
 */
import { buildSync } from "esbuild"
import { copyFileSync, rmSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../..", import.meta.url))

export interface Programs {
  readonly driver: string
  readonly meerkat: string
  readonly puppet: string
  readonly victim: string
  readonly agent: string
  readonly remove: () => void
}

let bundles = 0

/** A folder inside the project, so that node finds the native driver of SQLite. */
export const bundle = (): Programs => {
  const outdir = join(root, "node_modules", ".cache", "meerkat-torture", `${process.pid}-${++bundles}`)
  buildSync({
    entryPoints: {
      driver: join(root, "scripts/torture/driver.ts"),
      meerkat: join(root, "src/cli/main.ts"),
      puppet: join(root, "scripts/torture/puppet.ts"),
      victim: join(root, "scripts/torture/victim.ts")
    },
    outdir,
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    target: "node20",
    external: ["better-sqlite3"],
    logLevel: "error",
    banner: { js: "import { createRequire as r } from 'node:module'; const require = r(import.meta.url);" }
  })
  const agent = join(outdir, "agent.sh")
  copyFileSync(join(root, "scripts/torture/agent.sh"), agent)
  return {
    driver: join(outdir, "driver.js"),
    meerkat: join(outdir, "meerkat.js"),
    puppet: join(outdir, "puppet.js"),
    victim: join(outdir, "victim.js"),
    agent,
    remove: () => rmSync(outdir, { recursive: true, force: true })
  }
}
