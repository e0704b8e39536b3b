"""The main job, on real flights: what `am demo` replays.

data                   the flights of a CSV file; 3,375 of them come with the package
model                  schemas: a flight, an airport, an aircraft, the clock of a replay
timeline               what happens to a flight, and when
replay                 the machines of one airport, moved on event by event
pace                   how airports wait for each other, by replicas
process, warm, fleet   an airport's process; what it is a copy of; all of them, started and watched
observe, view, report  what the observer makes of it; how that is shown; what it says in the end
place, supervisor      where it is recorded; the whole
"""
