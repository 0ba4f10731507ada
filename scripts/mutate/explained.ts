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
      "src/kernel/Ledger.ts | condition false | next !== undefined && samePlace(old, next) ? { ...ledger, keys } : withIndex({ ...ledge...",
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
  }
]
