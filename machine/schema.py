"""The schema: the states of a machine by name.

A `Schema` is a frozen mapping from state name to `State`. It is written as a mapping::

    Schema({"Open": State(remove="Closed"), "Closed": State(auto=True, remove="Open")})

or as a class whose attributes are the states, so that an editor completes the names and a type checker knows them::

    class Door(Schema):
        Closed = State(auto=True, remove="Open")
        Open = State(remove=Closed)

Invariants: every relation names a declared state; no state requires what it removes; no state lists itself in remove
or after; what a state adds it does not remove; `Exception` exists; names cannot break the lookup of handlers. A schema
that would violate one of them is refused when it is built, with all its problems in one `SchemaError`.
"""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Any, ClassVar

from machine.errors import MisuseError, SchemaError, UnknownStateError, did_you_mean
from machine.state import EXCEPTION, RELATIONS, Group, State, StateName
from machine.validation import IMPLICIT_EXCEPTION, checked


class _SchemaMeta(ABCMeta):
    """Collect the states of a class-form schema, name them, and build its one instance."""

    _own_states: dict[str, State]
    _own_groups: dict[str, tuple[str, ...]]
    _class_form: Any

    def __new__(mcs, name: str, bases: tuple[type, ...], body: dict[str, Any], **options: Any) -> Any:
        own = {n: v for n, v in body.items() if isinstance(v, State)}
        groups = {n: v for n, v in body.items() if isinstance(v, Group)}
        by_id = {id(v): n for n, v in own.items()}
        taken = [n for n in own if any(hasattr(b, n) and not isinstance(getattr(b, n), StateName) for b in bases)]
        if taken:
            raise SchemaError(f"{n!r} is a method of Schema: give the state another name" for n in taken)
        cls = super().__new__(
            mcs,
            name,
            bases,
            {**body, **{n: StateName(n) for n in own}, **dict.fromkeys(groups)},
            **options,
        )
        cls._own_states = {n: _resolve(s, by_id, f"{name}.{n}") for n, s in own.items()}
        cls._own_groups = {n: _resolve_all(g.states, by_id, f"{name}.{n}") for n, g in groups.items()}
        for n, members in cls._own_groups.items():
            setattr(cls, n, members)
        cls._class_form = None
        return cls

    def __call__(cls, states: Any = None, *args: Any, **options: Any) -> Any:
        if states is not None or args or options:
            return super().__call__(states, *args, **options)
        if cls.__name__ == "Schema" and cls.__module__ == __name__:
            return super().__call__()
        if cls.__dict__.get("_class_form") is None:
            cls._class_form = super().__call__(*_collect(cls))
        return cls._class_form


def _resolve_all(names: Iterable[Any], by_id: Mapping[int, str], where: str) -> tuple[str, ...]:
    out: list[str] = []
    for name in names:
        if isinstance(name, State) and id(name) not in by_id:
            raise SchemaError([f"{where} refers to a State that is no attribute of the same class: give its name"])
        out.append(by_id[id(name)] if isinstance(name, State) else str(name))
    return tuple(dict.fromkeys(out))


def _resolve(state: State, by_id: Mapping[int, str], where: str) -> State:
    return state.with_(**{r: _resolve_all(getattr(state, r), by_id, where) for r in RELATIONS})


def _collect(cls: type) -> tuple[dict[str, State], dict[str, tuple[str, ...]]]:
    """Merge the declarations of a class and its bases: base states first, the nearest definition wins."""
    states: dict[str, State] = {}
    groups: dict[str, tuple[str, ...]] = {}
    for base in reversed(cls.__mro__):
        own: dict[str, State] = base.__dict__.get("_own_states", {})
        fresh = tuple(n for n in own if n not in states)
        if fresh:
            groups["self" if base is cls else base.__name__] = fresh
        states.update(own)
        groups.update(base.__dict__.get("_own_groups", {}))
    return states, groups


