import { render } from 'preact'

import { html } from './html.js'
import { Shell } from './shell.js'
import { applyTheme, readTheme } from './theme.js'

applyTheme(readTheme())
const root = document.getElementById('root')
if (root !== null) render(html`<${Shell} />`, root)
