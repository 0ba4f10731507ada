/**
 * The SQLite store on a real file, inside the seeded world: its driver is synchronous, so the scheduler of the world
 * decides what comes between any two statements. A process dies by being left where it is, its connections open; the
 * next one works on a copy of the files as they lie there, made by another process: this one must not open them, since
 * closing a descriptor of its own would drop the locks it holds.
 */
import * as PlatformError from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as HandoverLive from "../../layers/HandoverLive.js"
import * as IdGenLive from "../../layers/IdGenLive.js"
import * as RuntimeStoreSqlite from "../../layers/RuntimeStoreSqlite.js"
import type { Backend } from "../../src/testkit/Simulation.js"

const attempt = <A>(method: string, path: string, call: () => A): Effect.Effect<A, PlatformError.PlatformError> =>
  Effect.try({
    try: call,
    catch: (cause) =>
      new PlatformError.SystemError({
        reason: Predicate.hasProperty(cause, "code") && cause.code === "ENOENT" ? "NotFound" : "Unknown",
        module: "FileSystem",
        method,
        pathOrDescriptor: path,
        cause
      })
  })

/** What the store asks of a file system, without promises. */
const files = FileSystem.layerNoop({
  access: (path, options) =>
    attempt(
      "access",
      path,
      () => fs.accessSync(path, options?.writable === true ? fs.constants.W_OK : fs.constants.R_OK)
    ),
  exists: (path) => attempt("exists", path, () => fs.existsSync(path)),
  realPath: (path) => attempt("realPath", path, () => fs.realpathSync(path)),
  stat: (path) => attempt("stat", path, () => infoOf(fs.statSync(path))),
  remove: (path) => attempt("remove", path, () => fs.rmSync(path, { force: true })),
  rename: (from, to) => attempt("rename", from, () => fs.renameSync(from, to)),
  readLink: (path) => attempt("readLink", path, () => fs.readlinkSync(path)),
  readFileString: (path) => attempt("readFileString", path, () => fs.readFileSync(path, "utf8")),
  writeFileString: (path, data) => attempt("writeFileString", path, () => fs.writeFileSync(path, data))
})

const infoOf = (stats: fs.Stats): FileSystem.File.Info => ({
  type: stats.isDirectory() ? "Directory" : "File",
  mtime: Option.none(),
  atime: Option.none(),
  birthtime: Option.none(),
  dev: stats.dev,
  ino: Option.none(),
  mode: stats.mode,
  nlink: Option.none(),
  uid: Option.none(),
  gid: Option.none(),
  rdev: Option.none(),
  size: FileSystem.Size(stats.size),
  blksize: Option.none(),
  blocks: Option.none()
})

/** What a process that dies leaves of a store; its locks die with it. */
const left = ["", "-wal", ".anchor"]

/** A store in a folder of its own; each death moves on to a copy of the files. */
export const backend = (): Backend => {
  const folder = fs.mkdtempSync(join(tmpdir(), "meerkat-simulated-"))
  let generation = 0
  const file = () => join(folder, `${generation}.db`)
  return {
    store: () =>
      RuntimeStoreSqlite.layerNoDeps({ filename: file() }).pipe(
        Layer.provide(Layer.mergeAll(files, Path.layer, HandoverLive.layerYield, IdGenLive.layer)),
        Layer.orDie
      ),
    peek: null,
    ended: (end) => {
      if (end !== "crash") return
      const from = file()
      generation++
      // existence only: nothing is opened
      const found = left.filter((suffix) => fs.existsSync(`${from}${suffix}`))
      if (found.length === 0) return
      const copies = found.map((suffix) => `cp '${from}${suffix}' '${file()}${suffix}'`)
      execFileSync("/bin/sh", ["-c", copies.join(" && ")])
    },
    close: () => fs.rmSync(folder, { recursive: true, force: true })
  }
}
