"""Where the attention of a model goes."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

from hls4ml_ext.errors import ProjectError
from hls4ml_ext.layers.attention.keras import MultiHeadSelfAttention2D
from hls4ml_ext.layers.ode.keras import ODEBlock
from hls4ml_ext.report.plots.style import BLUE, GREY, RED, checked_images, headed, picture
from hls4ml_ext.train.calibration import named_layers


def attention_weights(model, images: np.ndarray, layer: str | None = None) -> np.ndarray:
    """The attention weights of an attention layer; in an ODE block, those of the last evaluation in the last step.

    Args:
        model: A Keras model with a MultiHeadSelfAttention2D, possibly in an ODE block. It is the same afterwards.
        images: (n, height, width, channels).
        layer: The layer's name, such as 'mhsa.attention'; None is the model's last one.

    Returns:
        (n, heads, query pixels, key pixels), as the layer computes them: ReLU attention's are not normalized.

    Raises:
        ProjectError: if there is no such layer, or the images are not the model's.
    """
    _, found = _attention_layer(model, layer)
    images = checked_images(model, images)
    attend, last = found._attend, []

    def recorded(logits):
        last[:] = [attend(logits)]
        return last[0]

    found._attend = recorded
    try:
        model(images, training=False)
    finally:
        del found._attend
    return keras.ops.convert_to_numpy(last[0])


def attention_shares(weights: np.ndarray, height: int, width: int, query: tuple[int, int]) -> np.ndarray:
    """How one pixel shares its attention among all.

    Args:
        weights: (n, heads, query pixels, key pixels), of :func:`attention_weights`.
        height, width: Of the layer's image.
        query: Row and column of the pixel.

    Returns:
        (n, heads, height, width): sums are 1; or 0 where a pixel attends to nothing, which ReLU attention allows.
    """
    row, col = query
    maps = weights[:, :, row * width + col].astype(np.float64).reshape(*weights.shape[:2], height, width)
    totals = maps.sum((2, 3), keepdims=True)
    return np.divide(maps, totals, out=np.zeros_like(maps), where=totals > 0)


def attention_maps(model, images: np.ndarray, labels: list[str], path, layer: str | None = None) -> Path:
    """Where the pixel in the middle looks: for each image and head, its attention weights over the image.

    Args:
        model, layer: As for :func:`attention_weights`.
        images: A few images, (n, height, width, channels), between -1 and 1; of 1 or 3 channels, or the first one is shown.
        labels: What is written next to each image: its class.
        path: The PNG to write.

    Returns:
        The path.

    Raises:
        ProjectError: if there is no such layer, the images are not the model's, or there is not one label for each.
    """
    name, attention = _attention_layer(model, layer)
    images = checked_images(model, images)
    if len(labels) != len(images):
        raise ProjectError(f'attention maps: {len(labels)} labels for {len(images)} images')
    height, width = attention.height, attention.width
    query = (height // 2, width // 2)
    shares = attention_shares(attention_weights(model, images, layer), height, width, query)
    columns = attention.num_heads + 1
    side = 7.2 / max(columns, 4)
    aspect = images.shape[1] / images.shape[2]
    with picture(path, side * columns, (side * aspect + 0.2) * len(images) + 0.5, nrows=len(images), ncols=columns,
                 squeeze=False) as (fig, axes):  # fmt: skip
        for image, label, maps, row in zip(images, labels, shares, axes):
            _draw_image(row[0], image if image.shape[-1] == 3 else image[..., :1].repeat(3, -1), query, (height, width))
            row[0].set_ylabel(label)
            grey = image.mean(-1, keepdims=True) if image.shape[-1] == 3 else image[..., :1]
            for ax, weights in zip(row[1:], maps):
                _draw_image(ax, grey.repeat(3, -1), query, (height, width))
                _overlay(ax, weights, image.shape)
        for head, ax in enumerate(axes[0, 1:], 1):
            ax.set_title(f'head {head}', loc='center', fontsize=9, fontweight='normal')
        note = f'Orange: its shares of attention to the {height}x{width} pixels of the layer; the largest is given below.'
        headed(fig, f'Where the framed pixel looks: {name}{_step(model, name)}', note)
    return Path(path)


def _draw_image(ax, image, query, grid):
    """An image in the units of its pixels, and a frame around one pixel of the layer's grid."""
    from matplotlib.patches import Rectangle

    h, w = image.shape[0] / grid[0], image.shape[1] / grid[1]
    ax.imshow(np.clip((image + 1) / 2, 0, 1), extent=(0, image.shape[1], image.shape[0], 0), interpolation='nearest')
    for colour, thickness in (('white', 2.4), (BLUE, 1.2)):
        ax.add_patch(Rectangle((query[1] * w, query[0] * h), w, h, fill=False, ec=colour, lw=thickness, zorder=3))
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def _overlay(ax, shares, shape):
    """Colour over a grey image, the stronger the larger the share; none where it is zero."""
    from matplotlib.colors import to_rgb

    largest = shares.max()
    colour = np.empty((*shares.shape, 4))
    colour[..., :3] = to_rgb(RED)
    colour[..., 3] = 0.85 * shares / largest if largest > 0 else 0
    ax.imshow(colour, extent=(0, shape[1], shape[0], 0), interpolation='nearest')
    text = f'max {100 * largest:.0f} %' if largest > 0 else 'looks at nothing'
    ax.set_xlabel(text, fontsize=8, color=GREY, labelpad=2)


def _attention_layer(model, wanted: str | None) -> tuple[str, MultiHeadSelfAttention2D]:
    """The attention layer of that name, or the last one, and its name."""
    layers = {name: layer for name, layer in named_layers(model) if isinstance(layer, MultiHeadSelfAttention2D)}
    if not layers:
        raise ProjectError(f"model '{model.name}' has no attention layer, so there are no attention maps")
    if wanted is not None and wanted not in layers:
        raise ProjectError(f"model '{model.name}' has no attention layer '{wanted}'. It has {', '.join(layers)}")
    name = wanted or list(layers)[-1]
    return name, layers[name]


def _step(model, name: str) -> str:
    """Which step of its ODE block is shown."""
    named = named_layers(model, blocks=True)
    steps = [layer.n_steps for n, layer in named if isinstance(layer, ODEBlock) and name.startswith(f'{n}.')]
    return f', last of {steps[-1]} steps' if steps and steps[-1] > 1 else ''
