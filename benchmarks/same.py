"""Whether two source trees give the same numbers.

Each case is a list of commands. They run once with the base tree and once with this tree, and the
files that they wrote are compared. Floats have to be exactly equal. Nothing of cryofix is imported
here: only its commands count, so that modules may move.
"""

import argparse
import csv
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

Facts = dict[str, Any]  # "file: key" to a number, a text or a digest
ENDED = {0, 128 + signal.SIGTERM}  # exit codes of a command that did what it was told
FORMAT = 2  # of the cached facts; a higher number runs the base again
HERE = Path(__file__).resolve().parents[1]
CACHE = Path(tempfile.gettempdir()) / "cryofix-same"


@dataclass(frozen=True)
class Command:
    """One command of a case.

    Attributes
    ----------
    words
        What follows ``python -m``.
    stop_at
        As soon as this file exists, the command is asked to stop (SIGTERM).
    """

    words: tuple[str, ...]
    stop_at: str | None = None


@dataclass(frozen=True)
class Copy:
    """A folder that is copied between two commands; ``{old}`` is where the base's outputs are."""

    source: str
    target: str


@dataclass(frozen=True)
class Case:
    """Commands that run in a folder of their own, which is called like the case.

    Attributes
    ----------
    needs
        Cases whose folders the commands read: this tree's as ``../NAME``, the base's as
        ``{old}/NAME``.
    only
        Compare only files that match one of these patterns; how a run was stopped decides the rest.
    """

    name: str
    about: str
    steps: tuple[Command | Copy, ...]
    needs: tuple[str, ...] = ()
    only: tuple[str, ...] = ()

    def key(self) -> str:
        """Return what changes when the facts of the base have to be made again."""
        return digest(f"{FORMAT} {self.steps} {self.only}".encode())


SMALL = ("trainer=smoke", "data.simulate.micrographs=8", "ratio=0.5")
# Enough burn-in for predictions on both sides of every threshold; a sweep shares it.
TRAINED = (*SMALL, "steps.burn_in=60", "optimiser.warm_up=5", "optimiser.learning_rate=0.01")
GUARD = ("guard.share=1.0001", "guard.warm_up=1", "guard.patience=1")
RESUMED = ("run/results.json", "run/splits.json", "run/checkpoints/**")
PICK = ("checkpoint=../model/run", "micrographs=../simulate/sim/micrographs", "workers=1")


def train(*words: str, stop_at: str | None = None) -> Command:
    return Command(("cryofix.train", *words), stop_at)


def sweep(*words: str, folder: str = "sweep") -> Command:
    return train("-m", *TRAINED, *words, f"hydra.sweep.dir={folder}")


def run(command: str, *words: str) -> Command:
    return Command((f"cryofix.{command}", *words))


