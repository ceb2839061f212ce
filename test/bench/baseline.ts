/**
 * What Larder is held against where no other cache is installed: a process that answers as a program
 * does that was written in an afternoon. `node baseline.ts FILE BODY`; it prints its port.
 *
 * - `/blob`: FILE through a stream, in pieces of 64 KiB
 * - `/manifest`: BODY, by Express
 * - `/cpu`: microseconds of processor time so far, `{ user, system }`
 */
import { createReadStream, statSync } from 'node:fs'
import type { AddressInfo } from 'node:net'

import express from 'express'

const [, , file = '', body = ''] = process.argv
const { size } = statSync(file)
const bytes = Buffer.from(body)

const app = express()
app.disable('x-powered-by')
app.disable('etag')
app.get('/blob', (_request, response) => {
  response.setHeader('Content-Length', size)
  createReadStream(file).pipe(response)
})
app.get('/manifest', (_request, response) => {
  response.setHeader('Content-Type', 'application/json')
  response.setHeader('Content-Length', bytes.length)
  response.end(bytes)
})
app.get('/cpu', (_request, response) => {
  response.json(process.cpuUsage())
})
const server = app.listen(0, '127.0.0.1', () => {
  process.stdout.write(`${(server.address() as AddressInfo).port}\n`)
})
