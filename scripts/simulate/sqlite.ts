/**
 * The SQLite store on a real file, inside the seeded world: its driver is synchronous, so the scheduler of the world
 * decides what comes between any two statements. A process dies by being left where it is, its connections open; the
 * next one works on a copy of the files as they lie there, made by another process: this one must not open them, since
 * closing a descriptor of its own would drop the locks it holds.
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

/** What a process that dies leaves of a store; its locks die with it. */
const left = ["", "-wal", ".anchor"]

/** What happens to the files of a store under its process; none of it opens them here. */
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

/** Before a process that dies could find out: so nothing was lost, since nothing was told. */
const undo = (db: string): void => {
  for (const name of [db, `${db}-wal`]) {
    if (fs.existsSync(`${name}.gone`)) fs.renameSync(`${name}.gone`, name)
  }
}

/** The life of one process with the files. */
interface Life {
  /** which commit finds its files damaged, counted from 1; 0 for none */
  readonly damagedAt: number
  readonly damage: Damage
  commits: number
  damaged: boolean
  /** the file that a store which was lost was saved as */
  rescued: string | undefined
  readonly wrong: Array<string>
}

/** Damages the files before one of its commits; from then on no commit may be acknowledged. */
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

/** Moves what a process left on to the next generation: its rescued file, or a copy of its files. */
const handOver = (life: Life, from: string, to: string): void => {
  if (life.rescued !== undefined) return fs.renameSync(life.rescued, to)
  if (life.damaged) undo(from)
  // existence only: nothing is opened
  const found = left.filter((suffix) => fs.existsSync(`${from}${suffix}`))
  if (found.length === 0) return
  execFileSync("/bin/sh", ["-c", found.map((suffix) => `cp '${from}${suffix}' '${to}${suffix}'`).join(" && ")])
}

/**
 * A store in a folder of its own; each death moves on to a copy of the files. In some lives the files go away under the
 * process: then the next one goes on with what was rescued.
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
      // closed in order, it is rescued then at the latest
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
