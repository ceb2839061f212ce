import fc from 'fast-check'

/** What is asked of Larder; several may be asked at the same moment. Numbers choose among what is there. */
export type Ask =
  | { readonly do: 'pull'; readonly repository: number; readonly tag: number }
  | {
      readonly do: 'manifest'
      readonly repository: number
      readonly content: number
      readonly head: boolean
    }
  | {
      readonly do: 'blob'
      readonly repository: number
      readonly blob: number
      readonly head: boolean
    }
  | {
      readonly do: 'ranges'
      readonly repository: number
      readonly blob: number
      readonly ranges: readonly RangeWish[]
    }
  | {
      readonly do: 'leave'
      readonly repository: number
      readonly blob: number
      readonly after: number
    }
  | { readonly do: 'slowly'; readonly repository: number; readonly blob: number }
  | { readonly do: 'fill' }
  | {
      readonly do: 'pin'
      readonly repository: number
      readonly tag: number
      readonly follow: boolean
      readonly expires: boolean
    }
  | { readonly do: 'pinDigest'; readonly repository: number; readonly content: number }
  | { readonly do: 'pinPattern'; readonly pattern: number }
  | { readonly do: 'unpin'; readonly pin: number }
  | {
      readonly do: 'purge'
      readonly repository: number
      readonly tag: number
      readonly force: boolean
    }
  | { readonly do: 'shrink'; readonly kib: number }
  | { readonly do: 'expire' }
  | { readonly do: 'gc' }
  | { readonly do: 'verify'; readonly repair: boolean }
  | {
      readonly do: 'move'
      readonly repository: number
      readonly tag: number
      readonly content: number
    }
  | { readonly do: 'untag'; readonly repository: number; readonly tag: number }

export interface RangeWish {
  readonly kind: 'span' | 'from' | 'last'
  readonly first: number
  readonly length: number
}

/** What befalls Larder or its registry: one at a time. */
export type Event =
  | { readonly do: 'together'; readonly asks: readonly Ask[] }
  | { readonly do: 'fault'; readonly fault: RegistryFault; readonly byte: number }
  | {
      readonly do: 'damage'
      readonly file: number
      readonly how: 'delete' | 'flip' | 'cut'
      readonly byte: number
    }
  | { readonly do: 'damagePart'; readonly file: number; readonly byte: number }
  | { readonly do: 'restart'; readonly database: 'kept' | 'deleted' | 'garbled' | 'cut' }
  | { readonly do: 'kill' }
  | { readonly do: 'refuse'; readonly after: number }
  | { readonly do: 'pass'; readonly time: number }
  | { readonly do: 'setClock'; readonly to: number }
  | { readonly do: 'cap'; readonly cap: number }
  | { readonly do: 'policy'; readonly policy: number }
  | { readonly do: 'offline'; readonly offline: boolean }
  | { readonly do: 'second' }

export type Step = Ask | Event
export type RegistryFault = 'none' | 'down' | 'error' | 'limit' | 'cut' | 'wrong' | 'short'

export interface Start {
  readonly access: 'public' | 'shared'
  readonly cap: number
  readonly policy: number
  readonly chunkCacheBytes: number
}

// Mostly the same one: what befalls a tag shows where it is asked for again.
const repository = fc.constantFrom(0, 0, 0, 1)
const tag = fc.constantFrom(0, 0, 0, 1, 2)
const content = fc.nat(5)
const blob = fc.nat(11)
const byte = fc.nat(3 * 1024 * 1024)
const range: fc.Arbitrary<RangeWish> = fc.record({
  kind: fc.constantFrom('span', 'from', 'last'),
  first: byte,
  length: fc.oneof(fc.nat(100), byte),
})

function step<K extends Step['do'], T extends object>(
  name: K,
  fields: { readonly [F in keyof T]: fc.Arbitrary<T[F]> },
): fc.Arbitrary<{ readonly do: K } & T> {
  return fc.record(fields).map((values) => ({ do: name, ...values }) as { readonly do: K } & T)
}

const asks: readonly (readonly [number, fc.Arbitrary<Ask>])[] = [
  [7, step('pull', { repository, tag })],
  [2, step('manifest', { repository, content, head: fc.boolean() })],
  [4, step('blob', { repository, blob, head: fc.boolean() })],
  [
    3,
    step('ranges', { repository, blob, ranges: fc.array(range, { minLength: 1, maxLength: 3 }) }),
  ],
  [2, step('leave', { repository, blob, after: byte })],
  [1, step('slowly', { repository, blob })],
  [2, fc.constant({ do: 'fill' } as const)],
  [2, step('pin', { repository, tag, follow: fc.boolean(), expires: fc.boolean() })],
  [1, step('pinDigest', { repository, content })],
  [1, step('pinPattern', { pattern: fc.nat(2) })],
  [1, step('unpin', { pin: fc.nat(5) })],
  [1, step('purge', { repository, tag, force: fc.boolean() })],
  [1, step('shrink', { kib: fc.nat(600) })],
  [1, fc.constant({ do: 'expire' } as const)],
  [1, fc.constant({ do: 'gc' } as const)],
  [1, step('verify', { repair: fc.boolean() })],
  [2, step('move', { repository, tag, content })],
  [1, step('untag', { repository, tag })],
]
const ask = fc.oneof(...asks.map(([weight, arbitrary]) => ({ weight, arbitrary })))

const fault = fc.constantFrom<RegistryFault>(
  ...(['none', 'none', 'down', 'down', 'error', 'limit', 'cut', 'cut', 'wrong', 'short'] as const),
)
const database = fc.constantFrom('kept', 'kept', 'kept', 'deleted', 'garbled', 'cut' as const)

const event: fc.Arbitrary<Step> = fc.oneof(
  { weight: 24, arbitrary: ask },
  {
    weight: 6,
    arbitrary: step('together', { asks: fc.array(ask, { minLength: 2, maxLength: 5 }) }),
  },
  { weight: 5, arbitrary: step('fault', { fault, byte }) },
  {
    weight: 6,
    arbitrary: step('damage', {
      file: fc.nat(30),
      how: fc.constantFrom('delete', 'flip', 'flip', 'cut' as const),
      byte,
    }),
  },
  { weight: 1, arbitrary: step('damagePart', { file: fc.nat(5), byte }) },
  { weight: 2, arbitrary: step('restart', { database }) },
  { weight: 2, arbitrary: fc.constant({ do: 'kill' } as const) },
  { weight: 1, arbitrary: step('refuse', { after: fc.nat(20) }) },
  { weight: 4, arbitrary: step('pass', { time: fc.nat(3) }) },
  { weight: 2, arbitrary: step('setClock', { to: fc.nat(4) }) },
  { weight: 2, arbitrary: step('cap', { cap: fc.nat(2) }) },
  { weight: 2, arbitrary: step('policy', { policy: fc.nat(3) }) },
  { weight: 2, arbitrary: step('offline', { offline: fc.boolean() }) },
  { weight: 1, arbitrary: fc.constant({ do: 'second' } as const) },
)

/** One history of a Larder. */
export interface Story {
  readonly start: Start
  readonly steps: readonly Step[]
}

export const stories: fc.Arbitrary<Story> = fc.record({
  start: fc.record({
    access: fc.constantFrom('public', 'shared' as const),
    cap: fc.nat(2),
    policy: fc.nat(3),
    chunkCacheBytes: fc.constantFrom(0, 4 * 1024 * 1024),
  }),
  steps: fc.array(event, { minLength: 4, maxLength: 16, size: 'max' }),
})
