"""A weights file is valid, or refused in one line, at once and with little memory."""

import errno
import io
import json
import os
import random
import signal
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from math import inf, nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from drrn.core.config import DRRNConfig
from drrn.errors import DRRNError, WeightsError
from drrn.weights import store
from drrn.weights.store import Weights, load, names, rounded, save
from tests.small_configs import configs

Tensors = Mapping[str, NDArray[np.float32]]

CONFIG = DRRNConfig(units=2, width=3, bias=False, global_residual=False)
# a card with all that two spellings of one JSON value can differ in
CARD = {"data": 'Bücher ☕ \\ "T91"\n', "psnr": 0.1 + 0.2, "rate": 1e-05, "none": None, "steps": [1, -0.0, 1e300]}

cards = st.dictionaries(
    st.text(max_size=5),
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.lists(st.integers()),
    max_size=5,
)


def tensors_of(config: DRRNConfig, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in config.tensors().items()}


def weights_of(config: DRRNConfig, seed: int = 0, card: Mapping[str, Any] = CARD) -> Weights:
    units = (config.units, config.units)
    return Weights(config=config, scales=(1.5, 2, 4), units=units, tensors=tensors_of(config, seed), card=card)


def stepped() -> Weights:
    """Networks for x2, x3 and x4, each on its own grid."""
    config = DRRNConfig(width=3, units=2)
    first, *others = (
        replace(weights_of(replace(config, unshuffle=scale), scale, {"of": scale}), scales=(scale,))
        for scale in (2, 3, 4)
    )
    return replace(first, larger={int(each.scales[0]): each for each in others})


# --- round trip ---


@given(configs, cards, st.integers(0, 99))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_saved_weights_are_loaded_unchanged(
    tmp_path: Path, config: DRRNConfig, card: dict[str, Any], seed: int
) -> None:
    weights = weights_of(config, seed, card)
    save(weights, tmp_path / "mine.safetensors")
    found = load(tmp_path / "mine.safetensors")
    assert (found.config, found.scales, found.units, found.card) == (config, weights.scales, weights.units, card)
    assert found.name == "mine"
    assert found.tensors.keys() == weights.tensors.keys()
    assert all(found.tensors[name].tobytes() == weights.tensors[name].tobytes() for name in weights.tensors)


