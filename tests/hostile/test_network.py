"""No file that is read, and no name on a command line, makes drrn connect to anything."""

import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from drrn.media.image import Image
from drrn.media.images.files import write
from drrn.weights import store
from tests import command_line
from tests.hostile.conftest import Canary
from tests.hostile.seeds import photo, saved
from tests.small_weights import small_weights

FILES = {
    "vrt.tif": '<VRTDataset rasterXSize="9" rasterYSize="9"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
    '<SourceFilename relativeToVRT="0">/vsicurl/@/a.tif</SourceFilename><SourceBand>1</SourceBand></SimpleSource>'
    "</VRTRasterBand></VRTDataset>",
    "wms.tif": '<GDAL_WMS><Service name="TMS"><ServerUrl>@/${z}/${x}/${y}.png</ServerUrl></Service><DataWindow>'
    "<UpperLeftX>-9</UpperLeftX><UpperLeftY>9</UpperLeftY><LowerRightX>9</LowerRightX><LowerRightY>-9</LowerRightY>"
    "<TileLevel>1</TileLevel></DataWindow><Projection>EPSG:3857</Projection><BandsCount>3</BandsCount></GDAL_WMS>",
    "curl.tif": "/vsicurl/@/a.tif",
    "stac.tif": '{"type": "FeatureCollection", "stac_version": "1.0.0", "features": '
    '[{"assets": {"a": {"href": "@/a.tif"}}}]}',
    "playlist.mp4": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n@/a.ts\n#EXT-X-ENDLIST\n",
    "playlist.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n@/a.ts\n#EXT-X-ENDLIST\n",
    "concat.mkv": "ffconcat version 1.0\nfile '@/a.mp4'\n",
    "dash.mp4": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><BaseURL>@/</BaseURL>'
    '<Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"><SegmentTemplate '
    'media="$Number$.m4s" initialization="i.mp4" duration="1"/></Representation></AdaptationSet></Period></MPD>',
    "session.mp4": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n"
    "a=rtpmap:96 H264/90000\n",
    "drawing.png": '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    ' width="9" height="9"><image xlink:href="@/a.png" width="9" height="9"/></svg>',
    "drawing.svg": '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><image href="@/a.png"/></svg>',
    "entity.png": '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "@/a.dtd">]><svg xmlns="http://www.w3.org/2000/svg">&b;</svg>',
    "script.png": "%!PS\n(@/a) (r) file\n",
    "commands.jpg": "push graphic-context\nviewbox 0 0 9 9\nimage over 0,0 0,0 'url(@/a.png)'\npop graphic-context\n",
    "portable.png": "%PDF-1.4\n1 0 obj<</Type/Catalog/OpenAction<</S/URI/URI(@/a)>>>>endobj\ntrailer<</Root 1 0 R>>\n",
    "page.webp": '<html><body><img src="@/a.png"></body></html>',
}
"""Texts with URLs that other readers fetch, under misleading names. @ stands for the address of the server."""
ADDRESSES = (
    "@/a.png",
    "/vsicurl/@/a.tif",
    "vrt://@/a.tif",
    "concat:@/a.mp4",
    "subfile,,start,0,end,9,,:@/a.mp4",
    "tcp://127.0.0.1:#",
    "//127.0.0.1:#/a.png",
    "\\\\127.0.0.1@#\\a.png",
    "a.png[@/a.png]",
)
COMMANDS = [
    "upscale ?",
    "upscale photo.png -o ?",
    "upscale photo.png -m ?",
    "compare ? -o made.png",
    "compare photo.png -m ? -o made.png",
    "export ?",
    "evaluate ? --data set",
    "evaluate tiny.safetensors --data ?",
    "train --data ? --run made",
    "train --data set --lr-data ? --run made",
    "train --data set --validation-data ? --run made",
    "train --data set --start ? --run made",
    "train --data set --config ? --run made",
    "train --data set --loss vgg --backbone ? --run made",
    "models show ?",
    "models import ? -o made.safetensors",
    "models pack ? -o made.safetensors",
    "models pack tiny.safetensors --scores ? -o made.safetensors",
    "study run ? --data set",
    "study report ?",
]
"""All commands that read a path. ? stands for the address."""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    store.save(small_weights(), tmp_path / "tiny.safetensors")
    write(Image(pixels=np.random.default_rng(0).random((24, 20, 3), np.float32)), tmp_path / "photo.png")
    (tmp_path / "set").mkdir()
    shutil.copy("photo.png", "set")
    return tmp_path


