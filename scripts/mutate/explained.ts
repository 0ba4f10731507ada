/**
 * Survivors that no test should notice, with the reason. The key is what the tool prints; it changes with the code,
 * so that an explanation never outlives what it explains.
 */
export interface Explained {
  readonly key: string
  readonly reason: string
}

export const explained: ReadonlyArray<Explained> = [
  {
    key:
      "src/kernel/Ledger.ts | condition false | next !== undefined && samePlace(old, next) ? { ...ledger, keys, driving } : withIndex({...",
    reason: "only faster: an index that loses a place gets it back in the same call"
  },
  {
    key:
      "src/kernel/imageCorruption.ts | condition false | idempotencyKey === undefined ? null : taken(keys, idempotencyKey, \"idempotency key\")",
    reason: "the check is for the compiler: no owner is ever kept under an absent key"
  },
  {
    key: "src/kernel/llmResolution.ts | right operand only | request.model !== undefined && listed.length > 0",
    reason: "only the words of the refusal differ: of a model without an entry nothing is known, which is refused below"
  },
  {
    key: "src/kernel/projection.ts | right operand only | typeof value === \"object\" && value !== null",
    reason: "what is no object has no property `body` either, and an absent body is an empty one"
  },
  {
    key: "layers/CoreExecutorCommand.ts | condition true | value === undefined ? [] : [[name, value]]",
    reason: "what a process inherits has a value; the check is for the compiler"
  },
  {
    key: "layers/internal/blobs.ts | boundary moved | block.data.base64.length * 3 / 4 > threshold",
    reason: "one byte more or less; with padding the estimate does not meet the default threshold exactly"
  },
  {
    key:
      "layers/internal/blobs.ts | condition true | hasLarge(output, isLarge) ? ofOutput(output, ofBlocks, limit) : Effect.succeed(output)",
    reason: "only faster: an output without large media comes back as it was"
  },
  {
    key: "layers/internal/blobs.ts | left operand only | \"blocks\" in input && input.blocks?.some(isLarge) === true",
    reason: "only faster: an input without large media comes back as it was"
  },
  {
    key: "layers/internal/drainTask.ts | branch never taken | !owns(drain)",
    reason: "a second line: whoever takes the task away interrupts it, and an interrupted task does not get here"
  },
  {
    key: "layers/internal/drainTask.ts | branch never taken | !owns(drain) #2",
    reason: "a second line: whoever takes the task away interrupts it, and an interrupted task does not get here"
  },
  {
    key: "layers/internal/groupCommit.ts | boundary moved | next < state.queue.length",
    reason: "one step more, which finds no entry and goes on"
  },
  {
    key: "layers/internal/groupCommit.ts | assignment removed | state.taken = []",
    reason: "the entries are settled by then, and whoever looks at them passes over settled ones"
  },
  {
    key:
      "layers/internal/sqlite/apply.ts | condition true | head.bodyStart === 0 ? [] : [{ sql: sweep, params: [keyOf(rt, 0), keyOf(rt, head.bodySt...",
    reason: "only faster: the range that would be swept is empty"
  },
  {
    key: "layers/internal/sqlite/apply.ts | boundary moved | head.terminals <= retain",
    reason: "only faster: without a surplus the statements touch no row"
  },
  {
    key: "layers/internal/sqlite/apply.ts | boundary moved | before.epoch.lastSeq > 0",
    reason: "only faster: a feed without entries has none to drop"
  },
  {
    key: "layers/internal/sqlite/apply.ts | left operand only | before.epoch !== null && before.epoch.lastSeq > 0",
    reason: "only faster: a feed without entries has none to drop"
  },
  {
    key:
      "layers/internal/sqlite/open.ts | statements swapped | yield* db.once(\"PRAGMA journal_size_limit = 67108864\")",
    reason: "these pragmas do not depend on each other"
  },
  {
    key:
      "layers/internal/sqlite/open.ts | right operand only | filename.trim() === \"\" || filename.includes(\":memory:\")",
    reason: "only the words differ: an empty name resolves to the working directory, which is refused as no file"
  },
  {
    key: "layers/internal/sqlite/open.ts | branch never taken | mode[0]?.[\"journal_mode\"] !== \"wal\"",
    reason: "no file system that the tests can count on refuses a write-ahead log"
  },
  {
    key: "layers/internal/sqlite/open.ts | statement removed | yield* db.once(\"PRAGMA foreign_keys = ON\")",
    reason: "the driver's build of SQLite has them on; the pragma holds for builds that do not"
  },
  {
    key:
      "layers/internal/sqlite/paging.ts | condition false | rows.length < pageRows ? undefined : rows[rows.length - 1]",
    reason: "only faster: one more page, which is empty"
  },
  {
    key: "layers/internal/sqlite/statements.ts | branch never taken | rows.length === 0",
    reason: "only faster: no rows make no statements below"
  },
  {
    key: "layers/internal/sqlite/reads.ts | boundary moved | keyOf(row) + messages.length <= after",
    reason: "a row that ends in front of the position is followed by the gap that is found below"
  },
  {
    key: "layers/internal/spawn.ts | statement removed | household.fibers.delete(fiber)",
    reason:
      "a leak, not a difference: a fiber that ended is interrupted without effect; the heap per session is measured by the benchmarks"
  },
  {
    key:
      "layers/RuntimeLoopLive.ts | finalizer dropped | Effect.onInterrupt(() => Effect.zipRight(run.interrupt(\"requeue\"), run.end))",
    reason:
      "Effect interrupts a fiber's children with it and waits for them; it is said here so that nothing depends on it"
  },
  {
    key: "layers/RuntimeLoopLive.ts | step dropped | Effect.zipRight(run.interrupt(\"requeue\"), run.end)",
    reason: "Effect interrupts a fiber's children with it; the reason is not asked for once the loop is gone"
  },
  {
    key: "layers/internal/sqlite/batch.ts | branch always taken | stored.head.open",
    reason: "only memory: what is kept of a closed runtime is what its next opening would read"
  },
  {
    key:
      "layers/internal/teardown.ts | statements swapped | yield* authority.settleAll({ _tag: \"RuntimeTerminated\", reason: unregistered })",
    reason: "waiters of inputs and of operations do not see each other; both are told in one step of the loop"
  },
  {
    key:
      "layers/internal/surfaces/comms.ts | predicate forced | registry.all().filter((entry) => isActive(entry.drain.state.slot))",
    reason: "only faster: ending a drain that does not run changes nothing"
  },
  {
    key: "layers/internal/processGroup.ts | condition false | stderr.closed ? then() : undefined",
    reason: "only slower: the wait for the streams is bounded by drainMs"
  },
  {
    key: "src/kernel/llmVisibility.ts | condition false | a > b ? 1 : 0",
    reason: "a sort asks only whether one comes before the other"
  },
  {
    key:
      "src/kernel/operations.ts | right operand only | on === \"register\" && feed.some((entry) => entry.operationId === id)",
    reason: "only the rows of registering look at it"
  },
  {
    key:
      "layers/MeerkatMachineLive.ts | right operand only | registry.find(entry.sessionId) === entry && !entry.shared",
    reason:
      "a second line: an entry that is not there any more has an end already, and an opening that was given up is not done"
  },
  {
    key:
      "layers/internal/admission.ts | condition true | fresh || Ledger.get(ledger, id) !== undefined ? Effect.succeedNone : deps.store.termina...",
    reason:
      "only faster: without the look-up the store's constraint refuses the id, and that is told as the same answer"
  },
  {
    key: "layers/internal/registry.ts | statement removed | slots.delete(sessionId) #2",
    reason: "the fiber's observer gives the slot back as well, a step or two later"
  },
  {
    key: "layers/internal/processGroup.ts | statement removed | yield* within(gone, killWaitMs)",
    reason:
      "a second line: where the members of a group can be counted they are waited for below; the wait holds where nobody can"
  },
  {
    key: "layers/internal/processGroup.ts | statement removed | yield* within(Deferred.await(state.drained), drainMs)",
    reason:
      "a matter of moments: what the group wrote is read while its end is waited for; this is for what the event loop did not get to"
  },
  {
    key: "layers/internal/sqlite/database.ts | statement removed | yield* Scope.close(scope, exit)",
    reason:
      "only sooner: what a refused connection left goes with the scope of its opening, which ends by the same failure"
  },
  {
    key: "layers/internal/sqlite/open.ts | boundary moved | size <= checkedBytes",
    reason: "a file of exactly so many bytes is checked or not: the size says what a check may cost, and nothing else"
  }
]
