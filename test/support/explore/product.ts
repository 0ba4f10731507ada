/** The slice of a whole session with one input: lifecycle × run × turn summary × registration. */
import { event, prompt } from "../inputs.js"
import type { Slice } from "./engine.js"
import { dumpOf, keyOf } from "./keys.js"
import * as Moves from "./moves.js"
import type { Deed, Node } from "./node.js"
import { budgets, unborn } from "./node.js"
import { nodePaths, nodeStates } from "./states.js"
import { nodeSteps } from "./steps.js"

/** A slice of sessions: its moves and its name, with all predicates of sessions. */
export const ofSessions = (
  name: string,
  about: string,
  offers: ReadonlyArray<Moves.Offer>,
  parts: Partial<Slice<Node, Deed>> = {}
): Slice<Node, Deed> => ({
  name,
  about,
  start: unborn,
  moves: (node) => offers.flatMap((offer) => offer(node)),
  keyOf,
  dump: dumpOf,
  states: nodeStates(budgets),
  steps: nodeSteps,
  paths: nodePaths,
  atMost: 300_000,
  ...parts
})

const steer = (n: number) => event(n, "steer")

export const product = (show: (node: Node) => void) =>
  ofSessions(
    "session",
    "lifecycle × run (loop, inline, service) × requests × registration, one input open at a time",
    [
      Moves.accepting(budgets, [
        { name: "prompt", make: (n) => prompt(n) },
        { name: "held", make: (n) => prompt(n), wake: false },
        { name: "steer", make: steer }
      ], 1),
      Moves.inline(budgets, (n) => prompt(n)),
      Moves.attaching(budgets),
      Moves.running(budgets),
      Moves.stale(budgets),
      Moves.asking(budgets),
      Moves.editing(budgets),
      Moves.serving(budgets),
      Moves.lifecycle(budgets),
      Moves.waiting
    ],
    { show }
  )
