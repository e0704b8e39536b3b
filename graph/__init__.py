"""See machines, states, pipes, peers and links as one multigraph, now and as of a time.

graph                  what people call
parts                  vertices, edges, their keys, and changes of a graph
live                   the graph as it is now, with what waits for its ends
feed, peers            machines that put themselves into it, and what a peer knows of its network
told, teller, telling  what a peer tells others of its own edges
said, held             what others have told, and who has copies of what
timeline, columns      every vertex and edge with the time during which it was there
view                   the graph at one moment, and questions about it
export, svg, formats   a view as DOT, GraphML, Mermaid, D2, JSON, Markdown, XML; as a picture
"""
