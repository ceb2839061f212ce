import { z } from 'zod'

import type { Endpoint, Outcome } from './endpoint.ts'
import { AdminError } from './errors.ts'
import { parseInput } from './input.ts'
import type { Reloading } from './ports/configuration.ts'

const RELOAD = z.strictObject({})

/** `POST /reload`: the configuration is read again, and taken over as a whole or not at all. */
export function reloadEndpoint(reloading: Reloading): Endpoint {
  return {
    path: '/reload',
    post: {
      action: 'reload',
      input: RELOAD,
      prepare(input) {
        parseInput(RELOAD, input)
        return { parameters: {}, run: () => reload(reloading) }
      },
    },
  }
}

async function reload(reloading: Reloading): Promise<Outcome> {
  const result = await reloading.reload()
  if (result.ok) return { body: { ok: true, warnings: result.warnings } }
  const { message, problems, error } = result
  throw new AdminError('INVALID_CONFIGURATION', {
    message: `the configuration of before stays in use: ${message}`,
    problems,
    cause: error,
  })
}
