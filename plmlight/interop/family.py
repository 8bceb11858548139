"""What a family of Hugging Face models is: settings and weights, ours beside theirs, as data."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from plmlight.interop.setting import Setting
from plmlight.text import nearest


@dataclass(frozen=True)
class Rule:
    """Where a weight is stored.

    Attributes:
        ours: the name in our state dict; ``{i}`` stands for the number of a layer.
        theirs: the name there, without the family's prefix; several are joined along our first dimension.
        transposed: whether theirs is [in, out] (``Conv1D``) where ours is [out, in].
        outside: whether it stands beside the backbone, so that it never has the prefix.
        twin: its second name there; where the head is not tied to the token table, the one that the reference uses.
        copies: other names there that it may be stored by, instead or once more.
        beside: another weight of ours, without which the rule does not hold.
        skipped: how many rows theirs has before the first that is used.
        row: whether theirs is [1, n] where ours is [n].
        by_head: whether theirs has two dimensions, heads and the width of one, in the place of our inner one.
    """

    ours: str
    theirs: str | tuple[str, ...]
    transposed: bool = False
    outside: bool = False
    twin: str | None = None
    copies: tuple[str, ...] = ()
    beside: str | None = None
    skipped: int = 0
    row: bool = False
    by_head: bool = False

    def names(self, key: str, among: Collection[str] | None = None) -> tuple[str, ...]:
        """Their names for our ``key``; none where the rule is about another weight.

        Args:
            key: the weight.
            among: all weights of the network; None where it does not matter what stands beside it.

        Returns:
            The names without the family's prefix.
        """
        pattern = re.escape(self.ours).replace(r"\{i\}", r"(?P<i>\d+)")
        found = re.fullmatch(pattern, key)
        if found is None:
            return ()
        if among is not None and self.beside is not None and self.beside.format(**found.groupdict()) not in among:
            return ()
        listed = (self.theirs,) if isinstance(self.theirs, str) else self.theirs
        return tuple(name.format(**found.groupdict()) for name in listed)


def with_bias(ours: str, *theirs: str, outside: bool = False) -> tuple[Rule, Rule]:
    """The rules of a matrix or norm and its bias; of several there, which are joined here.

    Args:
        ours: the module's name.
        theirs: its name there; or those of the several, in the order in which their rows are joined.
        outside: whether it is no part of their backbone, so that its prefix does not stand before it.

    Returns:
        The rule of the weight, and that of the bias.
    """

    def rule(kind: str) -> Rule:
        names = tuple(f"{name}.{kind}" for name in theirs)
        return Rule(f"{ours}.{kind}", names if len(names) > 1 else names[0], outside=outside)

    return rule("weight"), rule("bias")


@dataclass(frozen=True)
class Architecture:
    """A model class of theirs as a task of ours.

    Attributes:
        task: the name of the task.
        heads: the modules of the task, beside its network, that are stored, or single weights of one.
        optional: such that may be stored, with the arguments of the task that ask for them.
        arguments: what else the task is built with, as `plmlight.nn.build` takes it.
        rules: where weights of its heads are stored, if elsewhere than the family says.
        required: keys of config.json that have one value we can honour, with that value (the reference's default).
        prefix: what stands before the backbone's weights, if not what the family says.
    """

    task: str
    heads: tuple[str, ...] = ()
    optional: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    required: Mapping[str, Any] = field(default_factory=dict)
    prefix: str | None = None


HEAD = "head.weight"
"""The name in our tasks of what may be tied to the token table."""


@dataclass(frozen=True, eq=False)
class Family:
    """The table of one ``model_type``.

    Attributes:
        model_type: as in config.json.
        backbone: the architecture without a head; the task of such a folder is its own business too.
        architectures: every architecture that is a task here, the backbone last.
        prefix: what stands before the backbone's weights in a model with a head.
        settings: every argument of the network that the family can choose, or fixes. An argument without a setting
            must have its default.
        free: arguments that change how a network trains, but not what it computes.
        rules: every weight of the network.
        heads: every weight of the tasks beside their network.
        other_heads: patterns of the weights of heads that no task has, which are left alone.
        required: keys of config.json that have one value we can honour, with that value (the reference's default).
        derived: patterns of what is stored but follows from the configuration.
        renamed: endings of names that older versions wrote, to those of today.
        aliases: keys that older versions wrote into config.json, to those of today.
        untied: keys of config.json, each of which with this value says that the head has a matrix of its own.
        unties_copies: whether the reference then takes the copies of a weight (see `Rule`) for weights of their own.
    """

    model_type: str
    backbone: str
    architectures: Mapping[str, Architecture]
    prefix: str
    settings: Sequence[Setting]
    rules: Sequence[Rule]
    heads: Sequence[Rule]
    other_heads: Sequence[str] = ()
    required: Mapping[str, Any] = field(default_factory=dict)
    free: frozenset[str] = frozenset({"activation_checkpointing"})
    derived: Sequence[str] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    untied: Mapping[str, Any] = field(default_factory=lambda: {"tie_word_embeddings": False})
    unties_copies: bool = False

    def arguments(self, config: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
        """The constructor arguments that config.json describes.

        Args:
            config: config.json.
            given: arguments that replace what it says.

        Returns:
            The arguments.

        Raises:
            ValueError: for a value that we cannot honour, naming its key.
        """
        for alias, key in self.aliases.items():
            if alias in config:
                if config.get(key, config[alias]) != config[alias]:
                    raise ValueError(f"{key} is {config[key]!r}, but {alias} is {config[alias]!r}: they mean the same")
                config = {**config, key: config[alias]}
        for key in ("quantization_config", "pruned_heads", "auto_map"):
            if config.get(key):
                raise ValueError(f"{key} is set: only plain weights of the published architecture are read")
        for key, value in self.required.items():
            if config.get(key, value) != value:
                raise ValueError(f"{key} is {config[key]!r}: only {value!r} is supported")
        unknown = [name for name in given if name not in {setting.ours for setting in self.settings}]
        assert not unknown, unknown
        return {s.ours: given[s.ours] if s.ours in given else s.read(config) for s in self.settings}

    def configuration(self, arguments: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
        """The config.json of a network; the inverse of `arguments`.

        Args:
            arguments: what the network was built with.
            defaults: the constructor's defaults.

        Returns:
            The keys and values that describe the network.

        Raises:
            ValueError: with every reason why the family cannot express it.
        """
        config: dict[str, Any] = {"model_type": self.model_type, **self.required}
        reasons = []
        for setting in self.settings:
            try:
                config |= setting.write(arguments.get(setting.ours, defaults.get(setting.ours)), arguments)
            except ValueError as error:
                reasons.append(str(error))
        known = {setting.ours for setting in self.settings} | self.free
        odd = [n for n in sorted(set(arguments) - known) if _plain(arguments[n]) != _plain(defaults.get(n))]
        reasons.extend(f"{name} {arguments[name]!r} does not exist there" for name in odd)
        if reasons:
            raise ValueError("; ".join(reasons))
        return config

    def architecture(self, name: str) -> Architecture:
        """What a class of theirs is here.

        Raises:
            ValueError: when no task has its head.
        """
        if name not in self.architectures:
            raise ValueError(f"architectures: there is no task for {name}{nearest(name, self.architectures)}")
        return self.architectures[name]

    def architecture_of(self, task: str, heads: Collection[str], arguments: Mapping[str, Any] | None = None) -> str:
        """The class of theirs for a task.

        Args:
            task: the task's name.
            heads: the names of its weights beside the network's, without a tied projection.
            arguments: some of what it is built with, that theirs must have too where it says anything of them.

        Raises:
            ValueError: when there is none with all of these and no other.
        """
        candidates = {name: found for name, found in self.architectures.items() if found.task == task}
        for name, found in candidates.items():
            for argument, value in (arguments or {}).items():
                if (theirs := found.arguments.get(argument, value)) != value:
                    raise ValueError(f"its {task} has {argument} {theirs!r} always, and not {value!r}")
            needed = {rule.ours for rule in self.head_rules(found.heads, found)}
            allowed = needed | {rule.ours for rule in self.head_rules(found.optional, found)}
            if needed - {HEAD} <= set(heads) <= allowed:
                return name
        if not candidates:
            raise ValueError(f"it has no head for {task}")
        modules = sorted({name.partition(".")[0] for name in heads})
        raise ValueError(f"it has no {task} with {' and '.join(modules)}")

    def prefix_of(self, name: str) -> str:
        """What stands before the backbone's weights in a class of theirs."""
        if name == self.backbone:
            return ""
        found = self.architectures.get(name)
        return self.prefix if found is None or found.prefix is None else found.prefix

    def source(self, key: str, among: Collection[str] | None = None) -> tuple[tuple[str, ...], Rule]:
        """Their names for one of our network's weights, and the rule that says how they are stored.

        Args:
            key: the weight.
            among: all weights of the network; None where it does not matter what stands beside it.

        Returns:
            The names without prefix, and the first rule that holds.

        Raises:
            ValueError: when the family has no such weight.
        """
        for rule in self.rules:
            if names := rule.names(key, among):
                return names, rule
        raise ValueError(f"{self.model_type} has no place for the weight {key}")

    def head_rules(self, modules: Collection[str], architecture: Architecture | None = None) -> list[Rule]:
        """The rules of some modules of a task, or of single weights: the architecture's own before the family's."""
        own = () if architecture is None else architecture.rules
        known = {rule.ours for rule in own}
        rules = (*own, *(rule for rule in self.heads if rule.ours not in known))
        return [rule for rule in rules if rule.ours in modules or rule.ours.partition(".")[0] in modules]

    def untied_by(self, config: Mapping[str, Any]) -> str | None:
        """The key of config.json that says that the head is not the token table, if one does."""
        return next((key for key, value in self.untied.items() if key in config and config[key] == value), None)

    def is_head(self, name: str) -> bool:
        """Whether a weight (without prefix) belongs to a head."""
        known = {other for rule in self.heads for other in (rule.theirs, rule.twin)}
        return name in known or any(re.fullmatch(pattern, name) for pattern in self.other_heads)

    def today(self, name: str) -> str:
        """What a stored weight is called by the present version, without the prefix."""
        for prefix in {self.prefix, *(found.prefix for found in self.architectures.values() if found.prefix)}:
            name = name.removeprefix(prefix)
        for old, new in self.renamed.items():
            if name.endswith(old):
                return name.removesuffix(old) + new
        return name

    def is_derived(self, name: str) -> bool:
        """Whether a stored tensor (without prefix) follows from the configuration."""
        return any(re.fullmatch(pattern, name) for pattern in self.derived)


def _plain(value: Any) -> Any:
    """A cycle of one value, however often it is written, and tuples as lists."""
    if isinstance(value, list | tuple):
        return list(dict.fromkeys(value)) if len(set(value)) == 1 else list(value)
    return value
