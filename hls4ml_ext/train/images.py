"""Images in files: folders of them, and scikit-learn's sample photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hls4ml_ext.errors import ProjectError
from hls4ml_ext.train.formats import from_uint8

SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.gif')


def class_folders(folder: Path) -> dict[str, list[Path]]:
    """Names of classes, sorted, with their images, sorted; hidden and other files are left out.

    Raises:
        ProjectError: if there are no classes, or one has no images.
    """
    classes = {}
    for path in visible(folder):
        if path.is_dir():
            classes[path.name] = [f for f in visible(path) if f.suffix.lower() in SUFFIXES and f.is_file()]
            if not classes[path.name]:
                raise ProjectError(f"'{path}' has no images ({', '.join(SUFFIXES)}). Add some, or remove the folder")
    if not classes:
        raise ProjectError(f"'{folder}' has no folders. Give a folder that has a folder of images for each class")
    return classes


def visible(folder: Path) -> list[Path]:
    """What is in a folder and not hidden, by name. Raises ProjectError if it can't be read."""
    try:
        return sorted((path for path in folder.iterdir() if not path.name.startswith('.')), key=lambda path: path.name)
    except OSError as e:
        raise ProjectError(f"'{folder}' can't be read: {e.strerror or e}") from None


def read_classes(classes: dict[str, list[Path]], numbers: dict[str, int], channels: int, size: tuple[int, int] | None):
    """Images and labels; the classes take turns, so that the first few are of many.

    Args:
        classes: Images of each class.
        numbers: Label of each class.
        channels: 3 is RGB, 1 is grey.
        size: (height, width) to resize to; without it all images must have one size.

    Returns:
        uint8 (n, height, width, channels) and int64 (n,).

    Raises:
        ProjectError: if an image is damaged or has another size than the first.
    """
    files = sorted((turn, numbers[name], path) for name, paths in classes.items() for turn, path in enumerate(paths))
    images: list[np.ndarray] = []
    for _, _, path in files:
        image = read_image(path, channels, size)
        if images and image.shape != images[0].shape:
            (h, w), (first_h, first_w) = image.shape[:2], images[0].shape[:2]
            raise ProjectError(
                f"'{path}' has {h}x{w} pixels (height x width), but '{files[0][2]}' {first_h}x{first_w}. Set data.size, and "
                'all are resized'
            )
        images.append(image)
    return np.stack(images), np.array([label for _, label, _ in files], np.int64)


def read_image(path: Path, channels: int, size: tuple[int, int] | None) -> np.ndarray:
    """The image in a file, upright.

    Args:
        path: The file; the first picture of a moving one.
        channels: 3 is RGB, 1 is grey; transparency is dropped.
        size: (height, width) to resize to, whatever the proportions were; None leaves the size.

    Returns:
        uint8 (height, width, channels).

    Raises:
        ProjectError: if it is no image, damaged, or has more than 8 bits.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            if image.mode.startswith(('I', 'F')):  # Pillow would clip such numbers at 255
                raise ValueError('its numbers have more than 8 bits')
            upright = ImageOps.exif_transpose(image)
            result = upright.convert('RGB' if channels == 3 else 'L')
            if size is not None and result.size != size[::-1]:
                result = result.resize(size[::-1], Image.Resampling.BILINEAR)
    except Exception as e:  # decoders have many ways to say that a file is broken
        raise ProjectError(f"'{path}' is not a readable image: {e}. Replace or remove it") from None
    return np.asarray(result).reshape(*result.size[::-1], channels)


def sample_photos() -> list[np.ndarray]:
    """scikit-learn's two sample photographs, uint8 RGB."""
    from importlib.resources import files

    import tensorflow as tf  # Pillow decodes to pixels a little different: these crops stay what they were

    folder = files('sklearn.datasets.images')
    return [tf.io.decode_jpeg((folder / name).read_bytes(), channels=3).numpy() for name in ('china.jpg', 'flower.jpg')]


def crops(photos, n: int, size: int, seed: int) -> np.ndarray:
    """`n` random square crops, float32 between -1 and 1."""
    rng = np.random.default_rng(seed)
    result = []
    for i in range(n):
        photo = photos[i % len(photos)]
        top, left = (int(rng.integers(0, d - size + 1)) for d in photo.shape[:2])
        result.append(photo[top : top + size, left : left + size])
    return from_uint8(np.stack(result))
