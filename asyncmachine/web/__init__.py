"""The page: the network as it is and as it was, in a browser.

asked, answers           what can be asked over HTTP, and what comes back: msgspec structs
source, roster           what is asked: a stored history, a live peer's, or a window of one; its machines
network, edges, …        an answer a module, pure: from a source and a question to a struct
questions                the table of them all, of which the routes and the OpenAPI document are made
app, guard, server       starlette, who may ask, hypercorn
static/                  the page itself: ES modules, no build step
"""
