// What the pure modules of the page promise. It runs in the page; test_page.py asks for the failures and their number.
async () => {
  const [time, link, layout, looks, edges, stores, api, brief] = await Promise.all(
    ["time", "link", "layout", "looks", "edges", "store", "api", "brief"].map((name) => import(`/static/js/${name}.js`)),
  );
  const failed = [];
  let count = 0;
  const text = (value) => JSON.stringify(value, (_, one) => (typeof one === "bigint" ? `${one}n` : one));
  const check = (name, found, wanted) => {
    count += 1;
    if (text(found) !== text(wanted)) failed.push(`${name}: ${text(found)} instead of ${text(wanted)}`);
  };
  const refused = (call) => {
    try {
      return call();
    } catch (error) {
      return error.name;
    }
  };

  const at = 1360375225123456789n;
  check("a time is written exactly", time.exact(at), "2013-02-09T02:00:25.123456789Z");
  check("and read again", time.parse(time.exact(at), 0n), at);
  check("whole seconds have no fraction", time.exact(1360375225000000000n), "2013-02-09T02:00:25Z");
  check("a zone counts", time.parse("2013-02-09T03:00+01:00", 0n), 1360375200000000000n);
  check("a day begins at midnight", time.parse("2013-02-09", 0n), 1360368000000000000n);
  check("ago is before now", time.parse("1h30m ago", 5_400_000_000_000n), 0n);
  check(
    "nonsense is refused",
    refused(() => time.parse("soon", 0n)),
    "RangeError",
  );
  check(
    "a day that is none is refused",
    refused(() => time.parse("2013-02-31T99:00Z", 0n)),
    "RangeError",
  );
  check("lengths have two units", time.duration(3723n * time.SECOND), "1 h 2 min");
  check("and are rounded", time.duration(2n * time.MINUTE - 1n), "2 min");
  check("ms go back and forth", time.fromMs(time.toMs(at)) / 1000n, at / 1000n);

  const view = {
    ...link.START,
    at,
    machine: "a/b c,d#&=%",
    states: ["A,B", "C\\D"],
    kinds: [],
    collapsed: ["*", "!x"],
    tab: "log",
    owner: "ü",
  };
  check("a link holds the view", link.fromHash(link.toHash(view)), view);
  check("no link is the start", link.fromHash(""), { ...link.START });
  check("and the start is no link", link.toHash(link.START), "#");

  const groups = Array.from({ length: 37 }, (_, i) => ({
    owner: `peer${i}`,
    parts: [
      Array.from({ length: (i * 7) % 50 }, (_, n) => `${i}/a${n}`),
      Array.from({ length: i % 3 }, (_, n) => `${i}/b${n}`),
    ],
  }));
  const room = { width: 1000, height: 600 };
  const arranged = layout.arrange(groups, (owner) => owner.endsWith("7"), room);
  const overlaps = arranged.boxes.flatMap((a, i) =>
    arranged.boxes.slice(i + 1).filter((b) => a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h),
  );
  check("boxes do not overlap", overlaps.length, 0);
  const lost = [...arranged.places].filter(([key, { box, index }]) => {
    const tile = layout.tileAt(box, index);
    return layout.hit(arranged, tile.x + tile.w / 2, tile.y + tile.h / 2)?.key !== key;
  });
  check("each machine is found where it stands", lost, []);
  check(
    "the same is arranged alike",
    text(layout.arrange(groups, (owner) => owner.endsWith("7"), room).boxes) === text(arranged.boxes),
    true,
  );
  const grown = structuredClone(groups);
  grown[36].parts[0].push("36/new");
  const moved = layout.arrange(grown, (owner) => owner.endsWith("7"), room).places.get("36/a0").index;
  check("who comes later moves nobody in the box", moved, arranged.places.get("36/a0").index);
  check("there is nothing between boxes", layout.hit(arranged, -5, -5), null);
  check("arrows lead to the neighbour", layout.neighbour(arranged, "1/a0", "right"), "1/a1");
  check(
    "many machines fold",
    [
      ...layout.crowded([
        { owner: "x", parts: [Array.from({ length: 301 }, (_, i) => `${i}`)] },
        { owner: "y", parts: [["1"]] },
      ]),
    ],
    ["x"],
  );

  const machine = (key, active, more) => ({
    key,
    machine: key,
    owner: "p",
    peer: "p",
    active,
    error: false,
    parent: null,
    tags: [],
    stale_ms: null,
    online: null,
    ...more,
  });
  const all = [
    machine("p/a", ["On"]),
    machine("p/b", ["On", "Hot"]),
    machine("p/c", ["Off"]),
    machine("p/d", [], { stale_ms: 9000 }),
  ];
  check("states are chosen that tell machines apart", looks.choose(all, []), ["Hot", "Off", "On"]);
  check("the first picked state that is active colours", looks.lookOf(all[1], ["Hot", "On"], null, () => true).fill, 0);
  check("an old copy is stale", looks.lookOf(all[3], [], null, () => true).stale, true);
  check("of an owner that is alive it is not", looks.isStale({ ...all[3], online: true }), false);
  check("who is not in the graph is gone", looks.lookOf(all[0], [], new Set(), () => true).gone, true);

  const known = new Map(
    [machine("p/a", []), machine("q/b", [])].map((one, i) => [7 + i, { ...one, id: 7 + i, peer: one.key[0] }]),
  );
  const told = {
    kinds: { connection: 2, "pipe add": 2, parent: 9 },
    derived: false,
    truncated: false,
    brief: {
      peers: [
        { peer: "p", label: "P" },
        { peer: "q", label: "Q" },
      ],
      machines: [7, 8, 99],
      edges: { connection: [-1, -2, -2, -1], "pipe add": [7, 8, 7, 99] },
    },
  };
  const asks = ["connection", "pipe add", "pipe remove"];
  const graph = brief.graphOf(told, known, asks, null);
  check("who is there has a name", [...graph.machines], ["p/a", "q/b"]);
  check("what has none is left out", graph.edges[1].ends, ["m:p/a", "m:q/b"]);
  check("what was asked for is there", edges.covers(graph, ["pipe add"], "p/a"), true);
  check("what was not is to be asked for", edges.covers(graph, ["parent"], null), false);
  check(
    "of the open machine, too",
    edges.covers(brief.graphOf(told, known, ["connection"], "q/b"), ["connection"], "p/a"),
    false,
  );
  const columns = {
    ids: [8, 7],
    sets: [["On"], ["Exception"]],
    active: [1, 0],
    stale_ms: [5, null],
    online: { p: false },
  };
  check(
    "machines in brief are whole again",
    brief.machinesOf(columns, known).map((one) => [one.key, one.active, one.error, one.stale_ms, one.online]),
    [
      ["q/b", ["Exception"], true, 5, null],
      ["p/a", ["On"], false, null, false],
    ],
  );
  check("one that is not known cannot be", brief.machinesOf({ ...columns, ids: [8, 1] }, known), null);
  const two = [
    { owner: "p", parts: [["p/a"]] },
    { owner: "q", parts: [["q/b"]] },
  ];
  const drawn = (closed, kinds, open) =>
    edges
      .drawn(
        graph,
        layout.arrange(two, (owner) => closed.includes(owner), room),
        kinds,
        open,
      )
      .map((one) => [one.source, one.target, one.count]);
  check("a connection seen by both is one", drawn([], ["connection"]), [["p:p", "p:q", 2]]);
  check("a pipe leads from machine to machine", drawn([], ["pipe add"]), [["m:p/a", "m:q/b", 1]]);
  check("of a folded box, from the box", drawn(["p"], ["pipe add"]), [["p:p", "m:q/b", 1]]);
  check("pipes of the open machine are drawn in any case", drawn([], [], "q/b"), [["m:p/a", "m:q/b", 1]]);

  const store = new stores.Store({ a: 1, list: ["x"] });
  let calls = 0;
  store.on(["list"], () => (calls += 1));
  store.set({ list: ["x"] });
  store.set({ a: 2 });
  store.set({ list: ["y"] });
  check("only what has changed is told", calls, 1);

  const asked = [];
  const done = [];
  const waiting = [];
  const newest = new api.Newest(
    (one) => {
      asked.push(one);
      return new Promise((resolve) => waiting.push(() => resolve(one)));
    },
    (result, _, isLast) => done.push([result, isLast]),
    () => {},
  );
  for (const one of [1, 2, 3, 4]) newest.ask(one);
  waiting.shift()();
  await new Promise((resolve) => setTimeout(resolve));
  waiting.shift()();
  await new Promise((resolve) => setTimeout(resolve));
  check("one question is under way, and only the newest waits", asked, [1, 4]);
  check("answers come in order", done, [
    [1, false],
    [4, true],
  ]);
  return [failed, count];
};
