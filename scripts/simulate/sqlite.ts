/**
 * The SQLite store on a real file in a seeded world. The driver is synchronous, so the scheduler of the world decides
 * which work runs between two statements. A simulated process dies by leaving its connections open.
 *
 * The next process works on a copy of the files. A child process makes that copy: if this process opened the files and
 * closed a descriptor, it would drop the locks that it holds.
 */
import * as PlatformError from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Context from "effect/Context"
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
import { RuntimeStore } from "../../services/RuntimeStore.js"
import type { Backend } from "../../src/testkit/Simulation.js"
import { random } from "../torture/random.js"

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

/** The operations of a file system that the store needs, without promises. */
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
  readDirectory: (path) => attempt("readDirectory", path, () => fs.readdirSync(path)),
  writeFileString: (path, data, options) =>
    attempt(
      "writeFileString",
      path,
      () => fs.writeFileSync(path, data, { flag: options?.flag ?? "w", mode: options?.mode ?? 0o666 })
    )
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

/** The files of a store that outlive its process; the locks end with the process. */
const left = ["", "-wal", ".anchor"]

/** The damages to the files of an open store; this process opens none of the files. */
const damages: readonly [Damage, ...ReadonlyArray<Damage>] = [
  (db) => fs.renameSync(db, `${db}.gone`),
  (db) => fs.renameSync(`${db}-wal`, `${db}-wal.gone`),
  (db) => {
    fs.renameSync(db, `${db}.gone`)
    execFileSync("cp", [`${db}.gone`, db])
  },
  (db) => {
    fs.renameSync(db, `${db}.gone`)
    fs.symlinkSync(`${db}.gone`, db)
  }
]

type Damage = (db: string) => void

/** Reverts the damage if the process died before it detected the loss and reported it. */
const undo = (db: string): void => {
  for (const name of [db, `${db}-wal`]) {
    if (fs.existsSync(`${name}.gone`)) fs.renameSync(`${name}.gone`, name)
  }
}

/** The life of one process with the files. */
interface Life {
  /** The number of the commit before which the files are damaged, from 1; 0 for no damage. */
  readonly damagedAt: number
  readonly damage: Damage
  commits: number
  damaged: boolean
  /** The rescued file of a lost store. */
  rescued: string | undefined
  readonly wrong: Array<string>
}

/** Damages the files before a commit, and checks that the store acknowledges no commit afterwards. */
const watched = (life: Life, db: string) => (store: RuntimeStore["Type"]): RuntimeStore["Type"] => ({
  ...store,
  commit: (commit) =>
    Effect.suspend(() => {
      if (++life.commits === life.damagedAt) {
        life.damage(db)
        life.damaged = true
      }
      if (!life.damaged) return store.commit(commit)
      return Effect.tapBoth(store.commit(commit), {
        onSuccess: () => Effect.sync(() => life.wrong.push(`${commit.requestId} was acknowledged without its file`)),
        onFailure: (error) =>
          Effect.sync(() => {
            if (error._tag !== "StoreLost") return
            if (error.rescued === undefined) life.wrong.push(error.message)
            life.rescued = error.rescued
          })
      })
    })
})

/** Gives the next generation the rescued file, or a copy of the files. */
const handOver = (life: Life, from: string, to: string): void => {
  if (life.rescued !== undefined) return fs.renameSync(life.rescued, to)
  if (life.damaged) undo(from)
  // checks the existence only: this process must not open the files
  const found = left.filter((suffix) => fs.existsSync(`${from}${suffix}`))
  if (found.length === 0) return
  execFileSync("/bin/sh", ["-c", found.map((suffix) => `cp '${from}${suffix}' '${to}${suffix}'`).join(" && ")])
}

/**
 * A store in its own folder; after each death the next process works on a copy of the files. In some lives the files are
 * damaged under the process, and the next process works on the rescued file.
 */
export const backend = (seed: number): Backend => {
  const folder = fs.mkdtempSync(join(tmpdir(), "meerkat-simulated-"))
  const chance = random(seed)
  let generation = 0
  const file = () => join(folder, `${generation}.db`)
  const live = (last: boolean): Life => ({
    damagedAt: !last && chance.chance(0.5) ? 1 + chance.below(12) : 0,
    damage: chance.pick(damages),
    commits: 0,
    damaged: false,
    rescued: undefined,
    wrong: []
  })
  let life = live(true)
  return {
    store: ({ last }) => {
      life = live(last)
      const store = RuntimeStoreSqlite.layerNoDeps({ filename: file() }).pipe(
        Layer.provide(Layer.mergeAll(files, Path.layer, HandoverLive.layerYield, IdGenLive.layer)),
        Layer.orDie
      )
      return Layer.map(
        store,
        (context) => Context.make(RuntimeStore, watched(life, file())(Context.get(context, RuntimeStore)))
      )
    },
    peek: null,
    isLost: () => life.rescued !== undefined,
    ended: (end) => {
      // the close rescues a store that no commit found lost
      const saved = `${file()}.rescued-1`
      if (life.damaged && life.rescued === undefined && fs.existsSync(saved)) life.rescued = saved
      if (end !== "crash" && !life.damaged) return life.wrong
      const from = file()
      generation++
      handOver(life, from, file())
      return life.wrong
    },
    close: () => fs.rmSync(folder, { recursive: true, force: true })
  }
}
