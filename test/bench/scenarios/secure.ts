import { type Image, layerPath, manifestPath } from '../content.ts'
import type { Server } from '../proc.ts'
import { runSecure } from '../secure-client.ts'
import { filePath, MANIFEST_TYPES, writeFiles } from './prime.ts'
import { type Bench, LOOP, type LoadScenario, type Role } from './scenario.ts'

const CLIENTS = 8
/** distribution stores after it has answered. */
const ROUNDS = 3

/** Encrypting is the same work for everybody: no server can send from the disk without looking. */
export function createSecureScenario(): LoadScenario {
  return {
    name: 'tls',
    title: `warm blob over TLS, ${CLIENTS} clients`,
    measures: 'blobs',
    roles: ['larder', 'distribution', 'nginx'],
    cold: false,
    isSecure: true,
    comparisons: [
      { figure: 'cpuPerGb', versus: 'distribution' },
      { figure: 'cpuPerGb', versus: 'nginx' },
      { figure: 'gbPerSecond', versus: 'distribution' },
      LOOP,
    ],
    push: async ({ pusher, blobBytes }) => [await pusher.pushImage([blobBytes])],
    prime,
    load: ({ blobBytes, warmBytes }, role, images) => ({
      paths: images.map(role === 'nginx' ? filePath : layerPath),
      connections: CLIENTS,
      requests: Math.max(1, Math.ceil(warmBytes / 2 / blobBytes / CLIENTS)),
    }),
    run: runSecure,
  }
}

async function prime(
  { upstream }: Bench,
  role: Role,
  server: Server,
  images: readonly Image[],
): Promise<void> {
  if (role === 'nginx') return writeFiles(server, images)
  const paths = images.flatMap((image) => [manifestPath(image, image.tag), layerPath(image)])
  for (let round = 0; round < ROUNDS; round++) {
    await runSecure({
      port: server.port,
      paths,
      connections: 1,
      requests: paths.length,
      headers: [MANIFEST_TYPES],
    })
    await upstream.settle()
    await server.settle()
  }
}
