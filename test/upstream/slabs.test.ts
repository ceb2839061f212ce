import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'

import { digestOf } from '../../src/oci/digest.ts'
import type { RemoteBlob } from '../../src/upstream/ports.ts'
import { seededBytes } from '../support/images.ts'
import { ScriptedServer } from '../support/scripted-server.ts'
import { makeTempDir } from '../support/temp-dir.ts'
import { AS_LARDER, createClient, REPOSITORY } from './client.ts'
import { LOOPBACK_CERT, LOOPBACK_KEY } from './loopback-tls.ts'

const MIB = 1024 * 1024
const BLOB = seededBytes('slabs', 12 * MIB + 4321)
const DIGEST = digestOf(BLOB)

/** A registry, and its client, over TLS or not. */
async function open(isSecure: boolean) {
  await using opened = new AsyncDisposableStack()
  const tls = isSecure ? { key: LOOPBACK_KEY, cert: LOOPBACK_CERT } : undefined
  const server = opened.use(await new ScriptedServer(serve, tls).start())
  const folder = opened.use(await makeTempDir())
  const caFile = join(folder.path, 'ca.pem')
  await writeFile(caFile, LOOPBACK_CERT)
  const client = opened.use(createClient(server.origin, isSecure ? { caFile } : {}))
  const options = { ...AS_LARDER, offset: 0 }
  const stack = opened.move()
  return {
    begin: () => client.registry.openBlob(REPOSITORY, DIGEST, options),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}

function serve() {
  return { status: 200, body: BLOB }
}

/** Copies what comes, and gives the memory back, now or a little later. */
async function copied({ body, release }: RemoteBlob, turns = 0): Promise<Buffer> {
  const pieces: Buffer[] = []
  for await (const piece of body as AsyncIterable<Buffer>) {
    for (let i = 0; i < turns; i++) await setImmediate()
    pieces.push(Buffer.from(piece))
    release?.(piece)
  }
  return Buffer.concat(pieces)
}

async function kept({ body }: RemoteBlob): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(body as AsyncIterable<Buffer>))
}

for (const isSecure of [false, true]) {
  const over = isSecure ? ' over TLS' : ''

  test(`memory that was given back is read into again, and no other${over}`, async () => {
    await using registry = await open(isSecure)
    for (let round = 0; round < 3; round++) {
      const blobs = await Promise.all(Array.from({ length: 6 }, () => registry.begin()))
      const readings = blobs.map((blob, i) => (i % 3 === 0 ? kept(blob) : copied(blob, i % 3)))
      for (const bytes of await Promise.all(readings)) assert.ok(bytes.equals(BLOB))
    }
  })

  test(`a body that is given back takes little memory, however long it is${over}`, async () => {
    await using registry = await open(isSecure)
    const memories = new Set<ArrayBufferLike>()
    for (let round = 0; round < 4; round++) {
      const { body, release } = await registry.begin()
      for await (const piece of body as AsyncIterable<Buffer>) {
        memories.add(piece.buffer)
        release?.(piece)
      }
    }
    // The first of each answer has its headers, which nobody gives back.
    assert.ok(memories.size <= 12, `${memories.size} slabs for ${(4 * BLOB.length) / MIB} MiB`)
  })
}
