/** A program: sends one request from where it runs, and prints the answer as JSON. */
import { argv, stdout } from 'node:process'

import { send } from '../support/http-client.ts'

const [, , method = '', origin = '', path = ''] = argv
const { status, headers, body } = await send(origin, path, { method })
stdout.write(JSON.stringify({ status, headers, body: body.toString() }))
