"""Labels next to what they name, none on top of another."""

from __future__ import annotations

import numpy as np

DIRECTIONS = ((1, 0), (0, 1), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1))
"""Where a label may stand, seen from its point; the best places first."""


def spread(centres, sizes, low: float = -np.inf, high: float = np.inf) -> np.ndarray:
    """Moves intervals on a line apart, as little as possible, in their order.

    Args:
        centres: (n,) wished centres.
        sizes: (n,) lengths, or one for all.
        low, high: Where the line begins and ends. If there is too little room, intervals reach beyond `high`.

    Returns:
        (n,) centres of intervals that don't overlap.
    """
    centres = np.asarray(centres, float)
    sizes = np.broadcast_to(np.asarray(sizes, float), centres.shape)
    order = np.argsort(centres, kind='stable')
    groups = []  # [members, the sum of the starts that they wish for the group, total size, start]
    for i in order:
        group = [[i], centres[i] - sizes[i] / 2, sizes[i]]
        while groups and _start(groups[-1], low, high) + groups[-1][2] > _start(group, low, high):
            before = groups.pop()
            wished = before[1] + group[1] - len(group[0]) * before[2]
            group = [before[0] + group[0], wished, before[2] + group[2]]
        groups.append(group)
    result = np.empty_like(centres)
    for group in groups:
        start = _start(group, low, high)
        for i in group[0]:
            result[i] = start + sizes[i] / 2
            start += sizes[i]
    return result


def _start(group, low, high) -> float:
    members, wished, size = group
    return max(min(wished / len(members), high - size), low)


def place(anchors, sizes, obstacles, bounds, distance: float) -> np.ndarray:
    """Places boxes next to points, one after another, where each covers least.

    Args:
        anchors: (n, 2) points.
        sizes: (n, 2) widths and heights.
        obstacles: (m, 4) boxes to keep free: left, bottom, right, top.
        bounds: (4,) the box to stay in.
        distance: From the point to the box.

    Returns:
        (n, 4) the boxes.
    """
    taken = [np.asarray(box, float) for box in obstacles]
    bounds = np.asarray(bounds, float)
    placed = []
    for anchor, size in zip(np.asarray(anchors, float), np.asarray(sizes, float)):
        boxes = []
        for ring in (1, 3, 5):
            for direction in np.asarray(DIRECTIONS, float):
                centre = anchor + direction * (size / 2 + ring * distance / np.hypot(*direction))
                boxes.append(np.concatenate([centre - size / 2, centre + size / 2]))
        area = size.prod()
        costs = [sum(overlap(box, other) for other in taken) + 10 * (area - overlap(box, bounds)) for box in boxes]
        best = boxes[int(np.argmin(np.round(costs, 3)))]
        placed.append(best)
        taken.append(best)
    return np.array(placed).reshape(-1, 4)


def overlap(a, b) -> float:
    """The area that two boxes (left, bottom, right, top) share."""
    width, height = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    return float(max(width, 0) * max(height, 0))


def label_points(fig, ax, labels, obstacles=(), reach: float = 6):
    """Names points of a picture whose limits are set.

    Args:
        fig, ax: The picture.
        labels: (x, y, text, colour) of each label, x and y in data coordinates.
        obstacles: (x, y0, y1) of things that no label shall cover: markers and the lines between them.
        reach: How far they go to the left and right of x, in points.
    """
    fig.draw_without_rendering()  # gives the axes their place
    renderer = fig.canvas.get_renderer()
    point = fig.dpi / 72
    texts = [ax.text(x, y, text, color=colour, fontweight='bold', in_layout=False) for x, y, text, colour in labels]
    extents = [text.get_window_extent(renderer) for text in texts]
    sizes = [(e.width + 2 * point, e.height + 2 * point) for e in extents]
    boxes = []
    for x, low, high in obstacles:
        (x0, y0), (_, y1) = ax.transData.transform([(x, low), (x, high)])
        boxes.append((x0 - reach * point, y0 - 6 * point, x0 + reach * point, y1 + 6 * point))
    anchors = ax.transData.transform([(x, y) for x, y, *_ in labels])
    places = place(anchors, sizes, boxes, ax.get_window_extent(renderer).extents, (reach + 1) * point)
    for text, box in zip(texts, places):
        text.set(position=ax.transData.inverted().transform((box[:2] + box[2:]) / 2), ha='center', va='center')


def label_ends(fig, ax, labels):
    """Names lines at their right ends, and makes the axes wide enough for it.

    Args:
        fig, ax: The picture; its limits are set.
        labels: (x, y, text, colour) of each end in data coordinates.
    """
    fig.draw_without_rendering()
    renderer, point = fig.canvas.get_renderer(), fig.dpi / 72
    box = ax.get_window_extent(renderer)
    ends = ax.transData.transform([(x, y) for x, y, *_ in labels])
    heights = spread(ends[:, 1], 13 * point, box.y0, box.y1)
    right = max(x for x, *_ in labels)
    texts = [
        ax.annotate(
            text, (right, y), (8, (height - end) / point), textcoords='offset points', color=colour, fontweight='bold',
            va='center', in_layout=False,
        )
        for (_, y, text, colour), (_, end), height in zip(labels, ends, heights)
    ]  # fmt: skip
    room = max(text.get_window_extent(renderer).width for text in texts) + 10 * point
    left, _ = ax.get_xlim()
    ax.set_xlim(left, left + (right - left) / (1 - min(room / box.width, 0.7)))
