import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

import { digestOf, encodedOf } from '../../src/oci/digest.ts'
import { FileBlobs } from '../../src/store/blobs.ts'
import { makeTempDir } from '../support/temp-dir.ts'

const VICTIM = fileURLToPath(import.meta.resolve('../support/store-victim.ts'))
const TEXT = 'what is stored while the process is killed'
const DIGEST = digestOf(Buffer.from(TEXT))

/** What the killed process had said. */
async function runVictim(path: string, way: string, killAt: number): Promise<string> {
  const args = [VICTIM, path, way, DIGEST, TEXT, String(killAt)]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  return await text(child.stdout)
}

async function assertLegal(path: string, said: string): Promise<FileBlobs> {
  const blobs = await FileBlobs.open({ path })
  for (const name of await readdir(join(path, 'ingest'))) {
    assert.equal(name, `${encodedOf(DIGEST)}.part`)
  }
  for (const { digest, size } of await blobs.listParts()) {
    const part = await blobs.ingest(digest)
    assert.equal((await part.read(0, size)).toString(), TEXT.slice(0, size))
    await part.close()
  }
  for await (const { digest, size } of blobs.scan()) {
    assert.equal(digestOf((await blobs.read(digest, size)) ?? Buffer.alloc(0)), digest)
  }
  if (said === 'stored') assert.equal(await blobs.stat(DIGEST), TEXT.length)
  return blobs
}

for (const way of ['put', 'commit', 'stage']) {
  test(`kill -9 before any file operation of a ${way} leaves what the next start understands`, async () => {
    let said = ''
    let killAt = 0
    while (said !== 'stored') {
      await using dir = await makeTempDir()
      said = await runVictim(dir.path, way, ++killAt)
      const blobs = await assertLegal(dir.path, said)
      const ingest = await blobs.ingest(DIGEST)
      await ingest.append([Buffer.from(TEXT).subarray(ingest.size)])
      await ingest.commit()
      await ingest.close()
      assert.equal((await blobs.read(DIGEST, 100))?.toString(), TEXT)
    }
    assert.ok(killAt > 8, `${killAt} steps`)
  })
}
