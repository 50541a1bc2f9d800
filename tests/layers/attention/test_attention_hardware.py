"""The hardware of attention: folding, cycles, memories, and the streams between its processes."""

import re

import pytest
from exactness import branches, convert, quietly

import hls4ml_ext
from hls4ml_ext import MultiHeadSelfAttention2D
from hls4ml_ext.layers.attention.hls import ReluAttentionKernel, SoftmaxAttentionKernel
from hls4ml_ext.layers.attention.node import ExactReluAttention

ATTENTIONS = ('relu', 'softmax')


def model_of(kind, num_heads=4, key_dim=8, height=3, width=5, **kwargs):
    return branches(
        (height, width, 6), {'a': MultiHeadSelfAttention2D(num_heads, key_dim, attention=kind, name='a', **kwargs)}
    )


def core_of(kind, reuse, height=3, width=5, position='relative'):
    model = model_of(kind, height=height, width=width, position=position)
    hls_model = hls4ml_ext.convert(
        model, output_dir='unwritten', hls_config={'Model': {}, 'LayerName': {'a.core': {'ReuseFactor': reuse}}}
    )
    return next(n for n in hls_model.get_layers() if n.name == 'a.core')


@pytest.mark.parametrize(('reuse', 'heads', 'dims'), [(1, 1, 1), (2, 2, 1), (4, 4, 1), (8, 4, 2), (32, 4, 8)])
def test_folding_and_cycles(reuse, heads, dims):
    core = core_of('relu', reuse)
    assert (core.get_attr('fold_heads'), core.get_attr('fold_dims')) == (heads, dims)
    assert core.lanes_in() == core.lanes_out == core.settings['SIMD'] == 32 // reuse
    assert core.cycles == 3 * 15 * reuse + 15 * 15 * reuse
    assert core.n_beats * core.interval == 15 * 15 * reuse
    assert core.multipliers == 2 * 4 * 8 // reuse
    assert core.macs == 2 * 15 * 15 * 32
    assert core.settings['ReuseFactor'] == reuse
    assert list(core.last_input_of()) == [3 * 15 * reuse - 1] * (15 * reuse)
    softmax = core_of('softmax', reuse)
    assert softmax.delay == 2 * 15 * dims  # two rows of logits
    assert softmax.cycles == core.cycles + softmax.delay
    assert softmax.multipliers == core.multipliers + 4 // heads


def test_heads_are_folded_before_dims():
    """So that the channels of a word are neighbours."""
    foldings = core_of('relu', 1).possible_foldings()
    assert sorted((f.reuse, f.simd) for f in foldings) == [(1, 32), (2, 16), (4, 8), (8, 4), (16, 2), (32, 1)]
    by_heads = ExactReluAttention.foldings(6, 4)
    assert sorted((f.reuse, f.simd) for f in by_heads) == [(1, 24), (2, 12), (3, 8), (6, 4), (12, 2), (24, 1)]


def test_words_of_memories():
    """One word a cycle from each memory, of as many lanes as are multiplied."""

    def memories(kind, **kwargs):
        return {m.name: (m.words, m.lanes, m.width, m.banks) for m in core_of(kind, **kwargs).memories}

    words = memories('relu', reuse=2)
    assert words == {
        'row': (5, 8, 6, 1), 'col': (9, 8, 6, 1),
        'queries': (30, 16, 8, 1), 'keys': (30, 16, 8, 1), 'values': (30, 16, 8, 1),
    }  # fmt: skip
    words = memories('softmax', reuse=2)
    assert words['exp'] == (256, 1, 12, 2)  # a copy for each lane
    assert words['reciprocal'] == (512, 1, 12, 2)
    assert words['logits'] == (15, 2, 8, 1)
    assert words['terms'] == (15, 2, 12, 1)
    words = memories('relu', reuse=16)
    assert words['row'], words['col'] == ((20, 2, 6, 1), (36, 2, 6, 1))
    assert words['values'] == (240, 2, 8, 1)
    words = memories('relu', reuse=16, position='additive')
    assert words['row'], words['col'] == ((48, 2, 6, 1), (80, 2, 6, 1))
    assert words['keys'][2] > 8
    assert set(memories('relu', reuse=2, position=None)) == {'queries', 'keys', 'values'}


def test_impossible_reuse_factor_is_rounded_down():
    with pytest.warns(UserWarning, match="layer 'a.core': ReuseFactor 7 is not possible, using 4"):
        assert core_of('relu', 7).reuse == 4


def test_tables_live_in_memory(tmp_path):
    """ROMs and RAMs are bound by their depth; tables that all lanes read at once have a port for each."""
    text = written('softmax', 2, tmp_path)
    bound = dict(re.findall(r'BIND_STORAGE variable=([a-z_]+)\d* type=(\w+ impl=\w+)', text))
    assert bound == {
        'row_table': 'rom_1p impl=lutram', 'col_table': 'rom_1p impl=lutram',
        'exp_table': 'rom_np impl=bram', 'reciprocal_table': 'rom_np impl=bram',
        **dict.fromkeys(('queries', 'keys', 'values', 'logits', 'terms'), 'ram_s2p impl=lutram'),
    }  # fmt: skip


