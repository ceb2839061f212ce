/**
 * Stores one blob and is killed before the file operation of a given number: what
 * `test/store/blobs-crash.test.ts` starts. Says `stored` if it lives to see that.
 */

import { parseDigest } from '../../src/oci/digest.ts'
import { FileBlobs } from '../../src/store/blobs.ts'
import { interceptFiles } from './fs-faults.ts'

const [, , path = '', way = '', digestText = '', text = '', killAt = ''] = process.argv
const digest = parseDigest(digestText)
const bytes = Buffer.from(text)

const blobs = await FileBlobs.open({ path })
let count = 0
await interceptFiles(() => {
  if (++count === Number(killAt)) process.kill(process.pid, 'SIGKILL')
})
if (way === 'put') await blobs.put(digest, bytes)
else if (way === 'stage') {
  const staged = await blobs.stage()
  await staged.append([bytes.subarray(0, 7)])
  await staged.append([bytes.subarray(7)])
  await staged.commit(digest)
} else {
  const ingest = await blobs.ingest(digest)
  await ingest.append([bytes.subarray(0, 7)])
  await ingest.append([bytes.subarray(7)])
  await ingest.commit()
  await ingest.close()
}
process.stdout.write('stored')
