/**
 * The scheduler of the program: fibers must not starve timers, signals and sockets. `main` installs it.
 *
 * @since 0.1.0
 */
import * as Scheduler from "effect/Scheduler"

/**
 * Makes a scheduler that hands over to the event loop with `setImmediate` after a number of microtask rounds. So
 * timers, signals and sockets run while fibers keep each other busy.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (maxMicrotasks: number): Scheduler.Scheduler => {
  const runner = Scheduler.SchedulerRunner.cached((depth, drain) => {
    if (depth >= maxMicrotasks) setImmediate(() => drain(0))
    else queueMicrotask(() => drain(depth + 1))
  })
  return Scheduler.make((task, priority, fiber) => runner(fiber).scheduleTask(task, priority))
}
