import { z } from 'zod'

import type { Endpoint } from './endpoint.ts'
import { AdminError } from './errors.ts'
import { flag, parseInput } from './input.ts'
import type { NodeSetups } from './ports/node-setups.ts'

const NODE_CONFIG = z.strictObject({
  runtime: z.string(),
  /** Larder as nodes reach it; default: the host that this was asked of, at the registry's port. */
  server: z.string().max(300).optional(),
  /** Whether nodes ask a registry itself where Larder fails. */
  fallback: flag(true),
  /** One entry for every registry there is, in place of one for each that is configured. */
  everything: flag(false),
})

/** `GET /node-config?runtime=`: the files with which nodes pull through this very Larder. */
export function nodeConfigEndpoint({ runtimes, render, serverAt }: NodeSetups): Endpoint {
  return {
    path: '/node-config',
    query: NODE_CONFIG,
    async read({ query, host }) {
      const asked = parseInput(NODE_CONFIG, query)
      const { runtime, server = serverAt(host) } = asked
      if (!runtimes.includes(runtime)) {
        const message = `runtime: expected one of ${runtimes.join(', ')}`
        throw new AdminError('INVALID', { message })
      }
      const { files, notes } = render({ ...asked, server })
      const shown = files.map(({ path, content, mode }) => ({ path, content, mode }))
      return { runtimes, runtime, server, files: shown, notes }
    },
  }
}
