"""One image under two names: what is tested on would be among what is learnt from."""

import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from cryofix.data.array_cache import CachedMicrograph
from cryofix.data.tiles import Annotated
from cryofix.errors import CryofixError

log = logging.getLogger(__name__)

_VERSION = re.compile(r"(.+)_(DW|DWS|noDW|PS|EVN|ODD)", re.IGNORECASE)
"""What motion correction appends: dose-weighted or not, power spectrum, halves of the frames."""


def check_twins(annotated: Mapping[str, Annotated]) -> None:
    """Compare the images of a data set by content, by name and by size, and warn of what is odd.

    Raises CryofixError if two micrographs with labels are the same image: whatever the split,
    scores could be of an image that was learnt from.

    Parameters
    ----------
    annotated
        By name, after preprocessing: equal images share one cached array.
    """
    micrographs = [part.micrograph for part in annotated.values()]
    same = _groups((str(micrograph.array_path), micrograph) for micrograph in micrographs)
    labelled = [[each for each in group if annotated[each.name].labelled] for group in same]
    if twice := [group for group in labelled if len(group) > 1]:
        raise CryofixError(
            f"{twice[0][0].source} and {twice[0][1].source} are the same image, and "
            f"both have labels{_more(twice)}, so a test micrograph may also be learnt "
            "from: remove one of them, or narrow data.images"
        )
    if same:
        log.warning(
            "the same image has two names, so it may be a test micrograph under one "
            "name and an unlabelled one under the other: %s; remove one of each, or "
            "narrow data.images",
            _pairs(same),
        )
    versions = _groups((_base(micrograph.name), micrograph) for micrograph in micrographs)
    if versions := [group for group in versions if group not in same]:
        log.warning(
            "some micrographs seem to be there in several versions (dose-weighted or "
            "not, halves, power spectra), so one version may be tested on and another "
            "learnt from: %s; narrow data.images to one version, for example '*_DW.mrc'",
            _pairs(versions),
        )
    sizes: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for micrograph in micrographs:
        sizes[tuple(sorted(micrograph.full_shape, reverse=True))].append(micrograph.source.name)
    if len(sizes) > 1:
        log.warning(
            "the micrographs have several sizes: %s; if some of these files are no "
            "micrographs, leave them out of data.images",
            ", ".join(
                f"{size[0]} x {size[1]} ({len(names)}, for example {names[0]})"
                for size, names in sorted(sizes.items(), key=lambda item: -len(item[1]))
            ),
        )


def _base(name: str) -> str:
    found = _VERSION.fullmatch(name)
    return found.group(1) if found else name


def _groups(keyed: Iterable[tuple[str, CachedMicrograph]]) -> list[list[CachedMicrograph]]:
    """Return those of the same key, where there are several."""
    groups: dict[str, list[CachedMicrograph]] = defaultdict(list)
    for key, micrograph in keyed:
        groups[key].append(micrograph)
    return [group for group in groups.values() if len(group) > 1]


def _pairs(groups: Sequence[Sequence[CachedMicrograph]]) -> str:
    """Return the first three groups by the names of their files."""
    shown = (" and ".join(each.source.name for each in group) for group in groups[:3])
    return ", ".join(shown) + (f" and {len(groups) - 3} more" if len(groups) > 3 else "")


def _more(groups: Sequence[object]) -> str:
    return f" ({len(groups) - 1} more such pairs)" if len(groups) > 1 else ""
