"""Pictures: passed on as they are, or made to fit what Bedrock takes."""

import io
import struct
import zlib
from typing import Any

import PIL.Image
import pytest
from batchline import formats
from batchline.errors import Code, Refused
from batchline.formats import image


def encoded(picture: PIL.Image.Image, kind: str, **options: Any) -> bytes:
    data = io.BytesIO()
    picture.save(data, kind, **options)
    return data.getvalue()


def noise(wide: int, high: int) -> PIL.Image.Image:
    return PIL.Image.effect_noise((wide, high), 100).convert("RGB")


def parsed(data: bytes) -> formats.Image:
    [found] = image.parse(io.BytesIO(data))
    return found


def reopened(found: formats.Image) -> PIL.Image.Image:
    return PIL.Image.open(io.BytesIO(found.data))


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "gif"])
def test_a_picture_that_is_taken_as_it_is_is_not_touched(kind: str) -> None:
    data = encoded(noise(40, 30).convert("P" if kind == "gif" else "RGB"), kind)
    content = formats.read(io.BytesIO(data), "x.bin", size=len(data), rows=False)
    assert content == formats.Image(kind, data)  # type: ignore[arg-type]


def test_a_side_that_is_too_long_is_scaled_down() -> None:
    found = parsed(encoded(PIL.Image.new("L", (16_000, 100), 200), "png"))
    assert found.format == "png"
    assert reopened(found).size == (8_000, 50)


def test_too_many_bytes_become_a_jpeg_that_fits() -> None:
    data = encoded(noise(2_000, 1_500), "png")
    assert len(data) > image.MAX_BYTES
    found = parsed(data)
    assert found.format == "jpeg"
    assert len(found.data) <= image.MAX_BYTES
    assert reopened(found).size == (2_000, 1_500)


def test_bytes_that_quality_alone_does_not_save_cost_pixels() -> None:
    found = image.jpeg(noise(4_000, 3_000))
    assert len(found.data) <= image.MAX_BYTES
    wide, high = reopened(found).size
    assert wide < 4_000
    assert wide / high == pytest.approx(4 / 3, rel=0.001)


def test_a_picture_that_lies_on_its_side_is_set_upright() -> None:
    sideways = PIL.Image.new("RGB", (40, 20), "white")
    exif = sideways.getexif()
    exif[image.ORIENTATION] = 6
    assert reopened(parsed(encoded(sideways, "jpeg", exif=exif))).size == (20, 40)


def test_what_is_transparent_is_white_on_paper() -> None:
    clear = PIL.Image.new("RGBA", (2, 2), (0, 0, 0, 0))
    assert reopened(image.jpeg(clear)).getpixel((0, 0)) == (255, 255, 255)


def png_head(wide: int, high: int) -> bytes:
    """A PNG that claims to be large and has no pixels."""

    def block(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = block(b"IHDR", struct.pack(">IIBBBBB", wide, high, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + block(b"IDAT", zlib.compress(b"")) + block(b"IEND", b"")


@pytest.mark.parametrize("side", [12_000, 60_000, 2_000_000_000])
def test_absurd_dimensions_are_refused_before_they_are_unpacked(side: int) -> None:
    with pytest.raises(Refused) as caught:
        parsed(png_head(side, side))
    assert caught.value.code is Code.FILE_TOO_COMPLEX
    assert "100,000,000 pixels" in caught.value.message


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "gif"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_truncated_picture_is_refused(kind: str, share: float) -> None:
    data = encoded(noise(200, 200).convert("P" if kind == "gif" else "RGB"), kind)
    with pytest.raises(Refused) as caught:
        parsed(data[: int(len(data) * share)])
    assert caught.value.code is Code.FILE_DAMAGED


def test_what_only_begins_like_a_picture_is_refused() -> None:
    with pytest.raises(Refused) as caught:
        parsed(b"\x89PNG\r\n\x1a\n" + b"garbage" * 100)
    assert caught.value.code is Code.FILE_DAMAGED
