import { type Image, layerPath } from '../content.ts'
import { filePath, warmLayers } from './prime.ts'
import { type Bench, type Comparison, LOOP, type LoadScenario, type Role } from './scenario.ts'

/** More than Larder's chunk cache holds, in blobs that it would hold one by one. */
const LARGE_BLOBS = 3
const RANGE_BYTES = 2 ** 20
const RANGES = 997

const HOT: readonly Comparison[] = [
  { figure: 'cpuPerGb', versus: 'distribution', atMost: 0.6 },
  { figure: 'cpuPerGb', versus: 'nginx', atMost: 1 },
  { figure: 'bothCpuPerGb', versus: 'nginx' },
  { figure: 'gbPerSecond', versus: 'distribution' },
  LOOP,
]
const LARGE: readonly Comparison[] = [
  { figure: 'cpuPerGb', versus: 'distribution', atMost: 1 },
  { figure: 'cpuPerGb', versus: 'nginx' },
  { figure: 'bothCpuPerGb', versus: 'nginx' },
  { figure: 'gbPerSecond', versus: 'distribution' },
  LOOP,
]

/** What is stored, in memory or not. */
export function createWarmScenarios(): readonly LoadScenario[] {
  return [
    ...[1, 8, 64].map((clients) => warm(`warm-blob-${clients}`, clients, 1, HOT)),
    ...[1, 8, 64].map((clients) => warm(`warm-large-${clients}`, clients, LARGE_BLOBS, LARGE)),
    ...[1, 10, 100, 1000].map((clients) => pulls(clients)),
    ranges(),
  ]
}

function warm(
  name: string,
  clients: number,
  blobs: number,
  comparisons: readonly Comparison[],
): LoadScenario {
  const what = blobs === 1 ? 'warm blob' : 'warm, larger than the cache'
  return {
    name,
    title: `${what}, ${clients === 1 ? 'one client' : `${clients} clients`}`,
    measures: 'blobs',
    roles: ['larder', 'distribution', 'nginx'],
    cold: false,
    comparisons,
    push: async ({ pusher, blobBytes }) => {
      const images: Image[] = []
      while (images.length < blobs) images.push(await pusher.pushImage([blobBytes]))
      return images
    },
    prime: warmLayers,
    load: ({ blobBytes, warmBytes }, role, images) => ({
      paths: images.map((image) => pathFor(role, image)),
      connections: clients,
      requests: Math.max(1, Math.ceil(warmBytes / blobBytes / clients)),
    }),
  }
}

/** So many pulls at once, of what fits into memory whole: what grows with them, and how. */
function pulls(clients: number): LoadScenario {
  return {
    ...warm(`pulls-${clients}`, clients, 1, [
      { figure: 'cpuPerGb', versus: 'distribution' },
      { figure: 'gbPerSecond', versus: 'distribution' },
      { figure: 'rssMiB' },
      LOOP,
    ]),
    title: clients === 1 ? 'one pull of 8 MiB' : `${clients} pulls of 8 MiB at once`,
    roles: ['larder', 'distribution'],
    push: async ({ pusher }) => [await pusher.pushImage([8 * 2 ** 20])],
    load: ({ warmBytes }, role, images) => ({
      paths: images.map((image) => pathFor(role, image)),
      connections: clients,
      requests: Math.max(1, Math.ceil(warmBytes / 2 ** 23 / clients)),
    }),
  }
}

function ranges(): LoadScenario {
  return {
    ...warm('warm-ranges', 8, 1, [
      { figure: 'cpuPerGb', versus: 'distribution' },
      { figure: 'cpuPerGb', versus: 'nginx' },
      { figure: 'gbPerSecond', versus: 'distribution' },
      { figure: 'firstByteP50Ms', versus: 'distribution' },
      LOOP,
    ]),
    title: 'ranges of 1 MiB at random, 8 clients',
    load: (bench, role, images) => ({
      paths: images.flatMap((image) => rangesOf(pathFor(role, image), bench)),
      connections: 8,
      requests: Math.max(1, Math.ceil(bench.warmBytes / 2 / RANGE_BYTES / 8)),
    }),
  }
}

/** Not aligned to anything, and for all servers and rounds the same. */
function rangesOf(path: string, { blobBytes }: Bench): readonly string[] {
  const places = Math.max(1, blobBytes - RANGE_BYTES)
  return Array.from({ length: RANGES }, (_, i) => {
    const start = (i * 7_368_787) % places
    return `${path} bytes=${start}-${start + RANGE_BYTES - 1}`
  })
}

function pathFor(role: Role, image: Image): string {
  return role === 'nginx' ? filePath(image) : layerPath(image)
}