def cases(conf: Path) -> list[Case]:
    """Return all cases; the masks and other choices are those of a ``conf`` folder."""

    def names(group: str) -> str:
        return f"{group}=" + ",".join(sorted(path.stem for path in (conf / group).glob("*.yaml")))

    truth = "../simulate/sim/ground_truth/particle_coordinates"
    convert = ("micrographs=../simulate/sim/micrographs", "check_y=false")
    return [
        Case("model", "one training", (train(*TRAINED, "output=run"),)),
        Case("masks", "each mask, in one sweep", (sweep(names("mask")),)),
        Case("methods", "each method, in one sweep", (sweep(names("method")),)),
        Case("teachers", "each teacher", (sweep(names("teacher"), "mask=quota"),)),
        Case(
            "rounds",
            "a teacher that is taken anew, on a share of the micrographs",
            (sweep("method=self_training", "mask=quota", "teacher.round_steps=2"),),
        ),
        Case("regularisers", "each regulariser", (sweep(names("regulariser"), "mask=quota"),)),
        Case("losses", "each supervised loss", (sweep(names("loss")),)),
        Case(
            "unlabelled",
            "both distances with each normaliser",
            (
                sweep(
                    "mask=quota",
                    "unlabelled.loss=bce,mse",
                    "unlabelled.normaliser=valid,kept,class",
                    "unlabelled.ramp=sigmoid",
                    "unlabelled.batch_norm=shared",
                ),
            ),
        ),
        Case(
            "guard",
            "the guard changes the mask, and the guard stops a run",
            (
                sweep(
                    *GUARD,
                    "mask=symmetric",
                    "guard.action=switch,stop",
                    "guard.switch_to={_target_: cryofix.masking.Quota}",
                ),
            ),
        ),
        Case(
            "ranks",
            "two processes train together",
            (
                Command(
                    (
                        "torch.distributed.run",
                        "--standalone",
                        "--nproc-per-node=2",
                        "-m",
                        "cryofix.train",
                        *SMALL,
                        "mask=quota",
                        "loss=bce_dice",
                        "model.norm=group",
                        "+trainer.strategy=ddp",
                        "output=run",
                    )
                ),
            ),
        ),
        Case(
            "stopped",
            "a training that is asked to stop in its second stage; compared once it went on",
            (train(*TRAINED, "output=run", stop_at="run/checkpoints/supervised/last.ckpt"),),
            only=("nothing",),
        ),
        Case(
            "resumed",
            "that training goes on",
            (Copy("../stopped/run", "run"), train(*TRAINED, "output=run")),
            needs=("stopped",),
            only=RESUMED,
        ),
        Case(
            "old_run",
            "this tree goes on with a training that the base began",
            (Copy("{old}/stopped/run", "run"), train(*TRAINED, "output=run")),
            needs=("stopped",),
            only=RESUMED,
        ),
        Case(
            "old_model",
            "this tree scores and picks with the base's model",
            (
                run("evaluate", "checkpoint={old}/model/run", "output=scores"),
                run("pick", "checkpoint={old}/model/run", *PICK[1:], "output=picks"),
            ),
            needs=("model", "simulate"),
        ),
        Case(
            "cure",
            "experiment=cure on files, with a window of the labels",
            (
                train(
                    "experiment=cure",
                    "trainer=smoke",
                    "data=simulated",
                    "data.root=../simulate/sim",
                    "data.test=1",
                    "data.validation=1",
                    "data.labelled_area=0.5",
                    "ratio=0.5",
                    "output=run",
                ),
            ),
            needs=("simulate",),
        ),
        Case(
            "simulate",
            "micrographs with their truth",
            (
                run(
                    "simulate",
                    "output=sim",
                    "micrographs=5",
                    "shape=[320,400]",
                    "particles_per_micrograph=16",
                    "workers=1",
                ),
            ),
        ),
        Case(
            "convert",
            "CryoPPP to RELION, crYOLO, Topaz and JSON, and from these on",
            (
                run("convert", f"in={truth}", "out=relion", "format=relion", *convert),
                run(
                    "convert",
                    "in=relion",
                    "out=cryolo",
                    "format=cryolo",
                    "write.box_size_px=60",
                    *convert,
                ),
                run("convert", "in=cryolo", "out=topaz.tsv", "format=topaz", *convert),
                run("convert", "in=topaz.tsv", "out=a.json", "format=json", *convert),
            ),
            needs=("simulate",),
        ),
        Case(
            "diagnose",
            "what a mask keeps for the trained model, with all tables",
            (
                run("diagnose", "checkpoint=../model/run", "output=own"),
                run(
                    "diagnose",
                    "checkpoint=../model/run",
                    "mask=flexmatch",
                    "part=validation",
                    "output=flexmatch",
                ),
            ),
            needs=("model",),
        ),
        Case(
            "evaluate",
            "scores of the trained model, and of picks",
            (
                run("evaluate", "checkpoint=../model/run", "output=model"),
                run(
                    "evaluate",
                    "picks=../pick/star/relion",
                    "data=simulated",
                    "data.root=../simulate/sim",
                    "part=all",
                    "threshold=0.1",
                    "output=picks",
                ),
            ),
            needs=("model", "simulate", "pick"),
        ),
        Case(
            "pick",
            "picks of simulated micrographs, with their page",
            (
                run("pick", *PICK, "output=star", "format=[star,csv,json]", "keep_above=0.01"),
                run("pick", *PICK, "output=views", "format=[csv,cbox]", "average_views=true"),
            ),
            needs=("model", "simulate"),
        ),
        Case(
            "report",
            "a sweep of two masks and two seeds, with its report",
            (
                train("-m", *SMALL, "mask=symmetric,quota", "seed=0,1", "hydra.sweep.dir=sweep"),
                run("report", "sweep=sweep"),
            ),
        ),
    ]