class Schema(Mapping[str, State], metaclass=_SchemaMeta):
    """Hold the states of a machine by name: a frozen mapping, equal to any schema with the same states in order.

    ``Schema(mapping)`` builds one from names and states; a subclass declares one (see the module). Machines share a
    schema: what is derived from it is computed once.

    Raises:
        SchemaError: the states contradict each other; every problem is listed.
    """

    Exception: ClassVar[StateName] = StateName(EXCEPTION)
    _own_states: ClassVar[dict[str, State]]
    _own_groups: ClassVar[dict[str, tuple[str, ...]]]
    __slots__ = ("_compiled", "_states", "groups", "names")

    names: tuple[str, ...]
    groups: Mapping[str, tuple[str, ...]]

    def __init__(
        self, states: Mapping[str, State] | None = None, groups: Mapping[str, Iterable[str]] | None = None
    ) -> None:
        if states is None:  # a class form gets its own from its metaclass
            raise SchemaError(["Schema itself has no states: subclass it, or give a mapping"])
        self._states = checked(states)
        self.names = tuple(self._states)
        self.groups = {n: tuple(members) for n, members in (groups or {}).items()}
        unknown = [(g, s) for g, members in self.groups.items() for s in members if s not in self._states]
        if unknown:
            raise SchemaError(f"group {g!r} lists {s!r}{did_you_mean(s, self._states)}" for g, s in unknown)
        self._compiled: Any = None

    @classmethod
    def of(cls, schema: SchemaLike) -> Schema:
        """Return `schema` as a `Schema`: an instance as it is, a class form's instance, or one built of a mapping."""
        if isinstance(schema, Schema):
            return schema
        if isinstance(schema, type) and issubclass(schema, Schema):
            return schema()
        if isinstance(schema, Mapping):
            return Schema(schema)
        raise SchemaError([f"{schema!r} is no schema: give a mapping of names to State, or a subclass of Schema"])

    # -- composition

    def merge(self, *others: SchemaLike) -> Schema:
        """Return a schema with the states of all; a later definition of a state replaces the earlier one.

        A mapping may refer to states that only the others declare.
        """
        states, groups = dict(self._states), dict(self.groups)
        for other in others:
            whole = Schema.of(other) if isinstance(other, Schema | type) else other
            states.update({n: s for n, s in whole.items() if n != EXCEPTION or s != IMPLICIT_EXCEPTION})
            groups.update(whole.groups if isinstance(whole, Schema) else {})
        return Schema(states, groups)

    def extend(self, name: str, overlay: State) -> Schema:
        """Return a schema in which `name` also has the relations and tags of `overlay`; auto and multi are OR-ed in."""
        old = self._get(name)
        fields: dict[str, Any] = {f: (*getattr(old, f), *getattr(overlay, f)) for f in (*RELATIONS, "tags")}
        return self._with(name, State(auto=old.auto or overlay.auto, multi=old.multi or overlay.multi, **fields))

    def replace(self, name: str, *, auto: bool | None = None, multi: bool | None = None, **relations: Any) -> Schema:
        """Return a schema in which the given properties and relations of `name` are replaced and all others kept."""
        unknown = [r for r in relations if r not in (*RELATIONS, "tags")]
        if unknown:
            raise MisuseError(f"{unknown[0]!r} is no relation{did_you_mean(unknown[0], RELATIONS)}")
        changes: dict[str, Any] = {k: v for k, v in (("auto", auto), ("multi", multi)) if v is not None}
        return self._with(name, self._get(name).with_(**changes, **relations))

    def prefixed(
        self, prefix: str, *, keep: bool = False, allow: Iterable[str] | None = None, skip: Iterable[str] = ()
    ) -> Schema:
        """Return a schema whose names, and the names in relations, begin with `prefix`.

        Args:
            prefix: what to put in front.
            keep: leave names that begin with `prefix` already.
            allow: rename only these; `None`: all. Exception keeps its name in any case.
            skip: leave these.
        """
        allowed, skipped = set(self.names if allow is None else allow), {*skip, EXCEPTION}

        def renamed(name: str) -> str:
            stays = name in skipped or name not in allowed or (keep and name.startswith(prefix))
            return name if stays else prefix + name

        states = {
            renamed(n): s.with_(**{r: [renamed(t) for t in getattr(s, r)] for r in RELATIONS}) for n, s in self.items()
        }
        return Schema(states, {g: [renamed(m) for m in members] for g, members in self.groups.items()})

    def filter_by_tag(self, tag: str) -> tuple[str, ...]:
        """Return the names of the states that carry exactly `tag`."""
        return tuple(n for n, s in self.items() if tag in s.tags)

    def states_by_tag(self, tag: str) -> tuple[str, ...]:
        """Return the names of the states that carry `tag`, bare or as ``tag:value``."""
        return tuple(n for n, s in self.items() if any(t == tag or t.startswith(tag + ":") for t in s.tags))

    def ordered(self, names: Iterable[str]) -> Schema:
        """Return the same schema with its states in the order of `names`, which must hold each exactly once."""
        order = list(names)
        if len(set(order)) != len(order) or set(order) != set(self.names):
            raise MisuseError(f"the order {order} must name each state exactly once: {list(self.names)}")
        return Schema({n: self._states[n] for n in order}, self.groups)

    # -- questions

    def relations_of(self, name: str) -> tuple[str, ...]:
        """Return which of the four relations `name` has, as ``("require", …)``."""
        state = self._get(name)
        return tuple(r for r in RELATIONS if getattr(state, r))

    def relations_between(self, source: str, target: str) -> tuple[str, ...]:
        """Return the relations in which `source` names `target`."""
        state, _ = self._get(source), self._get(target)
        return tuple(r for r in RELATIONS if target in getattr(state, r))

    def implements(self, other: SchemaLike) -> bool:
        """Tell whether every state of `other` is declared here too, whatever its relations."""
        return all(n in self._states for n in Schema.of(other))

    @property
    def digest(self) -> str:
        """32 hex digits that are equal exactly when states, order, relations and tags are (blake2b-128)."""
        canonical = [(n, s.auto, s.multi, s.require, s.add, s.remove, s.after, s.tags) for n, s in self.items()]
        return blake2b(repr(canonical).encode(), digest_size=16).hexdigest()

    # -- mapping

    def __getitem__(self, name: str) -> State:
        return self._states[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._states)

    def __len__(self) -> int:
        return len(self._states)

    def __contains__(self, name: object) -> bool:
        return name in self._states

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Schema):
            return list(self._states.items()) == list(other._states.items())
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self.names)

    def __repr__(self) -> str:
        name = type(self).__name__
        return f"{name}({{{', '.join(f'{n}: {s!r}' for n, s in self.items())}}})"

    def _get(self, name: str) -> State:
        if name not in self._states:
            raise UnknownStateError(name, self.names, "the schema")
        return self._states[name]

    def _with(self, name: str, state: State) -> Schema:
        return Schema({**self._states, name: state}, self.groups)


SchemaLike = Schema | type[Schema] | Mapping[str, State]
