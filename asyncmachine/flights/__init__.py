"""The main job, on real flights: what `am demo` replays.

data                   the flights of a CSV file; 3,375 of them come with the package
model                  schemas: a flight, an airport, an aircraft, the clock of a replay
timeline               what happens to a flight, and when
replay                 the machines of one airport, moved on event by event
"""
