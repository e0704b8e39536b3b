/**
 * What goes over the wire, as the modules of the page name it. Times are ns since 1970: decimal strings in answers,
 * BigInt in here. There is no code in this module.
 *
 * @typedef {Object} Info
 * @property {string} version
 * @property {"history"|"peer"|"window"} mode
 * @property {string} title
 * @property {string} source
 * @property {string} life the same as long as it is the same history
 * @property {string|null} first
 * @property {string|null} last
 * @property {boolean} live
 * @property {string|null} peer
 * @property {string|null} topic
 * @property {number} machines
 * @property {{owner: string, name?: string|null, machines: number}[]} owners
 * @property {{name: string, machines: number}[]} states
 * @property {{name: string, first: string, last: string}[]} graph
 *
 * @typedef {Object} MachineNow
 * @property {string} key
 * @property {number|null} id its number in answers in brief
 * @property {string} machine
 * @property {string} owner
 * @property {string} peer in whose box it is
 * @property {string} at
 * @property {number} seq
 * @property {number} epoch
 * @property {string[]} active
 * @property {boolean} error
 * @property {string|null} parent
 * @property {string[]} tags
 * @property {number|null} stale_ms
 * @property {boolean|null} online
 *
 * @typedef {Object} LogRecord
 * @property {string} key
 * @property {string} machine
 * @property {string} owner
 * @property {string} peer in whose box it is
 * @property {string} at
 * @property {number} epoch
 * @property {number} seq
 * @property {string} mutation
 * @property {boolean} auto
 * @property {boolean} rejected
 * @property {boolean} error
 * @property {string[]} called
 * @property {string[]} activated
 * @property {string[]} deactivated
 * @property {{machine: string, tx: string}|null} cause
 *
 * @typedef {Object} GraphNow what is known of the graph at a moment; see brief.js
 * @property {{peer: string, label: string}[]} peers
 * @property {Set<string>} machines keys of those that are there
 * @property {{kind: string, ends: string[]}[]} edges the ends of each edge, one after the other: `p:PEER` or `m:KEY`
 * @property {Object<string, number>} kinds how many edges there are of each, also of those that were not asked for
 * @property {string[]} asked kinds that were asked for
 * @property {string|null} open the machine whose pipes are here in any case
 * @property {boolean} derived no graph was recorded then
 * @property {boolean} truncated
 *
 * @typedef {Object} Rect
 * @property {number} x left
 * @property {number} y top
 * @property {number} w
 * @property {number} h
 *
 * @typedef {Object} Box a peer, drawn
 * @property {string} owner
 * @property {boolean} collapsed
 * @property {number} x
 * @property {number} y
 * @property {number} w
 * @property {number} h
 * @property {number} head height of what stands above the machines
 * @property {number} columns
 * @property {Tile} tile how large its machines are
 * @property {(string|null)[]} keys of its machines, in their places; null: an empty one
 * @property {number} size how many machines
 *
 * @typedef {Object} Tile
 * @property {number} w
 * @property {number} h
 * @property {number} gap
 *
 * @typedef {Object} View what the address holds
 * @property {bigint|null} at null: now
 * @property {string|null} machine
 * @property {string[]|null} states picked ones, the first is the one that steps go by; null: chosen for you
 * @property {string[]|null} kinds of edges; null: the usual ones
 * @property {bigint|null} diff
 * @property {string[]} collapsed owners; "!owner" is one that is open; "*" stands for all
 * @property {string|null} window
 * @property {bigint|null} since of the time bar; null: all
 * @property {bigint|null} until
 * @property {string} owner filter
 * @property {string} tag filter
 * @property {string} only filter: a state that has to be active
 * @property {"machine"|"log"|"diff"|""} tab of the panel that is open
 */
export {};