def put(folder: Path, canary: Canary) -> list[str]:
    for name, text in FILES.items():
        (folder / name).write_text(text.replace("@", canary.url))
    return list(FILES)


def run(*arguments: str) -> int:
    return command_line.run(*arguments)


def upscale(*arguments: str) -> int:
    return run("upscale", *arguments, "-m", "tiny.safetensors", "--device", "cpu", "--threads", "1")


def test_the_canary_server_detects_a_connection(canary: Canary) -> None:
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", canary.port)) as call:
            call.sendall(b"GET / HTTP/1.0\r\n\r\n")
    assert canary.calls() == 3


def test_a_file_with_a_url_is_refused_without_a_connection(
    here: Path, canary: Canary, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(put(here, canary))
    for name in before:
        assert upscale(name) == 2, name
        printed = capsys.readouterr()
        assert len(printed.err.splitlines()) == 1 and printed.err.startswith("drrn: ") and printed.out == "", printed
    assert upscale(*before, "-o", "out") == 2
    assert not (here / "out").exists() and canary.calls() == 0


def test_an_image_with_a_url_is_enlarged_without_a_connection(here: Path, canary: Canary) -> None:
    links = f'<x:xmpmeta xmlns:x="{canary.url}/ns"><a rdf:resource="{canary.url}/a"/></x:xmpmeta>'.encode()
    picture = Image(pixels=np.zeros((4, 5, 3), np.float32), xmp=links)
    for name in ("a.png", "b.jpg", "c.webp", "d.tif"):
        write(picture, here / name)
        side = FILES["vrt.tif"].replace("@", canary.url)
        for beside in (f"{name}.aux.xml", f"{name}.ovr", f"{name}.msk", f"{name[0]}.vrt", f"{name[0]}.xml"):
            (here / beside).write_text(side)
        assert upscale(name) == 0, name
    described = f'<OME><Image><Pixels><TiffData><UUID FileName="{canary.url}/a.tif"/></TiffData></Pixels></Image></OME>'
    (here / "e.tif").write_bytes(saved(photo(), "TIFF", description=described))
    assert upscale("e.tif") == 0 and canary.calls() == 0


@pytest.mark.parametrize("command", COMMANDS)
def test_a_url_is_treated_as_the_name_of_a_missing_file(
    command: str, here: Path, canary: Canary, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, address in enumerate(ADDRESSES[: None if command == "upscale ?" else 2]):
        named = address.replace("@", canary.url).replace("#", str(canary.port))
        assert run(*(named if word == "?" else word for word in command.split())) == 2, (number, address)
        printed = capsys.readouterr().err.splitlines()
        assert printed and printed[-1].isprintable() and not [line for line in printed if "Traceback" in line], printed
    assert canary.calls() == 0


@pytest.mark.filterwarnings("ignore:Invalid value for VR CS")
def test_a_dicomdir_is_not_followed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pydicom")
    from pydicom import Dataset, Sequence, dcmread, dcmwrite

    from tests.dicom_files import put as put_dicom

    (here / "secret.dcm").write_bytes(put_dicom(here / "a.dcm", np.zeros((4, 5), np.uint16)).read_bytes())
    (here / "disk").mkdir()
    dicomdir = dcmread(here / "a.dcm")
    del dicomdir.PixelData
    record = Dataset()
    record.DirectoryRecordType, record.ReferencedFileID = "IMAGE", ["..", "secret.dcm"]
    dicomdir.DirectoryRecordSequence = Sequence([record])
    dcmwrite(here / "disk/DICOMDIR", dicomdir)
    before = sorted(here.rglob("*"))
    assert upscale("disk/DICOMDIR") == 2
    assert "without pixels" in capsys.readouterr().err and sorted(here.rglob("*")) == before


@pytest.mark.full
def test_no_network_socket_is_ever_opened(here: Path, canary: Canary) -> None:
    """Except of families that only work within the machine."""
    strace = shutil.which("strace")
    if not strace:
        pytest.skip("needs strace")
    names = put(here, canary)
    calls = here / "calls.txt"
    words = [
        sys.executable,
        "-m",
        "drrn",
        "upscale",
        "photo.png",
        *names,
        canary.url,
        "-m",
        "tiny.safetensors",
        "-o",
        "out",
    ]
    traced = [strace, "-f", "-qq", "-e", "trace=socket,connect,bind,sendto", "-o", str(calls), *words]
    assert subprocess.run(traced, capture_output=True, timeout=600).returncode == 3
    assert (here / "out/photo_x2.png").exists() and "AF_INET" not in calls.read_text() and canary.calls() == 0