# What each run has its own of.
DROPPED = {
    "seconds",
    "seconds_mean",
    "environment",
    "version",
    "started",
    "ended",
    "host",
    "process",
    "_target_",  # where a class lies is no number
    "output",
    "cache",
}
SKIPPED = {
    "lock": "is empty",
    "hydra.yaml": "holds paths and versions",
    "multirun.yaml": "holds paths and versions",
    "written.json": "holds when each file of picks was written",
}
CLOCK = re.compile(r"\d{4}-\d\d-\d\d[T_ ]\d\d[:-]\d\d([:-]\d\d)?(\.\d+)?( UTC|Z|\+\d\d:\d\d)?")
NUMBER = re.compile(r"(?<![\w.#])[-+\u2212]?\d+(?:[.,]\d+)*(?:e[-+]?\d+)?", re.IGNORECASE)
CODE = re.compile(r"<script(?![^>]*json)[^>]*>.*?</script>|<style.*?</style>", re.DOTALL)
PICTURE = re.compile(r"data:[\w/+;-]+;base64,([A-Za-z0-9+/=]+)")


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def flat(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each number, text and tensor inside of dictionaries and lists, with its keys."""
    if isinstance(value, Mapping):
        if not value:
            yield key, "{}"
        for name, inner in value.items():
            if name not in DROPPED:
                yield from flat(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list | tuple):
        if not value:
            yield key, "[]"
        for place, inner in enumerate(value):
            yield from flat(inner, f"{key}[{place}]")
    elif isinstance(value, torch.Tensor):
        array = value.detach().contiguous().cpu().reshape(-1)
        found = digest(array.view(torch.uint8).numpy().tobytes()) if array.numel() else ""
        # The digest says whether anything differs; the last digits of a sum depend on its order.
        total = array.double().sum().item()
        yield key, f"{value.dtype} {list(value.shape)} with sum {total:.6g}, digest {found}"
    elif value is None or isinstance(value, bool | int | float | str):
        yield key, value
    else:
        yield key, repr(value)


def of_json(path: Path) -> Facts:
    return dict(flat(json.loads(path.read_text())))


def of_yaml(path: Path) -> Facts:
    return dict(flat(yaml.safe_load(path.read_text())))


def of_checkpoint(path: Path) -> Facts:
    return dict(flat(torch.load(path, map_location="cpu", weights_only=True)))


def of_table(path: Path) -> Facts:
    with path.open(newline="") as stream:
        rows = list(csv.reader(stream, delimiter="\t" if path.suffix == ".tsv" else ","))
    head, body = (rows[0], rows[1:]) if rows else ([], [])
    found: Facts = {"columns": ",".join(head), "rows": len(body)}
    for number, row in enumerate(body, start=1):
        for place, cell in enumerate(row):
            name = head[place] if place < len(head) else str(place)
            if name not in DROPPED:
                found[f"row {number}, {name}"] = cell
    return found


def of_text(path: Path) -> Facts:
    lines = path.read_text().splitlines()
    return {
        f"line {number}": line
        for number, line in enumerate(lines, start=1)
        if not line.startswith("# Created by")  # the starfile package says when
    }


def of_page(path: Path) -> Facts:
    """Return how often each number stands on a page, outside of its script, and its pictures."""
    text = CLOCK.sub("", CODE.sub("", path.read_text()))
    pictures = [digest(match[1].encode()) for match in PICTURE.finditer(text)]
    numbers = Counter(NUMBER.findall(PICTURE.sub("", text)))
    found: Facts = {f"picture {place}": each for place, each in enumerate(pictures)}
    return found | {f"how often {number}": count for number, count in numbers.items()}


def of_bytes(path: Path) -> Facts:
    return {"digest": digest(path.read_bytes())}


def of_arrays(path: Path) -> Facts:
    with np.load(path, allow_pickle=False) as arrays:
        # The record of a micrograph says where its file is and when it was written.
        return dict(
            flat({key: torch.as_tensor(arrays[key]) for key in arrays.files if key != "record"})
        )


def of_events(path: Path) -> Facts:
    """Return what TensorBoard shows: scalars as they are, and digests of the rest."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    from tensorboard.util.tensor_util import make_ndarray

    found: Facts = {}
    for event in EventFileLoader(str(path)).Load():
        for value in event.summary.value:
            array = make_ndarray(value.tensor)
            key = f"{value.tag}, step {event.step}"
            while key in found:
                key += " again"
            if array.size == 1 and array.dtype.kind in "fiu":
                found[key] = array.item()
            else:
                parts = [np.asarray(part).tobytes() for part in array.reshape(-1)]
                found[key] = f"{list(array.shape)} with digest {digest(b''.join(parts))}"
    return found


READERS: dict[str, Callable[[Path], Facts]] = {
    ".json": of_json,
    ".yaml": of_yaml,
    ".ckpt": of_checkpoint,
    ".npz": of_arrays,
    ".csv": of_table,
    ".tsv": of_table,
    ".html": of_page,
    ".svg": of_page,
    **dict.fromkeys((".star", ".box", ".cbox", ".md", ".txt"), of_text),
}


def facts_of(folder: Path, *works: Path, only: Sequence[str] = ()) -> Facts:
    """Return the facts in all files of a folder; of ``works`` it does not matter where they are."""
    found: Facts = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if not path.is_file() or path.name in SKIPPED or path.suffix == ".log":
            continue
        if only and not any(matches(name, pattern) for pattern in only):
            continue
        events = path.name.startswith("events.out.tfevents")
        read = of_events if events else READERS.get(path.suffix, of_bytes)
        label = f"{name.parent}/events" if events else str(name)
        for work in works:  # the results of picking lie as deep as their micrographs
            label = label.replace(str(work).lstrip("/"), "<work>")
        if events:  # their names hold a time; the last part counts them up
            while any(key.startswith(f"{label}: ") for key in found):
                label += "+"
        found[f"{label}: exists"] = True
        for key, value in read(path).items():
            if isinstance(value, str):
                for work in works:
                    value = value.replace(str(work), "<work>")
                value = CLOCK.sub("<time>", value)
            found[f"{label}: {key}"] = value
    return found


def matches(name: Path, pattern: str) -> bool:
    if pattern.endswith("/**"):
        return name.is_relative_to(pattern.removesuffix("/**"))
    return name.match(pattern)


def differences(base: Facts, new: Facts) -> Iterator[str]:
    """Yield one line for each fact that is not exactly the same.

    Changed values come before missing ones. A file that only one of the trees wrote is one line.
    """
    missing = []
    for key in sorted(base.keys() | new.keys()):
        exists = f"{key.split(': ', 1)[0]}: exists"
        if (exists in base) != (exists in new) and key != exists:
            continue
        one, other = (
            json.dumps(facts[key]) if key in facts else "(is not there)" for facts in (base, new)
        )
        if one != other:
            line = f"{key}: {one} -> {other}"
            if key in base and key in new:
                yield line
            else:
                missing.append(line)
    yield from missing


def without(patterns: Sequence[str], facts: Facts) -> Facts:
    """Return the facts whose ``file: key`` holds none of the regular expressions."""
    return {
        key: value
        for key, value in facts.items()
        if not any(re.search(pattern, key) for pattern in patterns)
    }


def only_failures(base: Facts, new: Facts) -> tuple[Facts, Facts]:
    """Return the exit codes alone if a command failed, because then whole files are missing."""
    codes, others = (
        {key: value for key, value in facts.items() if key.endswith(": exit code")}
        for facts in (base, new)
    )
    # A command that was asked to stop may have finished before it heard of it.
    if not set(others.values()) <= ENDED:
        return codes, others
    return base, {key: codes.get(key, value) for key, value in new.items()}


@dataclass
class Tree:
    """A source tree whose commands run in ``work``, one case after the other."""

    root: Path
    work: Path
    old: Path  # what the base wrote
    read: frozenset[str]  # cases whose folders others read, so that they are kept

    def run(self, case: Case) -> tuple[Facts, float]:
        """Run a case in a clean folder; return its facts and how long it took."""
        folder = self.work / case.name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        began, codes = time.perf_counter(), Facts()
        for number, step in enumerate(case.steps, start=1):
            if isinstance(step, Copy):
                source = Path(step.source.format(old=self.old))
                shutil.copytree(folder / source, folder / step.target)
                continue
            log = self.work / f"{case.name}-{number}.txt"
            code = self._command(step, folder, log)
            codes[f"command {number}: exit code"] = code
            if code not in ENDED:
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
                print(f"{case.name}: {' '.join(step.words)}\n{tail}", flush=True)
                break
        seconds = time.perf_counter() - began
        facts = codes | facts_of(folder, self.work, self.old, only=case.only)
        if case.name not in self.read:
            shutil.rmtree(folder)
        return facts, seconds

    def _command(self, command: Command, folder: Path, log: Path) -> int:
        python = self.root / ".venv" / "bin" / "python"
        words = [word.replace("{old}", str(self.old)) for word in command.words]
        with log.open("w") as stream:
            process = subprocess.Popen(
                [str(python if python.exists() else sys.executable), "-m", *words],
                cwd=folder,
                env=environment(self.root, self.work),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
            try:
                if command.stop_at is not None:
                    while process.poll() is None and not (folder / command.stop_at).exists():
                        time.sleep(0.01)
                    process.terminate()
                return process.wait()
            finally:
                process.kill()


def environment(root: Path, work: Path) -> dict[str, str]:
    """Return the variables that a command sees, with one thread for the same rounding."""
    groups = ("SLURM_", "CRYOFIX_", "OMP_", "MKL_")
    alone = {"RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"}
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(groups) and name not in alone
    }
    return kept | {
        "PYTHONPATH": str(root / "src"),
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "CRYOFIX_CACHE": str(work / "cache"),
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "COLUMNS": "100",
    }


def commit(root: Path) -> str:
    """Return the commit of a tree in which nothing is changed."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{root} is no git worktree: {done.stderr.strip()}")
        return done.stdout.strip()

    if git("status", "--porcelain", "--untracked-files=no"):
        sys.exit(f"{root} has changes that are not committed, so its results cannot be kept")
    return git("rev-parse", "HEAD")[:12]


def with_needs(chosen: Sequence[str], known: Sequence[Case]) -> list[Case]:
    """Return the chosen cases and those that they read, in an order that works."""
    by_name = {case.name: case for case in known}
    ordered: dict[str, Case] = {}

    def add(name: str) -> None:
        if name not in by_name:
            sys.exit(f"there is no case {name}: choose from {', '.join(by_name)}")
        if name not in ordered:
            for need in by_name[name].needs:
                add(need)
            ordered[name] = by_name[name]

    for name in chosen:
        add(name)
    return list(ordered.values())


def base_facts(
    base: Path, chosen: Sequence[Case], read: frozenset[str], cache: Path
) -> dict[str, Facts]:
    """Return the facts of the base, and run only those cases that nobody has run before."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:  # two of these must not run the base at the same time
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _base_facts(base, chosen, read, cache)


def _base_facts(
    base: Path, chosen: Sequence[Case], read: frozenset[str], cache: Path
) -> dict[str, Facts]:
    folder = cache / commit(base)
    tree = Tree(base, folder / "work", folder / "work", read)
    found = {}
    folder.mkdir(parents=True, exist_ok=True)
    for case in chosen:
        kept = folder / f"{case.name}-{case.key()}.json"
        if not kept.exists():
            facts, seconds = tree.run(case)
            failed = {key: code for key, code in facts.items() if key.endswith(": exit code")}
            if not set(failed.values()) <= ENDED:
                sys.exit(f"{case.name} fails with the base: {failed}")
            part = kept.with_suffix(f".{os.getpid()}")
            part.write_text(json.dumps({"seconds": round(seconds, 1), "facts": facts}))
            part.replace(kept)
            print(f"base, {case.name}: {len(facts)} facts in {seconds:.0f} s", flush=True)
        content = json.loads(kept.read_text())
        found[case.name] = content["facts"]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.same", description=__doc__)
    parser.add_argument("--base", type=Path, help="worktree with the code to compare with")
    parser.add_argument("--tree", type=Path, default=HERE, help="tree to check; this one")
    parser.add_argument("--only", default="", help="names of cases, with commas between them")
    parser.add_argument("--list", action="store_true", help="say which cases there are")
    parser.add_argument("--cache", type=Path, default=CACHE, help=f"results of the base: {CACHE}")
    parser.add_argument("--most", type=int, default=20, help="differences to print of each case")
    parser.add_argument(
        "--ignore",
        action="append",
        default=[],
        metavar="REGEX",
        help="leave out each 'file: key' that it is found in, because the change was meant",
    )
    parser.add_argument("--base-only", action="store_true", help="only fill the cache")
    chosen = parser.parse_args()
    if chosen.base is None and not chosen.list:
        parser.error("give --base WORKTREE")
    base, tree = (chosen.base or HERE).resolve(), chosen.tree.resolve()
    known = cases(base / "conf")
    if chosen.list:
        for case in known:
            print(f"{case.name:14}{case.about}")
        return 0
    names = [name for name in chosen.only.split(",") if name] or [case.name for case in known]
    needed = with_needs(names, known)
    read = frozenset(need for case in known for need in case.needs)
    expected = base_facts(base, needed, read, chosen.cache.resolve())
    if chosen.base_only:
        return 0
    different, total = 0, 0.0
    with tempfile.TemporaryDirectory(prefix="cryofix-same-") as folder:
        work = Path(folder).resolve()
        run_of = Tree(tree, work, chosen.cache.resolve() / commit(base) / "work", read)
        for case in needed:
            facts, seconds = run_of.run(case)
            total += seconds
            compared = only_failures(expected[case.name], facts)
            found = list(differences(*(without(chosen.ignore, each) for each in compared)))
            different += len(found)
            said = f"{len(found)} differences" if found else "the same"
            print(f"{case.name}: {said} in {len(facts)} facts, {seconds:.0f} s", flush=True)
            for line in found[: chosen.most]:
                print(f"  {case.name}: {line}", flush=True)
            if len(found) > chosen.most:
                print(f"  ... and {len(found) - chosen.most} more (--most)", flush=True)
    verdict = f"{different} differences" if different else "the same numbers everywhere"
    if chosen.ignore:
        verdict += f", leaving out {' and '.join(chosen.ignore)}"
    print(f"{verdict}; {len(needed)} cases took {total:.0f} s")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
