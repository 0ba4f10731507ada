/** The least work of a recovery: read each runtime's row and inputs, write its row; 16 runtimes per FULL commit. */
import Database from "better-sqlite3"

const [, , filename = ""] = process.argv
const db = new Database(filename)
db.pragma("journal_mode = WAL")
db.pragma("synchronous = FULL")
const runtimes = db.prepare("SELECT rt FROM runtime ORDER BY rt").all() as ReadonlyArray<{ readonly rt: number }>
const one = db.prepare("SELECT * FROM runtime WHERE rt = ?")
const inputs = db.prepare("SELECT facts, payload, digest FROM input_open WHERE key >= ? AND key < ?")
const write = db.prepare(
  "UPDATE runtime SET incarnation = incarnation + 1, revision = revision + 1, open = 1 WHERE rt = ?"
)
const open = db.transaction((some: typeof runtimes) => {
  for (const { rt } of some) {
    one.get(rt)
    for (const row of inputs.all(rt * 2 ** 28, (rt + 1) * 2 ** 28) as ReadonlyArray<Record<string, string>>) {
      JSON.parse(row["facts"] ?? "null")
      JSON.parse(row["payload"] ?? "null")
    }
    write.run(rt)
  }
})
for (let i = 0; i < runtimes.length; i += 16) open.immediate(runtimes.slice(i, i + 16))
const names = ["journal_mode", "synchronous", "page_size"]
console.log(names.map((name) => `${name}=${String(db.pragma(name, { simple: true }))}`).join(" "))
db.close()
