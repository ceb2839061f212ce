import { type Image, layerPath, manifestPath, type Pusher } from '../content.ts'
import { MANIFEST_TYPES, pullManifests, warmLayers } from './prime.ts'
import { type Bench, type Comparison, LOOP, type LoadScenario } from './scenario.ts'

const MANIFESTS = 20
/** Answers for the same processor time, of distribution's. */
const AT_LEAST = { atLeast: 20 }

/** Small answers: what counts is what is done for each. */
export function createManifestScenarios(): readonly LoadScenario[] {
  const byTag = (image: Image) => manifestPath(image, image.tag)
  const byDigest = (image: Image) => manifestPath(image, image.manifest)
  return [
    small('warm-manifest-digest', 'warm manifest by digest', 'GET', byDigest, AT_LEAST),
    small('warm-manifest-tag', 'warm manifest by fresh tag', 'GET', byTag, AT_LEAST),
    small('head-manifest', 'HEAD of a manifest by tag', 'HEAD', byTag),
    small('head-blob', 'HEAD of a blob', 'HEAD', layerPath),
    small('small-blob', 'warm blob of 100 bytes', 'GET', layerPath),
    { ...small('blob-20kb', 'warm blob of 20 kB', 'GET', layerPath), push: pushSmallBlobs },
  ]
}

function small(
  name: string,
  title: string,
  method: 'GET' | 'HEAD',
  path: (image: Image) => string,
  target: Pick<Comparison, 'atLeast'> = {},
): LoadScenario {
  const load: LoadScenario['load'] = ({ seconds }, _role, images) => ({
    paths: images.map(path),
    connections: 8,
    seconds,
    method,
    headers: [MANIFEST_TYPES],
  })
  return {
    name,
    title: `${title}, 8 clients`,
    measures: 'requests',
    roles: ['larder', 'distribution'],
    cold: false,
    comparisons: [
      { figure: 'requestsPerCpuSecond', versus: 'distribution', ...target },
      { figure: 'requestsPerSecond', versus: 'distribution' },
      LOOP,
    ],
    push: ({ pusher }) => pushSmallImages(pusher),
    async prime(bench, role, server, images) {
      if (path === layerPath) await warmLayers(bench, role, server, images)
      else await pullManifests(bench.client, server, images)
      // Measured is a server that is asked all day: V8 compiles what it has run often.
      await bench.client.run({ ...load(bench, role, images), port: server.port })
    },
    load,
  }
}

async function pushSmallBlobs({ pusher }: Pick<Bench, 'pusher'>): Promise<readonly Image[]> {
  const images: Image[] = []
  while (images.length < MANIFESTS) images.push(await pusher.pushImage([20_000]))
  return images
}

/** Ten layers each, as many real images have: their manifests are about 2 kB. */
async function pushSmallImages(pusher: Pusher): Promise<readonly Image[]> {
  const images: Image[] = []
  while (images.length < MANIFESTS) {
    images.push(await pusher.pushImage([100, 101, 102, 103, 104, 105, 106, 107, 108, 109]))
  }
  return images
}
