/**
 * Loaded into the measured process with `--import`. How long its event loop computes at a stretch, in
 * CPU time: unlike a delay, that does not say how busy the machine is otherwise. Asked, by HTTP over
 * the socket that `SIZE_PROBE` names, for the milliseconds of each stretch since it was last asked.
 */
import { createServer } from 'node:http'

const LOOK_MS = 1

/** Of the main thread, milliseconds. */
function cpuMs(): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1000
}

const path = process.env['SIZE_PROBE']
if (path !== undefined) {
  let stretches: number[] = []
  let last = cpuMs()
  const look = () => {
    const now = cpuMs()
    stretches.push(now - last)
    last = now
  }
  setInterval(look, LOOK_MS).unref()
  const server = createServer((_request, response) => {
    response.end(JSON.stringify(stretches))
    stretches = []
  })
  server.listen(path).unref()
}
