import assert from 'node:assert/strict'
import { setImmediate } from 'node:timers/promises'

import type { Digest } from '../../src/oci/digest.ts'
import type { Ingest } from '../../src/store/ports.ts'

export type DiskOperation = 'append' | 'read' | 'reset' | 'commit' | 'close'

export interface FakeIngestOptions {
  readonly digest: Digest
  /** What an earlier run left. */
  readonly part?: Buffer
  /** The first operation of a kind that fails, counted from 1; those after it fail as well. */
  readonly fails?: Partial<Record<DiskOperation, number>>
}

/** A part in memory that checks how it is used, and refuses when it is told to. */
export class FakeIngest implements Ingest {
  readonly digest: Digest
  /** The bytes under their final name. */
  committed: Buffer | undefined
  state: 'open' | 'closed' | 'discarded' = 'open'
  reads = 0
  /** The size that was announced. */
  expected: number | undefined
  readonly #fails: Partial<Record<DiskOperation, number>>
  readonly #counts = new Map<DiskOperation, number>()
  #bytes: Buffer
  #isAppending = false

  constructor({ digest, part = Buffer.alloc(0), fails = {} }: FakeIngestOptions) {
    this.digest = digest
    this.#bytes = part
    this.#fails = fails
  }

  get size(): number {
    return this.#bytes.length
  }

  /** What is left for a later run. */
  get part(): Buffer {
    return this.#bytes
  }

  expect(size: number): void {
    this.expected = size
  }

  async append(buffers: readonly Uint8Array[]): Promise<void> {
    assert.equal(this.#isAppending, false, 'one append at a time')
    this.#isAppending = true
    // Taken when they are written: a buffer that is changed meanwhile would show.
    await setImmediate()
    this.#isAppending = false
    this.#step('append')
    this.#bytes = Buffer.concat([this.#bytes, ...buffers])
  }

  async read(position: number, length: number): Promise<Buffer> {
    assert.ok(length > 0, `a read of ${length} bytes`)
    this.reads++
    await setImmediate()
    this.#step('read')
    assert.ok(position + length <= this.#bytes.length, 'a read past what is written')
    return Buffer.from(this.#bytes.subarray(position, position + length))
  }

  async reset(): Promise<void> {
    await setImmediate()
    this.#step('reset')
    this.#bytes = Buffer.alloc(0)
  }

  async commit(): Promise<void> {
    await setImmediate()
    this.#step('commit')
    this.committed = Buffer.from(this.#bytes)
  }

  async close(): Promise<void> {
    await setImmediate()
    this.state = 'closed'
    this.#step('close', 'closed')
  }

  async discard(): Promise<void> {
    await setImmediate()
    this.state = 'discarded'
    if (this.committed === undefined) this.#bytes = Buffer.alloc(0)
  }

  #step(operation: DiskOperation, expected: 'open' | 'closed' = 'open'): void {
    if (this.state !== expected) throw new Error(`${operation} of a part that is ${this.state}`)
    const count = (this.#counts.get(operation) ?? 0) + 1
    this.#counts.set(operation, count)
    const first = this.#fails[operation]
    if (first !== undefined && count >= first) throw new Error(`injected: ${operation} ${count}`)
  }
}
