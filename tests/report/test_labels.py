"""Labels of pictures: beside what they name, none on top of another."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hls4ml_ext.report.plots.labels import label_ends, label_points, overlap, place, spread


@pytest.fixture
def axes():
    fig = Figure((6, 4), dpi=100)
    FigureCanvasAgg(fig)
    ax = fig.subplots()
    ax.set(xlim=(0, 1), ylim=(0, 1))
    return fig, ax


def boxes_of(fig, ax):
    """(left, bottom, right, top) of each text in the axes, in pixels."""
    fig.draw_without_rendering()
    return [np.asarray(text.get_window_extent().extents) for text in ax.texts]


def apart(boxes) -> bool:
    return all(overlap(a, b) == 0 for i, a in enumerate(boxes) for b in boxes[:i])


def test_what_is_apart_stays_where_it_is():
    assert (spread([5, 1, 9], 2) == [5, 1, 9]).all()


@pytest.mark.parametrize('n', [2, 3, 8])
def test_what_collides_moves_apart_around_its_middle(n):
    centres = spread([4.0] * n, 2.0)
    assert (np.diff(centres) == 2).all()
    assert centres.mean() == pytest.approx(4)


def test_order_is_kept_and_ends_are_respected():
    rng = np.random.default_rng(0)
    for _ in range(50):
        wished, sizes = rng.uniform(0, 10, 6), rng.uniform(0.1, 1.5, 6)
        centres = spread(wished, sizes, 0, 10)
        order = np.argsort(wished)
        low, high = (centres - sizes / 2)[order], (centres + sizes / 2)[order]
        assert (low[1:] >= high[:-1] - 1e-9).all()
        assert low[0] >= -1e-9 and high[-1] <= 10 + 1e-9


def test_too_little_room_goes_beyond_the_upper_end():
    centres = spread([1, 1, 1], 2.0, 0, 4)
    assert (centres == [1, 3, 5]).all()


@pytest.mark.parametrize(
    ('a', 'b', 'area'), [((0, 0, 2, 2), (1, 1, 3, 4), 1), ((0, 0, 1, 1), (1, 0, 2, 1), 0), ((0, 0, 4, 4), (1, 1, 2, 3), 2)]
)
def test_the_area_that_boxes_share(a, b, area):
    assert overlap(np.array(a), np.array(b)) == overlap(np.array(b), np.array(a)) == area


def test_places_are_beside_their_points_and_keep_obstacles_free():
    anchors = [(50.0, 50.0), (52.0, 51.0), (98.0, 50.0)]
    obstacle = (54, 40, 70, 60)  # where the first label would stand
    boxes = place(anchors, [(16, 6)] * 3, [obstacle], (0, 0, 100, 100), 3)
    assert apart([*boxes, np.array(obstacle)])
    assert (boxes[:, :2] >= 0).all() and (boxes[:, 2:] <= 100).all()
    for box, anchor in zip(boxes, anchors):
        assert np.abs((box[:2] + box[2:]) / 2 - anchor).max() < 30


def test_names_of_points_are_apart_and_inside(axes):
    fig, ax = axes
    points = [(0.5, 0.5), (0.51, 0.5), (0.5, 0.52), (0.99, 0.99)]
    label_points(fig, ax, [(*p, f'network {i}', 'black') for i, p in enumerate(points)], [(x, y, y) for x, y in points])
    boxes = boxes_of(fig, ax)
    assert [text.get_text() for text in ax.texts] == [f'network {i}' for i in range(4)]
    assert apart(boxes)
    limits = ax.get_window_extent().extents
    assert all((box[:2] >= limits[:2] - 1).all() and (box[2:] <= limits[2:] + 1).all() for box in boxes)


def test_names_of_lines_are_apart_and_right_of_their_ends(axes):
    fig, ax = axes
    label_ends(fig, ax, [(1.0, 0.5 + 0.001 * i, f'line {i}', 'black') for i in range(5)])
    boxes = boxes_of(fig, ax)
    assert apart([box + [0, 1, 0, -1] for box in boxes])  # a pixel of line spacing is shared
    end = ax.transData.transform((1.0, 0.5))[0]
    right = ax.get_window_extent().x1
    assert all(end < box[0] and box[2] <= right + 1 for box in boxes)
    assert [box[1] for box in boxes] == sorted(box[1] for box in boxes)