def test_the_same_weights_are_the_same_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(weights_of(CONFIG), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_saved_file_is_an_ordinary_safetensors_file(tmp_path: Path) -> None:
    save(weights_of(CONFIG), tmp_path / "w")
    found = safetensors.numpy.load_file(tmp_path / "w")
    assert {name: tensor.shape for name, tensor in found.items()} == CONFIG.tensors()


def test_tensors_in_another_memory_layout_are_saved_correctly(tmp_path: Path) -> None:
    plain = tensors_of(CONFIG)
    odd: dict[str, Any] = {name: np.asfortranarray(tensor).astype(">f4") for name, tensor in plain.items()}
    save(replace(weights_of(CONFIG), tensors=odd), tmp_path / "w")
    found = load(tmp_path / "w")
    assert all(np.array_equal(found.tensors[name], plain[name]) for name in plain)


def test_a_file_written_from_the_specification_is_read(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(by_the_book())
    assert load(tmp_path / "w").config == CONFIG  # or every hostile file below is refused for another reason


def test_rounded_weights_take_half_the_file_and_are_loaded_unchanged(tmp_path: Path) -> None:
    weights = weights_of(CONFIG)
    half = rounded(weights)
    save(weights, tmp_path / "whole")
    save(half, tmp_path / "half")
    found = load(tmp_path / "half")
    whole, small = ((tmp_path / name).stat().st_size for name in ("whole", "half"))
    assert whole - small == pytest.approx(2 * CONFIG.parameters, abs=200)
    assert found.digest() == half.digest() != weights.digest()
    for name, tensor in weights.tensors.items():
        assert found.tensors[name].dtype == np.float32
        np.testing.assert_allclose(found.tensors[name], tensor, rtol=2**-11, atol=1e-7)


def test_a_value_beyond_16_bits_is_not_rounded_to_infinity() -> None:
    weights = weights_of(CONFIG)
    weights.tensors[FIRST][0, 0, 0, 0] = 1e5
    with pytest.raises(ValueError, match="not finite"):
        rounded(weights)


# --- names ---


@pytest.fixture
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "packaged"
    folder.mkdir()
    monkeypatch.setattr(store, "PACKAGED", folder)
    return folder


def test_packaged_weights_are_loaded_by_their_names(packaged: Path) -> None:
    for name in ("small", "large"):
        save(weights_of(CONFIG), packaged / f"{name}.safetensors")
    assert names() == ["large", "small"]
    assert load("small").name == "small"


def test_an_unknown_name_lists_packaged_models(packaged: Path) -> None:
    with pytest.raises(WeightsError, match=r"^No weights named 'x5', and no such file\. Packaged: none\.$"):
        load("x5")
    for name in ("small", "large"):
        save(weights_of(CONFIG), packaged / f"{name}.safetensors")
    with pytest.raises(WeightsError, match=r"^No weights named 'x5', and no such file\. Packaged: large, small\.$"):
        load("x5")


@pytest.mark.parametrize("name", ["", "a" * 300, "a/" * 3000, "a\0b", "../small", "no\nsuch", "\udcff"])
def test_an_impossible_file_name_is_refused(packaged: Path, name: str) -> None:
    assert_refused(name)


def test_packaged_models_can_be_loaded() -> None:
    for name in names():
        assert load(name).name == name


# --- files that are refused ---


def about_of(**changes: Any) -> dict[str, Any]:
    return {
        "format": 1,
        "config": CONFIG.to_dict(),
        "scales": [2, 3.5],
        "units": [2, 2],
        "card": {},
    } | changes


def signed(content: Mapping[str, Any], tensors: Tensors) -> dict[str, Any]:
    """Add the correct hash, which a hostile file has too."""
    digest = sha256(json.dumps(content, sort_keys=True).encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].shape}".encode() + tensors[name].tobytes())
    return dict(content) | {"sha256": digest.hexdigest()}


def by_the_book(tensors: Tensors | None = None, **changes: Any) -> bytes:
    """A file written from the specification, with these values in drrn's part of the header."""
    tensors = tensors_of(CONFIG) if tensors is None else tensors
    content = json.dumps(signed(about_of(**changes), tensors))
    return safetensors.numpy.save(dict(tensors), metadata={"drrn": content})


def raw(header: bytes | str, body: bytes = b"") -> bytes:
    header = header.encode() if isinstance(header, str) else header
    return struct.pack("<Q", len(header)) + header + body


def header_of(content: bytes) -> tuple[dict[str, Any], bytes]:
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def reheaded(change: Callable[[dict[str, Any]], None], **changes: Any) -> bytes:
    """A valid file whose header is changed after it was hashed."""
    header, body = header_of(by_the_book(**changes))
    change(header)
    return raw(json.dumps(header), body)


@contextmanager
def at_once() -> Iterator[None]:
    """Fail if the block hangs or takes 64 MB."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins again from here
    base = memory("VmRSS")
    signal.signal(signal.SIGALRM, lambda *_: pytest.fail("it hangs"))
    signal.alarm(300)
    try:
        yield
    finally:
        signal.alarm(0)
    assert memory("VmHWM") - base < 64


def memory(key: str) -> float:
    """Memory of this process in MB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) / 1024


def assert_refused(path: Path | str, match: str | None = None) -> str:
    with at_once(), pytest.raises(WeightsError, match=match) as caught:
        load(path)
    printed = str(caught.value)
    assert printed.isprintable() and len(printed) < 500 + 6 * len(str(path)) and printed.endswith(".")
    return printed


def assert_content_refused(tmp_path: Path, content: bytes, match: str = "is not a DRRN weights file: ") -> str:
    path = tmp_path / "hostile.safetensors"
    path.write_bytes(content)
    try:
        printed = assert_refused(path, match)
    finally:
        path.unlink()
    assert printed.startswith(f"{path} ")
    return printed


def crowd(count: int) -> str:
    """Header entries of this many empty tensors."""
    return ",".join(f'"{i}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}' for i in range(count))


