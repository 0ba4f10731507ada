import { CoreExecutor, Turn } from "effect-meerkat"
import { Simulation } from "effect-meerkat/testkit"
import * as Effect from "effect/Effect"

// Builds the executor under test, once per attachment. It may acquire resources in the scope of the attachment.
const executorFor = () =>
  CoreExecutor.make((turn) =>
    Effect.gen(function*() {
      yield* Effect.sleep(`${20 * turn.inputs.length} millis`) // takes no real time: the simulation has its own clock
      return Turn.reply(`answer to ${turn.inputs.length}`)
    })
  )

const options = { executorFor, plan: { operations: 10 } }

// One seed decides the scheduling, the store faults and the crashes. The same seed repeats exactly.
export const program = Effect.sync(() => {
  const report = Simulation.simulate(1, options)
  const again = Simulation.simulate(1, options)
  return {
    violations: report.violations, // empty, or the broken rules
    repeats: report.trace === again.trace,
    restarts: report.restarts > 0,
    ran: (report.tally["run"]?.["output"] ?? 0) > 0
  }
})

export const expected = { violations: [], repeats: true, restarts: true, ran: true }
