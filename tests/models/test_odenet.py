"""The ODE network without attention."""

import pytest
from pydantic import ValidationError

from hls4ml_ext import ODEBlock
from hls4ml_ext.models import ode_mhsa, odenet


@pytest.mark.parametrize('preset', ode_mhsa.PRESETS)
def test_is_ode_mhsa_without_its_attention_block(preset):
    size = int(preset.split('x')[0])
    with_attention, without = (m.build((size, size, 3), 10, preset=preset) for m in (ode_mhsa, odenet))
    kept = [layer.name for layer in with_attention.layers if layer.name != 'mhsa']
    assert [layer.name for layer in without.layers] == kept
    assert without.name == 'odenet'
    assert without.count_params() == with_attention.count_params() - with_attention.get_layer('mhsa').count_params()


def test_same_knobs():
    model = odenet.build((8, 8, 1), 3, None, widths=[4, 6], ode={'n_steps': [1, 2], 'solver': 'heun'})
    assert [layer.n_steps for layer in model.layers if isinstance(layer, ODEBlock)] == [1, 2]
    assert not any(type(layer).__name__ == 'QActivation' for layer in model.layers)
    assert odenet.Knobs(mhsa=None).mhsa is None


def test_mistakes():
    with pytest.raises(ValidationError, match='mhsa\n.*odenet has no attention block. Use the builder ode_mhsa'):
        odenet.build((8, 8, 1), 10, preset='8x8', mhsa={'heads': 2})
    with pytest.raises(ValidationError, match='width'):
        odenet.build((8, 8, 1), 10, width=[3])