@pytest.mark.slow
def test_any_flipped_byte_is_detected(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save(weights_of(CONFIG), path)
    content, rng = path.read_bytes(), random.Random(0)
    length = 8 + int.from_bytes(content[:8], "little")
    anywhere = [(rng.randrange(len(content)), rng.randrange(1, 256)) for _ in range(1000)]
    in_header = [(at, bits) for at in range(length) for bits in (1, 32)]  # a digit, and a letter's case
    accepted = []
    with path.open("r+b", buffering=0) as file:
        for at, bits in anywhere + in_header:
            os.pwrite(file.fileno(), bytes([content[at] ^ bits]), at)
            try:
                load(path)
                accepted.append((at, content[max(at - 20, 0) : at + 20], bits))
            except WeightsError as error:
                assert str(error).startswith(f"{path} is not a DRRN weights file: ") and str(error).isprintable()
            os.pwrite(file.fileno(), content[at : at + 1], at)
    assert not accepted
    load(path)  # it is valid again


def test_only_spaces_are_valid_padding(tmp_path: Path) -> None:
    header, body = header_of(by_the_book())
    text = json.dumps(header)
    path = tmp_path / "w"
    path.write_bytes(raw(text + 7 * " ", body))
    load(path)
    for odd in ["\t", "\n", "\0", "x", "}", "{", "\xa0"]:
        assert_content_refused(tmp_path, raw(text + "   " + odd + "  ", body))


def test_a_file_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w"
    path.write_bytes(by_the_book())
    for length in reversed(range(path.stat().st_size)):
        os.truncate(path, length)
        with pytest.raises(WeightsError, match="is not a DRRN weights file"):
            load(path)


@pytest.mark.parametrize("tail", [b"\0", b"\n", bytes(4), bytes(4096)])
def test_bytes_after_the_end_are_refused(tmp_path: Path, tail: bytes) -> None:
    assert_content_refused(tmp_path, by_the_book() + tail, "its network needs a file of")


@pytest.mark.parametrize("length", [0, 1, 5000, 100_000_001, 2**20 + 1, 2**31, 2**63, 2**64 - 1])
def test_a_header_of_a_wrong_length_is_refused(tmp_path: Path, length: int) -> None:
    assert_content_refused(tmp_path, struct.pack("<Q", length) + by_the_book()[8:])


def saying(**changes: Any) -> Callable[[], bytes]:
    """A file with these values in drrn's part of the header."""
    return lambda: by_the_book(**changes)


def with_tensors(change: Callable[[dict[str, Any]], None]) -> Callable[[], bytes]:
    def make() -> bytes:
        tensors: dict[str, Any] = tensors_of(CONFIG)
        change(tensors)
        return by_the_book(tensors)

    return make


def with_header(change: Callable[[dict[str, Any]], None]) -> Callable[[], bytes]:
    return lambda: reheaded(change)


def respelled(text: Callable[[str], str]) -> Callable[[], bytes]:
    """A file with another spelling of drrn's part of the header."""

    def change(header: dict[str, Any]) -> None:
        header["__metadata__"]["drrn"] = text(header["__metadata__"]["drrn"])

    return with_header(change)


def poisoned(value: float) -> Callable[[dict[str, Any]], None]:
    return lambda tensors: tensors["blocks.0.first.0.weight"].__setitem__((0, 0, 1, 1), value)


def pickled() -> bytes:
    torch = pytest.importorskip("torch")
    file = io.BytesIO()
    torch.save({"state_dict": {"a": torch.ones(3)}}, file)
    return file.getvalue()


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("data.pkl", b"cos\nsystem\n(S'true'\ntR.")
    return file.getvalue()


FIRST = "blocks.0.enter.conv.weight"
BIG = CONFIG.to_dict() | {"blocks": 64, "units": 256, "width": 1024, "share": False, "batch_norm": True}
A_TENSOR = '{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'

HOSTILE: dict[str, Callable[[], bytes]] = {
    # no safetensors at all
    "nothing": lambda: b"",
    "seven bytes": lambda: b"\x02\0\0\0\0\0\0",
    "text": lambda: b"To whom it may concern, these are weights.\n" * 50,
    "zeros": lambda: bytes(100_000),
    "a zip": zipped,
    "torch's zip of pickles": pickled,
    "a pickle": lambda: b"\x80\x02cposix\nsystem\nq\x00X\x04\x00\x00\x00trueq\x01\x85q\x02Rq\x03." + bytes(500),
    # safetensors, but not ours
    "another project's": lambda: safetensors.numpy.save({"conv.weight": np.zeros((2, 2), np.float32)}),
    "another project's, with metadata": lambda: safetensors.numpy.save(tensors_of(CONFIG), metadata={"format": "pt"}),
    "no tensors": lambda: raw("{}"),
    # headers that are no header
    "not JSON": lambda: raw("{weights}"),
    "not UTF-8": lambda: raw(b'{"\xff\xfe":1}'),
    "UTF-16": lambda: raw(json.dumps(header_of(by_the_book())[0]).encode("utf-16"), header_of(by_the_book())[1]),
    "a byte order mark": lambda: raw(b"\xef\xbb\xbf" + by_the_book()[8:]),
    "a list": lambda: raw("[1]"),
    "a number": lambda: raw("12"),
    "a list in braces": lambda: raw('{"__metadata__":[]}'),
    "metadata of numbers": lambda: raw('{"__metadata__":{"drrn":1}}'),
    "metadata of null": lambda: raw('{"__metadata__":null}'),
    "deep lists": lambda: raw('{"a":' + "[" * 500_000 + "]" * 500_000 + "}"),
    "deep objects": lambda: raw('{"a":' * 200_000 + "1" + "}" * 200_000),
    "deep lists in our part": respelled(lambda text: "[" * 200_000 + "]" * 200_000),
    "a number of a million digits": respelled(lambda text: '{"format":' + "9" * 900_000 + "}"),
    "many small objects": lambda: raw('{"a":[' + '{"":1},' * 140_000 + "1]}"),
    "many small objects in our part": respelled(lambda text: "[" + "[]," * 150_000 + "1]"),
    "99 MB of metadata": lambda: raw(b'{"__metadata__":{"drrn":"' + b"x" * 99_000_000 + b'"}}'),
    "350,000 empty tensors": lambda: raw("{" + crowd(350_000) + "}"),
    "15,000 empty tensors more": with_header(lambda header: header.update(json.loads("{" + crowd(15_000) + "}"))),
    # a duplicate key is ambiguous
    "a tensor twice": lambda: raw(f'{{"a":{A_TENSOR},"a":{A_TENSOR}}}', bytes(4)),
    "metadata twice": lambda: raw(
        *(part.replace(b'{"__metadata__"', b'{"__metadata__":{},"__metadata__"') for part in split_header())
    ),
    "a shape twice": lambda: raw(*(part.replace(b'"shape"', b'"shape":[1],"shape"', 1) for part in split_header())),
    "a scale twice": respelled(lambda text: text.replace('"scales"', '"scales": [2], "scales"')),
    "a width twice": respelled(lambda text: text.replace('"width"', '"width": 3, "width"')),
    # tensors
    "a weight that is NaN": with_tensors(poisoned(nan)),
    "a weight that is infinite": with_tensors(poisoned(inf)),
    "a weight that is minus infinite": with_tensors(poisoned(-inf)),
    "a tensor too few": with_tensors(lambda tensors: tensors.pop(FIRST)),
    "a tensor too many": with_tensors(lambda tensors: tensors.update(more=np.zeros(1, np.float32))),
    "an empty tensor too many": with_tensors(lambda tensors: tensors.update(more=np.zeros(0, np.float32))),
    "a tensor renamed": with_tensors(lambda tensors: tensors.update({"other": tensors.pop(FIRST)})),
    "a tensor reshaped": with_tensors(lambda tensors: tensors.update({FIRST: tensors[FIRST].reshape(1, 3, 3, 3)})),
    "a tensor flattened": with_tensors(lambda tensors: tensors.update({FIRST: tensors[FIRST].ravel()})),
    "a tensor of doubles": with_tensors(lambda tensors: tensors.update({FIRST: tensors[FIRST].astype(np.float64)})),
    "a tensor of halves": with_tensors(lambda tensors: tensors.update({FIRST: tensors[FIRST].astype(np.float16)})),
    "a tensor of integers": with_tensors(lambda tensors: tensors.update({FIRST: tensors[FIRST].astype(np.int32)})),
    "floats declared as integers": with_header(lambda header: header[FIRST].update(dtype="I32")),
    "a dtype that is none": with_header(lambda header: header[FIRST].update(dtype="F33")),
    "a dtype that is a list": with_header(lambda header: header[FIRST].update(dtype=["F32"])),
    "no dtype": with_header(lambda header: header[FIRST].pop("dtype")),
    "a tensor that is a number": with_header(lambda header: header.update({FIRST: 1})),
    "a shape of 5000 sides": with_header(lambda header: header[FIRST].update(shape=[1] * 4997 + [3, 3, 3])),
    "an empty shape of 2**40": with_header(lambda header: header[FIRST].update(shape=[0, 2**40])),
    "a shape that overflows": with_header(lambda header: header[FIRST].update(shape=[4194305, 4194305, 2**47])),
    "a negative shape": with_header(lambda header: header[FIRST].update(shape=[-3, -1, 3, 3])),
    "offsets outside": with_header(lambda header: header[FIRST].update(data_offsets=[2**40, 2**40 + 108])),
    "offsets back to front": with_header(lambda header: header[FIRST]["data_offsets"].reverse()),
    "two tensors in one place": with_header(
        lambda header: header["blocks.0.first.0.weight"].update(
            data_offsets=header["blocks.0.second.0.weight"]["data_offsets"]
        )
    ),
    "two tensors exchanged": with_header(
        lambda header: header.update(
            {
                "blocks.0.first.0.weight": header["blocks.0.second.0.weight"],
                "blocks.0.second.0.weight": header["blocks.0.first.0.weight"],
            }
        )
    ),
    # our part
    "no hash": respelled(lambda text: json.dumps({k: v for k, v in json.loads(text).items() if k != "sha256"})),
    "another's hash": respelled(lambda text: json.dumps(json.loads(text) | {"sha256": "0" * 64})),
    "our part spelt otherwise": respelled(lambda text: text.replace(": ", ":")),
    "a format to come": saying(format=3),
    "a whole scale of 9": saying(larger={"9": {"config": CONFIG.to_dict(), "card": {}}}),
    "a larger network that is not there": saying(larger={"3": {"config": CONFIG.to_dict(), "card": {}}}),
    "larger networks that are none": saying(larger=[2, 3]),
    "a format that is text": saying(format="1" * 9999),
    "no config": saying(config=None),
    "a config that is a list": saying(config=[]),
    "a config that is text": saying(config="B1U9"),
    "a config with a field more": saying(config=CONFIG.to_dict() | {"evil\x1b[2J\r\n": 1}),
    "a config with a field less": saying(config={"blocks": 1}),
    "a config with a true number": saying(config=CONFIG.to_dict() | {"blocks": True}),
    "a config out of range": saying(config=CONFIG.to_dict() | {"width": 2**40}),
    "a config of another network": saying(config=CONFIG.to_dict() | {"width": 4}),
    "a config of a gigantic network": saying(config=BIG),
    "a scale that is NaN": saying(scales=[2, nan]),
    "a scale that is infinite": saying(scales=[inf]),
    "a scale of one": saying(scales=[1]),
    "a scale that is true": saying(scales=[True]),
    "a scale of a hundred": saying(scales=[100]),
    "scales that are text": saying(scales="23"),
    "scales that are empty text": saying(scales=""),
    "scales that are an object": saying(scales={}),
    "no scales": saying(scales=[]),
    "scales that are a number": saying(scales=2),
    "units back to front": saying(units=[2, 1]),
    "units below nought": saying(units=[-1, 2]),
    "more units than the network has": saying(units=[2, 3]),
    "three units": saying(units=[2, 2, 2]),
    "units that are text": saying(units="22"),
    "units that are fractions": saying(units=[2.0, 2.0]),
    "units that are true": saying(units=[True, True]),
    "no units": saying(units=None),
    "a card that is text": saying(card="x"),
    "a card that is null": saying(card=None),
}


def split_header() -> tuple[bytes, bytes]:
    content = by_the_book()
    length = 8 + int.from_bytes(content[:8], "little")
    return content[8:length], content[length:]


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_malicious_or_foreign_file_is_refused(tmp_path: Path, kind: str) -> None:
    assert_content_refused(tmp_path, HOSTILE[kind]())


@pytest.mark.parametrize(
    ("kind", "printed"),
    [
        ("another project's", "its header lacks '__metadata__'"),
        ("another project's, with metadata", "its header lacks 'drrn'"),
        ("not JSON", "its header makes no sense"),
        ("350,000 empty tensors", r"its header claims \d+ bytes"),
        ("a tensor twice", "its header has a duplicate key"),
        ("a weight that is NaN", "it has weights that are not finite"),
        ("a tensor of halves", "its tensors are neither all 32-bit floats nor all 16-bit floats"),
        ("a tensor renamed", r"its tensors do not match its config: \[\('blocks\.0\.enter\.conv\.weight', "),
        ("another's hash", "its SHA-256 does not match: it is damaged"),
        ("two tensors exchanged", "its SHA-256 does not match: it is damaged"),
        ("a format to come", "its format is 3; this drrn reads 1 and 2"),
        ("a whole scale of 9", "its whole scales are not some of 2, 3 and 4"),
        ("a larger network that is not there", r"its network needs a file of \d+ bytes, it has \d+"),
        ("larger networks that are none", "its whole scales are not some of 2, 3 and 4"),
        ("a config with a field less", "its config has missing or unknown fields: 'batch_norm, "),
        ("a config of a gigantic network", r"its network needs a file of \d+ bytes, it has \d+"),
        ("no scales", "its scales are not a list of numbers above 1"),
        ("more units than the network has", "its units are outside the range of its config"),
        ("a card that is text", "its card is not an object"),
    ],
)
def test_a_refusal_states_its_reason(tmp_path: Path, kind: str, printed: str) -> None:
    assert_content_refused(tmp_path, HOSTILE[kind](), rf"is not a DRRN weights file: {printed}.*\.$")


def test_a_file_that_claims_to_be_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    path.write_bytes(by_the_book())
    os.truncate(path, 1 << 40)  # a hole, no bytes
    assert_refused(path, "its network needs a file of")


def test_special_files_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/zero"), Path("/dev/null")):
        assert assert_refused(path) == f"{path} is not a file. Give a .safetensors file of drrn, or a packaged name."
    for path in (tmp_path / "loop", tmp_path / "missing", Path("/dev/null/x")):
        assert_refused(path, "and no such file")


def test_a_file_with_an_odd_name_is_named_in_one_line(tmp_path: Path) -> None:
    for name in ("a\nb", "\x1b[2J", "\u202egnp"):
        (tmp_path / name).write_bytes(b"")
        assert_refused(tmp_path / name, "is not a DRRN weights file")


@pytest.mark.slow
@given(st.binary(max_size=300), st.integers(0, 10**6))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_noise_written_over_a_good_file_is_refused(tmp_path: Path, noise: bytes, place: int) -> None:
    content = by_the_book()
    at = place % len(content)
    spoilt = content[:at] + noise + content[at + len(noise) :]
    path = tmp_path / f"{sha256(spoilt).hexdigest()}"
    path.write_bytes(spoilt)
    if spoilt == content:
        load(path)
    else:
        with pytest.raises(WeightsError, match="is not a DRRN weights file"):
            load(path)


# --- a save that fails ---


def test_a_full_disk_leaves_the_old_file_unchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "w.safetensors"
    save(weights_of(CONFIG, seed=1), path)
    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DRRNError, match=r"w\.safetensors can't be written: No space left on device\.$"):
        save(weights_of(CONFIG, seed=2), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_size_limit_leaves_the_old_file_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save(weights_of(CONFIG), path)
    before = path.read_bytes()
    program = (
        "import resource, sys; from dataclasses import replace; from pathlib import Path\n"
        "from drrn.errors import DRRNError; from drrn.weights.store import load, save\n"
        "path = Path(sys.argv[1]); weights = replace(load(path), card={'more': 'x' * 9999})\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before)}, {len(before)}))\n"
        "try: save(weights, path)\n"
        "except DRRNError as error: print(error); sys.exit(7)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, timeout=300)
    assert (ended.returncode, ended.stderr) == (7, "")
    assert ended.stdout == f"{path} can't be written: File too large.\n"
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DRRNError, match=r"w can't be written: No such file or directory\.$"):
        save(weights_of(CONFIG), tmp_path / "missing" / "w")


# --- weights in memory ---


def without(name: str) -> dict[str, NDArray[np.float32]]:
    return {key: value for key, value in tensors_of(CONFIG).items() if key != name}


@pytest.mark.parametrize(
    "tensors",
    [
        {},
        without(FIRST),
        tensors_of(CONFIG) | {"more": np.zeros(1, np.float32)},
        tensors_of(CONFIG) | {FIRST: np.zeros((3, 1, 3, 2), np.float32)},
        tensors_of(replace(CONFIG, width=4)),
        tensors_of(replace(CONFIG, batch_norm=True)),
    ],
    ids=["none", "one less", "one more", "another shape", "another width", "batch norm"],
)
def test_tensors_of_another_network_are_refused(tensors: Tensors) -> None:
    with pytest.raises(ValueError, match=r"its tensors do not match its config: \[") as caught:
        replace(weights_of(CONFIG), tensors=tensors)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("value", [nan, inf, -inf])
@pytest.mark.parametrize("name", CONFIG.tensors())
def test_weights_that_are_not_finite_are_refused(name: str, value: float) -> None:
    tensors = tensors_of(CONFIG)
    tensors[name].flat[-1] = value
    with pytest.raises(ValueError, match="it has weights that are not finite"):
        replace(weights_of(CONFIG), tensors=tensors)


@pytest.mark.parametrize("units", [(0, 3), (2, 1), (-1, 2), (3, 3)])
def test_units_beyond_those_of_the_network_are_refused(units: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="its units are outside the range of its config"):
        replace(weights_of(CONFIG), units=units)


# --- networks for whole scales ---


def test_networks_for_whole_scales_are_saved_and_loaded(tmp_path: Path) -> None:
    weights = stepped()
    save(weights, tmp_path / "a.safetensors")
    found = load(tmp_path / "a.safetensors")
    assert found.digest() == weights.digest() != replace(weights, larger={}).digest()
    assert {scale: network.digest() for scale, network in found.larger.items()} == {
        scale: network.digest() for scale, network in weights.larger.items()
    }
    assert [found.card, *(found.larger[scale].card for scale in (3, 4))] == [{"of": 2}, {"of": 3}, {"of": 4}]
    assert found.parameters == sum(each.config.parameters for each in (found, *found.larger.values()))
    assert [found.network(scale).config.unshuffle for scale in (1.2, 2, 2.5, 3, 3.1, 4, 8)] == [2, 2, 3, 3, 4, 4, 4]


@pytest.mark.parametrize(
    ("result", "scale"),
    [((14, 10), 2), ((21, 15), 3), ((14, 11), 2), ((15, 10), 2), ((16, 10), 3), ((8, 20), 4), ((50, 40), 4)],
)
def test_the_network_for_the_next_whole_scale_is_used_and_its_result_resized(
    result: tuple[int, int], scale: int
) -> None:
    network, size = stepped().plan((7, 5), result)
    assert network.config.unshuffle == scale and size == (7 * scale, 5 * scale)


def test_a_network_for_one_whole_scale_serves_other_scales_by_resizing() -> None:
    alone = replace(stepped(), larger={})
    assert alone.plan((7, 5), (10, 8)) == (alone, (14, 10)) == alone.plan((7, 5), (28, 20)) and alone.span == "up to x2"
    any_scale = replace(alone, scales=(2, 3))
    assert any_scale.plan((7, 5), (10, 8)) == (any_scale, (10, 8)) and any_scale.span == "x2 to x3"


def test_all_scales_up_to_the_largest_are_covered() -> None:
    assert [stepped().covers(scale) for scale in (1.1, 2.5, 4, 4.5)] == [True, True, True, False]
    assert stepped().outside(4.5) == " enlarges it x4, and bicubic does the rest"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scales": (2, 3)}, "its network for x3 is not for that scale alone"),
        ({"units": (1, 2)}, "its network for x3 has other channels or units"),
    ],
)
def test_networks_that_do_not_fit_together_are_refused(changes: dict[str, Any], message: str) -> None:
    whole = stepped()
    with pytest.raises(ValueError, match=message):
        replace(whole, larger={3: replace(whole.larger[3], **changes)})
    with pytest.raises(ValueError, match="its first network is not for one whole scale alone"):
        replace(whole, scales=(1.5, 2))
