/**
 * The simulation's calls of the tools surface.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { SessionTools, ToolsControl } from "../../../../services/SessionTools.js"
import * as ToolVisibility from "../../../domain/ToolVisibility.js"
import type { Dice } from "../Dice.js"
import type { Call } from "./Call.js"

const names = ["read", "write", "search"] as const

const witness = (sourceId: string) => ToolVisibility.witnessOf({ kind: "builtin", sourceId })

const witnesses: ToolVisibility.ToolWitnesses = Object.fromEntries(names.map((name) => [name, witness(name)]))

const filter = (dice: Dice): ToolVisibility.ToolFilter =>
  dice.pick([
    ToolVisibility.all,
    ToolVisibility.allow(dice.pick(names)),
    ToolVisibility.deny(dice.pick(names), dice.pick(names)),
    ToolVisibility.deny("unknown")
  ])

const authorities = (dice: Dice): ReadonlyArray<ToolVisibility.DeferredToolLoadAuthority> => {
  const name = dice.pick(names)
  return [{ name, witness: witness(dice.hit(0.8) ? name : "another") }]
}

const visibility = (dice: Dice): ToolVisibility.SessionToolVisibilityState => {
  const chosen = filter(dice)
  return {
    ...ToolVisibility.initial,
    activeFilter: chosen,
    stagedFilter: chosen,
    activeRevision: dice.below(5),
    stagedRevision: dice.below(5),
    filterWitnesses: witnesses
  }
}

/** Every tools method of the machine. @since 0.1.0 @category traffic */
export const toolCalls: Record<keyof ToolsControl, Call> = {
  stagePersistentFilter: ({ machine, world }, id) =>
    Effect.suspend(() => machine.stagePersistentFilter(id, filter(world.dice), witnesses)),
  requestDeferredTools: ({ machine, world }, id) =>
    Effect.suspend(() => machine.requestDeferredTools(id, authorities(world.dice))),
  publishCommittedVisibleSet: ({ machine, world }, id) =>
    Effect.suspend(() => machine.publishCommittedVisibleSet(id, visibility(world.dice)))
}

/** Every tools method of a handle. @since 0.1.0 @category traffic */
export const handleToolCalls: Record<keyof SessionTools, Call> = {
  state: ({ machine }, id) => machine.session(id).tools.state,
  stageFilter: ({ machine, world }, id) =>
    Effect.suspend(() => machine.session(id).tools.stageFilter(filter(world.dice), witnesses)),
  requestDeferred: ({ machine, world }, id) =>
    Effect.suspend(() => machine.session(id).tools.requestDeferred(authorities(world.dice))),
  stageRequestedDeferredNames: ({ machine, world }, id) =>
    Effect.suspend(() => machine.session(id).tools.stageRequestedDeferredNames(world.dice.hit(0.8) ? [] : ["read"])),
  publish: ({ machine, world }, id) => Effect.suspend(() => machine.session(id).tools.publish(visibility(world.dice))),
  replace: ({ machine, world }, id) => Effect.suspend(() => machine.session(id).tools.replace(visibility(world.dice))),
  replaceCatalogs: ({ machine }, id) =>
    machine.session(id).tools.replaceCatalogs({ deferred: witnesses, filter: witnesses }),
  boundaryApplied: ({ machine }, id) => machine.session(id).tools.boundaryApplied
}