def written(kind, reuse, directory, **kwargs) -> str:
    """The C++ that configures a core."""
    model = model_of(kind, **kwargs)
    hls_model = convert(model, directory / 'p', hls_config={'LayerName': {'a.core': {'ReuseFactor': reuse}}})
    quietly(hls_model.write)
    return (directory / 'p/firmware/parameters.h').read_text()


def test_no_stream_is_wider_than_a_beat(tmp_path):
    """Also between the processes of the core."""
    text = written('softmax', 2, tmp_path)
    types = dict(re.findall(r'typedef (nnet::array<.*>) (\w+_t);', text))
    assert {name: int(re.search(r', (\d+)>$', t)[1]) for t, name in types.items()} == {
        'value_t': 16, 'score_t': 2, 'weight_t': 2,
    }  # fmt: skip


def test_config_lists_the_parts():
    model = model_of('relu', 2, 4)
    names = hls4ml_ext.config_from_model(model)['LayerName']
    assert {'a.qkv', 'a.core', 'a.out'} <= set(names)
    assert names['a.core'] == {'Trace': False, 'ReuseFactor': 1, 'SIMD': 8, 'WeightStorage': 'auto', 'MultImpl': 'auto'}


# ---------------------------------------------------------------------------------------------------------------------
# The processes, cycle by cycle
# ---------------------------------------------------------------------------------------------------------------------


def scores(core, n_images):
    """What attention_scores reads and writes in each cycle."""
    n, groups, slices = core.n_pixels, core.get_attr('fold_heads'), core.get_attr('fold_dims')
    for _ in range(n_images):
        for _ in range(n):
            for part in range(3):
                for _ in range(groups * slices):
                    yield ('data',), ('values',) if part == 2 else ()
        for _ in range(n * groups * n):
            for s in range(slices):
                yield (), ('scores',) if s == slices - 1 else ()


def softmax(core, n_images):
    n, rows = core.n_pixels, core.n_pixels * core.get_attr('fold_heads')
    for _ in range(n_images):
        for row in range(rows + 2):
            for _ in range(n):
                yield ('scores',) if row < rows else (), ('weights',) if row >= 2 else ()


def contexts(core, n_images, weights):
    n, groups, slices = core.n_pixels, core.get_attr('fold_heads'), core.get_attr('fold_dims')
    for _ in range(n_images):
        for _ in range(n * groups * slices):
            yield ('values',), ()
        for _ in range(n * groups):
            for j in range(n):
                for s in range(slices):
                    yield (weights,) if s == 0 else (), ('res',) if j == n - 1 else ()


def run(core, n_images, depths):
    """The cycle in which each context leaves, with a beat of input in every cycle; or None if the processes hang."""
    stages = [scores(core, n_images), contexts(core, n_images, 'weights' if 'softmax' in core.kind else 'scores')]
    if 'softmax' in core.kind:
        stages.append(softmax(core, n_images))
    processes = [list(stage) for stage in stages]
    done = [0] * len(processes)
    level, left, cycle, moved = dict.fromkeys(('data', 'values', 'scores', 'weights', 'res'), 0), [], 0, True
    while moved:
        level['data'] += 1
        before, moved = dict(level), cycle == 0
        for i, process in enumerate(processes):
            if done[i] == len(process):
                continue
            reads, writes = process[done[i]]
            if all(before[s] for s in reads) and all(before[s] < depths.get(s, 1 << 30) for s in writes):
                done[i] += 1
                moved = True
                for s in reads:
                    level[s] -= 1
                for s in writes:
                    level[s] += 1
                    left += [cycle] * (s == 'res')
        cycle += 1
    return left if len(left) == n_images * core.n_beats else None


@pytest.mark.parametrize('reuse', [1, 2, 4, 8, 32])
@pytest.mark.parametrize('kind', ATTENTIONS)
def test_processes_keep_to_the_cycles(kind, reuse):
    """An image takes its cycles, three take three times as many at most, and the depths that are written do."""
    core, n_images = core_of(kind, reuse, height=2, width=3), 3
    kernel = SoftmaxAttentionKernel() if kind == 'softmax' else ReluAttentionKernel()
    depths = {f'{result[:-2]}s': process.depth for process in kernel.processes(core)[:-1] for result in process.results}
    assert set(depths) == {'values', 'scores', 'weights'} - ({'weights'} if kind == 'relu' else set())
    left = run(core, n_images, depths)
    last = left[core.n_beats - 1 :: core.n_beats]
    # A cycle from one process to the next, and the slices of the last value, which follow those of the last key.
    hand_over = 3 + core.get_attr('fold_dims')
    assert core.cycles <= last[0] + 1 <= core.cycles + hand_over
    assert last[-1] + 1 <= n_images * (core.cycles + hand_over)
    # Deeper streams gain no more than the rows that softmax holds.
    deep = run(core, n_images, {})
    assert last[-1] - deep[-1] <= (n_images - 1) * (core.delay + hand_over)
    assert run(core, n_images, {**depths, 'values': 0}) is None
