/** Runs one workload in its own process: `child.js <name> <options as JSON>`. Prints its rows as JSON. */
import { workloads as life } from "./life.js"
import { workloads as recovery } from "./recovery.js"
import { workloads as space } from "./space.js"
import { workloads as store } from "./store.js"
import type { Options, Workload } from "./support.js"
import { workloads as turns } from "./turns.js"

const all: Record<string, Workload> = { ...turns, ...store, ...space, ...life, ...recovery }

const [, , name = "", options = "{}"] = process.argv
if (name === "names") console.log(JSON.stringify(Object.keys(all)))
else {
  const workload = all[name]
  if (workload === undefined) throw new Error(`no workload "${name}": one of ${Object.keys(all).join(", ")}`)
  console.log(JSON.stringify(await workload(JSON.parse(options) as Options)))
}
