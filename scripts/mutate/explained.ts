/**
 * Survivors that no test should detect, with the reason. The key is the tool's output for the mutant. It changes with
 * the code, so that an explanation does not outlive its code.
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
    reason:
      "only the text of the refusal differs: a model without an entry has no known capabilities, and the code below refuses it"
  },
  {
    key: "src/kernel/projection.ts | right operand only | typeof value === \"object\" && value !== null",
    reason: "a value that cannot hold properties has no `body`, and an absent body counts as empty"
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
    reason: "defence in depth: the code that replaces the task interrupts it, and an interrupted task does not get here"
  },
  {
    key: "layers/internal/drainTask.ts | branch never taken | !owns(drain) #2",
    reason: "defence in depth: the code that replaces the task interrupts it, and an interrupted task does not get here"
  },
  {
    key: "layers/internal/groupCommit.ts | boundary moved | next < state.queue.length",
    reason: "one more iteration, which finds no entry"
  },
  {
    key: "layers/internal/groupCommit.ts | assignment removed | state.taken = []",
    reason: "the entries are settled by then, and readers skip settled entries"
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
    reason:
      "only the text differs: an empty name resolves to the working directory, which is refused because it is a folder"
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
    reason: "a row that ends before the position is followed by the gap that the code below finds"
  },
  {
    key: "layers/internal/spawn.ts | statement removed | household.fibers.delete(fiber)",
    reason:
      "a leak without a visible difference: interrupting an ended fiber has no effect; the benchmarks measure the heap per session"
  },
  {
    key:
      "layers/RuntimeLoopLive.ts | finalizer dropped | Effect.onInterrupt(() => Effect.zipRight(run.interrupt(\"requeue\"), run.end))",
    reason:
      "Effect interrupts a fiber's children with it and waits for them; the code states it so that it does not depend on that"
  },
  {
    key: "layers/RuntimeLoopLive.ts | step dropped | Effect.zipRight(run.interrupt(\"requeue\"), run.end)",
    reason: "Effect interrupts a fiber's children with it; after the loop has ended nothing reads the reason"
  },
  {
    key: "layers/internal/sqlite/batch.ts | branch always taken | stored.head.open",
    reason: "only memory: the memory keeps for a closed runtime what its next opening would read"
  },
  {
    key:
      "layers/internal/teardown.ts | statements swapped | yield* authority.settleAll({ _tag: \"RuntimeTerminated\", reason: unregistered })",
    reason: "waiters of inputs and of operations do not see each other; one step of the loop settles both"
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
    reason: "defence in depth: a removed entry has ended already, and an abandoned opening never completes"
  },
  {
    key:
      "layers/internal/admission.ts | condition true | fresh || Ledger.get(ledger, id) !== undefined ? Effect.succeedNone : deps.store.termina...",
    reason:
      "only faster: without the look-up the store's constraint refuses the id, and the caller gets the same answer"
  },
  {
    key: "layers/internal/registry.ts | statement removed | slots.delete(sessionId) #2",
    reason: "the fiber's observer frees the slot as well, one or two steps later"
  },
  {
    key: "layers/internal/processGroup.ts | statement removed | yield* within(gone, killWaitMs)",
    reason:
      "defence in depth: the code below waits for the group's members where the system can count them; this wait is for the other systems"
  },
  {
    key: "layers/internal/processGroup.ts | statement removed | yield* within(Deferred.await(state.drained), drainMs)",
    reason:
      "a matter of milliseconds: the group's output is read while the code waits for its end; this wait covers output that the event loop has not delivered yet"
  },
  {
    key: "layers/internal/sqlite/database.ts | statement removed | yield* Scope.close(scope, exit)",
    reason:
      "only sooner: the scope of the opening releases what a refused connection left, and ends by the same failure"
  },
  {
    key: "layers/internal/sqlite/open.ts | boundary moved | size <= checkedBytes",
    reason: "a file of exactly this size may be checked or not: the limit only bounds the cost of a check"
  }
]
