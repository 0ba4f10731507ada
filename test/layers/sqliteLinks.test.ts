// @effect-diagnostics nodeBuiltinImport:off
/** The names of a store: a process locks and writes the same path, also when it opens a link. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as RuntimeStoreSqlite from "../../layers/RuntimeStoreSqlite.js"

const folder = () => fs.realpathSync(fs.mkdtempSync(join(tmpdir(), "meerkat-links-")))

const using = <A, E>(filename: string, self: Effect.Effect<A, E, never>) =>
  Effect.provide(self, RuntimeStoreSqlite.layer({ filename }))

const errorOf = (filename: string) =>
  Effect.map(
    Effect.exit(using(filename, Effect.void)),
    (exit) => Exit.isFailure(exit) ? Option.getOrUndefined(Cause.failureOption(exit.cause)) : undefined
  )

/** Starts a process that opens a store, commits once and holds the store; returns its report. */
const holder = (filename: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const script = new URL("../support/storeChild.ts", import.meta.url).pathname
      return spawn(process.execPath, ["--import", "tsx", script, filename, "1", "0"])
    }),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  ).pipe(Effect.flatMap((child) =>
    Effect.async<string>((resume) => {
      child.stdout.on("data", (data: Buffer) => resume(Effect.succeed(data.toString().trim())))
      child.on("exit", (code) => resume(Effect.succeed(`ended with ${String(code)}`)))
    })
  ))

/** A target that does not exist yet, a link to it, and a link to that link, each in its own folder. */
const names = () => {
  const dir = folder()
  for (const name of ["data", "links", "more"]) fs.mkdirSync(join(dir, name))
  const target = join(dir, "data", "s.db")
  const link = join(dir, "links", "s.db")
  const second = join(dir, "more", "other.db")
  fs.symlinkSync("../data/s.db", link)
  fs.symlinkSync(link, second)
  return { dir, target, link, second }
}

describe("a link to a store that does not exist yet", () => {
  it.live("locks the target when any of its names opens it first", () =>
    Effect.gen(function*() {
      for (const first of ["target", "link", "second"] as const) {
        const all = names()
        yield* using(
          all[first],
          Effect.gen(function*() {
            for (const name of [all.target, all.link, all.second]) {
              assert.strictEqual((yield* errorOf(name))?._tag, "StoreLocked", `${first}, then ${name}`)
            }
          })
        )
        assert.deepStrictEqual(
          [fs.readdirSync(join(all.dir, "links")), fs.readdirSync(join(all.dir, "more"))],
          [["s.db"], ["other.db"]]
        )
        assert.include(fs.readdirSync(join(all.dir, "data")), "s.db.anchor")
      }
    }))

  it.scopedLive("lets one of three processes in that open it under three names", () =>
    Effect.gen(function*() {
      const { link, second, target } = names()
      const said = yield* Effect.forEach([second, link, target], holder)
      assert.strictEqual(said[0], "ready")
      for (const answer of said.slice(1)) assert.include(answer, "StoreLocked")
    }), 60_000)

  it.live("is refused when links lead in a circle or the target's folder is missing", () =>
    Effect.gen(function*() {
      const dir = folder()
      fs.symlinkSync("b.db", join(dir, "a.db"))
      fs.symlinkSync("a.db", join(dir, "b.db"))
      fs.symlinkSync("missing/s.db", join(dir, "c.db"))
      const circle = yield* errorOf(join(dir, "a.db"))
      assert.isTrue(circle?._tag === "StoreUnavailable" && circle.detail.includes("circle"), String(circle))
      const nowhere = yield* errorOf(join(dir, "c.db"))
      assert.isTrue(
        nowhere?._tag === "StoreUnavailable" && nowhere.detail.includes(join(dir, "missing")),
        String(nowhere)
      )
      assert.deepStrictEqual(fs.readdirSync(dir).sort(), ["a.db", "b.db", "c.db"])
    }))

  it.live("follows `..` of a link through a linked folder as the kernel does", () =>
    Effect.gen(function*() {
      const dir = folder()
      fs.mkdirSync(join(dir, "deep", "inner"), { recursive: true })
      fs.symlinkSync(join(dir, "deep", "inner"), join(dir, "short"))
      fs.symlinkSync("short/../s.db", join(dir, "a.db"))
      yield* using(join(dir, "a.db"), Effect.void)
      yield* using(`${dir}/short/../given.db`, Effect.void)
      assert.includeMembers(fs.readdirSync(join(dir, "deep")), ["s.db", "given.db"])
    }))
})
