/**
 * One life of a whole Larder, with a registry of its own, which `recorder.ts` runs under strace:
 * `victim.ts PATH first|second`. The first ends by SIGKILL in the middle of a download.
 */
import { readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'

import { isDigest } from '../../src/oci/digest.ts'
import { FaultRegistry } from '../support/fault-registry.ts'
import { Site } from './site.ts'
import { Witness } from './witness.ts'
import { firstLife, secondLife } from './workload.ts'

const [, , path = '', life = ''] = process.argv
const stored = await readdir(join(path, 'disk/data/blobs'), { recursive: true }).catch(() => [])
const digests = stored.map((name) => `sha256:${basename(name)}`).filter(isDigest)
const witness = new Witness(join(path, 'marks'), digests)
witness.attach()
const registry = await new FaultRegistry().start()
const site = new Site({ path, registry, witness })
await site.start()
if (life === 'first') {
  await firstLife(site)
  process.kill(process.pid, 'SIGKILL')
}
await secondLife(site)
await site.stop()
await registry.close()
process.exit(0)
