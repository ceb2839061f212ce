/** What the admin API takes and gives: programs that use it ask for the same. */

export const JSON_TYPE = 'application/json'
/** One JSON object a line. */
export const NDJSON_TYPE = 'application/x-ndjson'
/** Server-sent events. */
export const EVENTS_TYPE = 'text/event-stream'
/** An archive, not compressed. */
export const TAR_TYPE = 'application/x-tar'
