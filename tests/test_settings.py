"""Settings of the hardware, in Python and in project files: what is not understood is refused, by its path and its value."""

import copy
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
import yaml
from exactness import INPUT, branches, convert, quietly, randomize
from qkeras import QActivation, QConv2D, QDense

import hls4ml_ext
from hls4ml_ext.errors import ConversionError, ProjectError, SettingsError, plain, shown
from hls4ml_ext.project import load_project
from hls4ml_ext.settings import Hardware, LayerSettings, NamedLayer

W, B = 'quantized_bits(4,0,alpha=1)', 'quantized_bits(8,2,alpha=1)'
STATE = 'quantized_bits(8,1,alpha=1)'


@pytest.fixture(scope='module')
def model():
    """A convolution whose quantizer is fused, attention, an ODE block, pooling and a layer without hardware."""
    weights = {'kernel_quantizer': W, 'bias_quantizer': B}
    dynamics = [QActivation(INPUT, name='q'), QConv2D(2, 1, **weights, name='pw'), QActivation(INPUT, name='out')]
    attention = hls4ml_ext.MultiHeadSelfAttention2D(
        1, 2, qkv_quantizer=INPUT, output_quantizer=INPUT, name='mhsa', **weights
    )
    x = inputs = keras.Input((4, 4, 2), name='image')
    x = QActivation(STATE, name='quantizer')(x)
    x = hls4ml_ext.ODEBlock(dynamics, n_steps=2, state_quantizer=STATE, name='ode')(x)
    x = QActivation(INPUT, name='rounded')(QConv2D(2, 1, **weights, name='conv')(x))
    x = attention(x)
    x = keras.layers.MaxPooling2D(2, name='pool')(x)
    x = keras.layers.Dropout(0.1, name='dropout')(x)
    x = QDense(3, **weights, name='dense')(keras.layers.Flatten(name='flatten')(x))
    return randomize(keras.Model(inputs, x, name='net'))


# ---------------------------------------------------------------------------------------------------------------------
# hls_config
# ---------------------------------------------------------------------------------------------------------------------

CONFIGS = [
    ([], 'hls_config is []. It must be a dict'),
    ('default', "hls_config is 'default'. It must be a dict"),
    ({'LayerNames': {}}, "hls_config.LayerNames: unknown key. Did you mean 'LayerName'?"),
    ({'LayerType': {}}, "hls_config.LayerType: unknown key. Layers are set one by one, in 'LayerName', or all in 'Model'"),
    ({'Model': 3}, 'hls_config.Model is 3. It must be a dict'),
    ({'Model': {'ReuseFacto': 3}}, "hls_config.Model.ReuseFacto: unknown key. Did you mean 'ReuseFactor'?"),
    ({'Model': {'reuse_factor': 3}}, "hls_config.Model.reuse_factor: unknown key. Did you mean 'ReuseFactor'?"),
    ({'Model': {'ReuseFactor': -1}}, 'hls_config.Model.ReuseFactor is -1. It must be at least 1'),
    ({'Model': {'ReuseFactor': np.float32(2.5)}}, 'hls_config.Model.ReuseFactor is 2.5. It must be an integer'),
    ({'Model': {'Precision': 'fixed<8,2>'}}, "hls_config.Model.Precision is 'fixed<8,2>'. Use 'fixed<16,6>'"),
    ({'Model': {'Exact': False}}, 'hls_config.Model.Exact is False. Use True'),
    ({'Model': {'Strategy': 'Resource'}}, 'hls_config.Model.Strategy: unknown key. There is one kernel for each kind'),
    ({'LayerName': ['conv']}, "hls_config.LayerName is ['conv']. It must be a dict"),
    ({'LayerName': {3: {}}}, 'hls_config.LayerName is 3. Names are strings'),
    ({'LayerName': {'conv': 4}}, 'hls_config.LayerName.conv is 4. It must be a dict'),
    ({'LayerName': {'conv': {'ReuseFacto': 4}}}, "hls_config.LayerName.conv.ReuseFacto: unknown key. Did you mean 'ReuseF"),
    (
        {'LayerName': {'conv': {'Precision': {'result': 'fixed<3,2>'}}}},
        "hls_config.LayerName.conv.Precision: unknown key. All types come from the model's quantizers: leave it out",
    ),
    (
        {'LayerName': {'conv': {'Colour': 1}}},
        'hls_config.LayerName.conv.Colour: unknown key. Known keys: ReuseFactor, SIMD, PE, Weigh',
    ),
    ({'LayerName': {'conv': {'ReuseFactor': np.float64(2.5)}}}, "layer 'conv': ReuseFactor is 2.5. It must be an integer"),
    ({'LayerName': {'conv': {'MultImpl': 'fast'}}}, "layer 'conv': MultImpl is 'fast'. Use one of auto, dsp, lut"),
    ({'LayerName': {'conv': {'Trace': 'yes'}}}, "layer 'conv': Trace is 'yes'. It must be True or False"),
    (
        {'LayerName': {'conf': {}}},
        "layer 'conf': hls_config sets it, but the model has no such layer. Use one of conv",
    ),
    (
        {'LayerName': {'conv': {'StateStorage': 'bram'}}},
        "layer 'conv': hls_config sets StateStorage, which it does not read. The keys that it reads: MultImpl, ",
    ),
    (
        {'LayerName': {'pool': {'ReuseFactor': 2}}},
        "layer 'pool': hls_config sets ReuseFactor, which it does not read. The keys that it reads: Trace",
    ),
    (
        {'LayerName': {'ode': {'ReuseFactor': 2}}},
        "layer 'ode': hls_config sets ReuseFactor, which it does not read. Set it for ode.pw",
    ),
    (
        {'LayerName': {'ode.pw': {'Trace': True}}},
        "layer 'ode.pw': hls_config sets Trace, which it does not read. The keys that it reads: MultImpl, PE, ReuseFa",
    ),
    (
        {'LayerName': {'mhsa': {'ReuseFactor': 2}}},
        "layer 'mhsa': hls_config sets ReuseFactor, but it has no hardware of its own: it is a part of another layer, or "
        'needs none. Set it for mhsa.qkv, mhsa.core, mhsa.out',
    ),
    (
        {'LayerName': {'rounded': {'Trace': True}}},
        "layer 'rounded': hls_config sets Trace, but it has no hardware of its own: it is a part of another layer, or "
        'needs none. Leave it out',
    ),
    (
        {'LayerName': {'dropout': {'MultImpl': 'dsp'}}},
        "layer 'dropout': hls_config sets MultImpl, but it has no hardware",
    ),
    (
        {'LayerName': {'ode.out': {'ReuseFactor': 2}}},
        "layer 'ode.out': hls_config sets ReuseFactor, but it has no hardware",
    ),
    ({'LayerName': {'image': {'ReuseFactor': 2}}}, "layer 'image': hls_config sets ReuseFactor, but it has no hardware"),
]


@pytest.mark.parametrize(('hls_config', 'message'), CONFIGS, ids=[str(c) for c, _ in CONFIGS])
def test_hls_config(hls_config, message, model, tmp_path):
    with pytest.raises(ConversionError) as error:
        convert(model, tmp_path / 'p', hls_config=hls_config)
    assert str(error.value).startswith(message)
    assert len(str(error.value).splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    'hls_config',
    [
        None,
        {},
        {'Model': None, 'LayerName': None},
        {'Model': {'ReuseFactor': np.int64(2), 'WeightStorage': 'bram', 'Precision': 'fixed<16,6>', 'Exact': True}},
        {'LayerName': {'conv': {'ReuseFactor': np.int32(2), 'Trace': np.bool_(True)}, 'ode/pw': {'ReuseFactor': 2}}},
        {'LayerName': {'conv': {'ReuseFactor': 2, 'MultImpl': None}, 'image': {}, 'rounded': {'Trace': False}}},
    ],
)
def test_what_is_accepted(hls_config, model, tmp_path):
    before = copy.deepcopy(hls_config)
    hls_model = convert(model, tmp_path / 'p', hls_config=hls_config)
    wants_two = str(before).count('ReuseFactor') > 0
    assert hls_model.graph['conv'].reuse == (2 if wants_two else 1)
    assert hls_config == before


def test_what_config_from_model_writes_is_accepted(model, tmp_path):
    config = hls4ml_ext.config_from_model(model, default_reuse_factor=np.int64(2))
    assert type(config['Model']['ReuseFactor']) is int
    config = yaml.safe_load(yaml.safe_dump(config))  # only plain values
    hls_model = convert(model, tmp_path / 'p', hls_config=config)
    assert {n.layer_name: n.reuse for n in hls_model.get_layers() if hasattr(n, 'reuse')}.items() >= {('conv', 2)}


def test_every_setting_reaches_the_hardware(model, tmp_path):
    """What config_from_model lists for a layer is what the layer reads, and no key is read by none."""
    names = hls4ml_ext.config_from_model(model)['LayerName']
    read = {key for settings in names.values() for key in settings}
    assert read == {field.alias for field in NamedLayer.model_fields.values()}


# ---------------------------------------------------------------------------------------------------------------------
# Arguments
# ---------------------------------------------------------------------------------------------------------------------

ARGUMENTS = [
    ({'clok_period': 3}, "clok_period: unknown argument. Did you mean 'clock_period'?"),
    ({'hls_confg': {}}, "hls_confg: unknown argument. Did you mean 'hls_config'?"),
    ({'board': 'zcu104'}, 'board: unknown argument. Known arguments: backend, io_type, part, clock_period, '),
    ({'clock_period': -5}, 'clock_period is -5. It must be more than 0'),
    ({'clock_period': np.float64(-0.5)}, 'clock_period is -0.5. It must be more than 0'),
    ({'clock_period': float('nan')}, 'clock_period is nan. It must be more than 0'),
    ({'clock_period': '5; exec rm'}, "clock_period is '5; exec rm'. It must be a number"),
    ({'clock_period': True}, 'clock_period is True. It must be a number'),
    ({'clock_uncertainty': '[exec rm]'}, "clock_uncertainty is '[exec rm]'. Use a share of the period, such as '27%'"),
    ({'part': 'x"; exec rm; "'}, 'part is \'x"; exec rm; "\'. It may have letters, digits, dashes and underscores only'),
    ({'part': '[exec rm]'}, "part is '[exec rm]'. It may have letters, digits, dashes and underscores only"),
    ({'part': '-xc7'}, "part is '-xc7'. It may have"),
    ({'part': 'xc7\n'}, "part is 'xc7\\n'. It may have"),
    ({'part': ''}, "part is ''. It may have"),
    ({'part': 7}, 'part is 7. It must be a string'),
    ({'version': '1.0"'}, "version is '1.0\"'. It may have letters, digits, dots, dashes and underscores only"),
    ({'io_type': 3}, "io_type is 3. Use 'io_stream' or 'io_parallel'"),
    ({'project_name': 5}, 'project_name is 5. It must be a string'),
    (
        {'project_name': 'EOF'},
        "project_name is 'EOF'. Use letters, digits and single underscores, a lower-case letter among",
    ),
    ({'project_name': 'nnet'}, "project_name is 'nnet'. Use letters"),
    ({'project_name': 'parameters'}, "project_name is 'parameters'. Use letters"),
    ({'project_name': 'output'}, "project_name is 'output'. Use letters"),
    ({'namespace': 'std'}, "namespace is 'std'. Use letters"),
    ({'namespace': 'a b'}, "namespace is 'a b'. Use letters"),
    ({'namespace': 'myproject'}, "namespace: 'myproject' is the name of the project, too. Use another one"),
    ({'write_tar': 'no'}, "write_tar is 'no'. It must be True or False"),
    ({'tb_output_stream': 'none'}, "tb_output_stream is 'none'. Use one of stdout, file, both"),
    ({'input_data_tb': 'none.npy'}, "input_data_tb is 'none.npy'. There is no such file"),
    ({'output_data_tb': __file__}, f'output_data_tb is {__file__!r}. Use an .npy or a .dat file'),
    ({'backend': 'Vivado', 'write_emulation_constants': True}, 'write_emulation_constants: the Vivado backend has none.'),
    ({'output_dir': 3}, 'output_dir is 3. It must be a string'),
]


@pytest.mark.parametrize(('arguments', 'message'), ARGUMENTS, ids=[str(a) for a, _ in ARGUMENTS])
def test_arguments(arguments, message, tmp_path):
    """They are refused before the model is looked at."""
    with pytest.raises(SettingsError) as error:
        hls4ml_ext.convert(None, **{'output_dir': tmp_path / 'p', **arguments})
    assert str(error.value).startswith(message)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'default_reuse_factor': 0}, 'default_reuse_factor is 0. It must be at least 1'),
        ({'default_reuse_factor': 'many'}, "default_reuse_factor is 'many'. It must be an integer"),
        ({'backend': 'Quartus'}, "backend is 'Quartus'. Use one of Vivado, Vitis, RTL"),
        ({'granularity': 'type'}, "granularity is 'type'. Use 'name' or 'model'"),
    ],
)
def test_arguments_of_config_from_model(arguments, message):
    with pytest.raises(SettingsError) as error:
        hls4ml_ext.config_from_model(None, **arguments)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ('given', 'message'),
    [
        (None, 'model is None. Give a keras.Model of Keras 3'),
        (
            'model.keras',
            "model is a path, 'model.keras'. Load it first: model = hls4ml_ext.load_model('model.keras')",
        ),
        (Path('model.keras'), "model is a path, 'model.keras'. Load it first"),
        (np.zeros(2), 'model is array([0., 0.]), of class numpy.ndarray. Give a keras.Model'),
        (keras.layers.Dense, "model is <class 'keras.src.layers.core.dense.Dense'>, of class builtins.type. Give a "),
    ],
)
def test_no_models(given, message, tmp_path):
    for function in (lambda: hls4ml_ext.convert(given, tmp_path / 'p'), lambda: hls4ml_ext.config_from_model(given)):
        with pytest.raises(SettingsError) as error:
            function()
        assert str(error.value).startswith(message)


def test_the_directory_comes_first(tmp_path):
    (tmp_path / 'p').write_text('mine')
    with pytest.raises(ProjectError, match='is a file. Choose another one'):
        hls4ml_ext.convert(None, output_dir=tmp_path / 'p', hls_config=3)
    with pytest.raises(ProjectError, match=f"can't be made: '{tmp_path}/p' is a file. Choose another one"):
        hls4ml_ext.convert(None, output_dir=tmp_path / 'p' / 'q', hls_config=3)


def test_none_is_the_default(model, tmp_path):
    names = ('io_type', 'part', 'clock_period', 'clock_uncertainty', 'namespace', 'project_name')
    hls_model = hls4ml_ext.convert(model, tmp_path / 'p', hls_config=None, **dict.fromkeys(names))
    config = hls_model.config.config
    assert (config['IOType'], config['Part'], config['ProjectName']) == ('io_stream', 'xczu7ev-ffvc1156-2-e', 'myproject')
    assert (config['ClockPeriod'], config['ClockUncertainty']) == (5, '27%')


def test_a_relative_directory_stays_where_it_is(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hls_model = hls4ml_ext.convert(model, 'p')
    (tmp_path / 'elsewhere').mkdir()
    monkeypatch.chdir('elsewhere')
    quietly(hls_model.write)
    assert (tmp_path / 'p/firmware/myproject.cpp').is_file()


def test_test_bench_data_may_be_a_path(model, tmp_path):
    np.save(tmp_path / 'x.npy', np.zeros((1, 4, 4, 2)))
    hls_model = convert(model, tmp_path / 'p', input_data_tb=tmp_path / 'x.npy')
    quietly(hls_model.write)
    assert (tmp_path / 'p/tb_data/tb_input_features.dat').is_file()


# ---------------------------------------------------------------------------------------------------------------------
# hls4ml's own functions
# ---------------------------------------------------------------------------------------------------------------------


def stock(model, directory, hls_config, **kwargs):
    """hls4ml's own converter, asked for the exact graph."""
    import hls4ml

    hls_config['Model']['Exact'] = True
    return quietly(
        hls4ml.converters.convert_from_keras_model,
        model, hls_config=hls_config, output_dir=str(directory), backend='Vitis', io_type='io_stream',
        allow_da_fallback=False, **kwargs,
    )  # fmt: skip


def stock_config(model, granularity='name'):
    import hls4ml

    return quietly(hls4ml.utils.config_from_keras_model, model, granularity=granularity, backend='Vitis')


def test_what_config_from_keras_model_writes_is_accepted(model, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter('error', UserWarning)
        for granularity in ('name', 'model'):
            stock(model, tmp_path / 'p', stock_config(model, granularity))
    config = stock_config(model)
    config['LayerName']['conv']['ReuseFactor'] = 2
    config['LayerName']['ode.pw'] = {'ReuseFactor': 2}
    hls_model = stock(model, tmp_path / 'p', config)
    assert (hls_model.graph['conv'].reuse, hls_model.graph['dense'].reuse) == (2, 1)
    assert next(n for n in hls_model.graph['ode'].inner_layers() if n.name == 'ode.pw').reuse == 2


def test_stock_types_are_not_read(model, tmp_path):
    with pytest.warns(UserWarning, match="hls_config: exact layers don't read LayerType. Set them in LayerName or Model"):
        stock(model, tmp_path / 'p', stock_config(model, 'type'))


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'conv': {'ReuseFacto': 2}}, "hls_config.LayerName.conv.ReuseFacto: unknown key. Did you mean 'ReuseFactor'?"),
        ({'conv': {'ReuseFactor': 0}}, "layer 'conv': ReuseFactor is 0. It must be at least 1"),
        ({'ode.pw': {'StateStorage': 'bram'}}, "layer 'ode.pw': hls_config sets StateStorage, which it does not read"),
        ({'rounded': {'Trace': True}}, "layer 'rounded': hls_config sets Trace, but it has no hardware of its own"),
        ({'convolution': {'ReuseFactor': 2}}, "layer 'convolution': hls_config sets it, but the model has no such layer"),
    ],
)
def test_mistakes_in_stock_configs(changes, message, model, tmp_path):
    config = stock_config(model)
    for name, settings in changes.items():
        config['LayerName'].setdefault(name, {}).update(settings)
    with pytest.raises(ConversionError) as error:
        stock(model, tmp_path / 'p', config)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'part': 'x"; exec rm; "'}, "part is 'x"),
        ({'clock_period': -1}, 'clock_period is -1. It must be more than 0'),
        ({'clock_uncertainty': '[exec rm]'}, 'clock_uncertainty is '),
        ({'namespace': 'a b'}, "namespace is 'a b'"),
        ({'project_name': 'EOF'}, "project_name is 'EOF'"),
    ],
)
def test_arguments_of_the_stock_api(arguments, message, model, tmp_path):
    with pytest.raises(SettingsError) as error:
        stock(model, tmp_path / 'p', {'Model': {}}, **arguments)
    assert str(error.value).startswith(message)


# ---------------------------------------------------------------------------------------------------------------------
# Project files
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('hls', 'message'),
    [
        ({'part': 'x"; exec rm; "'}, 'hls.part: \'x"; exec rm; "\' may have letters, digits, dashes and underscores only'),
        ({'part': '[exec rm]'}, "hls.part: '[exec rm]' may have letters, digits, dashes and underscores only"),
        ({'part': ''}, "hls.part: '' may have letters, digits, dashes and underscores only"),
        ({'clock_period': True}, 'hls.clock_period: True is not a number'),
        ({'layers': ['ode1']}, "hls.layers: ['ode1'] is not a group of keys"),
        ({'layers': {'ode1': {'ReuseFactor': 2}}}, "hls.layers.ode1.ReuseFactor: unknown key. Did you mean 'reuse_factor'?"),
        (
            {'layers': {'ode1': {'trace': True}}},
            'hls.layers.ode1.trace: unknown key. Known keys: reuse_factor, simd, pe',
        ),
        ({'layers': {'ode1': {'precision': 2}}}, 'hls.layers.ode1.precision: unknown key. Known keys: reuse_factor, '),
        ({'layers': {3: {}}}, 'not YAML in line 4: key 3 is not a name'),
    ],
)
def test_project_files(hls, message, tmp_path):
    path = tmp_path / 'p.yml'
    project = {'data': 'digits', 'model': {'builder': 'ode_mhsa', 'preset': '8x8'}, 'training': 'none', 'hls': hls}
    path.write_text(yaml.safe_dump(project))
    with pytest.raises(ProjectError) as error:
        load_project(path)
    assert str(error.value).startswith(f'{path}: {message}')


def test_a_key_has_one_name_in_yaml_and_one_in_python(model, tmp_path):
    settings = {'simd': 1, 'pe': 2, 'weight_storage': 'bram', 'mult_impl': 'dsp'}
    assert set(LayerSettings.model_fields) == {*settings, 'reuse_factor', 'state_storage'}
    layers = {'conv': settings, 'ode': {'state_storage': 'lutram'}}
    config = Hardware(layers=layers).hls_config()
    assert config['LayerName'] == {
        'conv': {'SIMD': 1, 'PE': 2, 'WeightStorage': 'bram', 'MultImpl': 'dsp'},
        'ode': {'StateStorage': 'lutram'},
    }
    conv = convert(model, tmp_path / 'p', hls_config=config).graph['conv']
    assert conv.settings == {**config['LayerName']['conv'], 'ReuseFactor': conv.reuse}


# ---------------------------------------------------------------------------------------------------------------------
# Messages
# ---------------------------------------------------------------------------------------------------------------------


def test_values_are_shown_as_python_has_them():
    assert shown(np.float64(0.5)) == '0.5'
    assert shown([np.int64(3), (np.float32(0.5), np.bool_(True))]) == '[3, (0.5, True)]'
    assert shown({np.str_('a'): np.int8(1)}) == "{'a': 1}"
    assert shown('x' * 500) == "'" + 'x' * 76 + '...'
    assert plain({'a': [np.int64(3)]}) == {'a': [3]} and type(plain(np.float64(3))) is float
    assert shown(None) == 'None'


REPLACED = {
    'Conv2D': (lambda k: k.layers.Conv2D(2, 3), 'Use QConv2D'),
    'DepthwiseConv2D': (lambda k: k.layers.DepthwiseConv2D(3), 'Use QDepthwiseConv2D'),
    'Dense': (lambda k: k.layers.Dense(3), 'Use QDense'),
    'SeparableConv2D': (lambda k: k.layers.SeparableConv2D(3, 3), 'Use QDepthwiseConv2D, QActivation and QConv2D of size 1'),
    'LayerNormalization': (lambda k: k.layers.LayerNormalization(), 'Use hls4ml_ext.QLayerNormalization'),
    'Softmax': (lambda k: k.layers.Softmax(), 'Leave it out: the model ends with logits'),
    'LeakyReLU': (lambda k: k.layers.LeakyReLU(), "Use QActivation('quantized_relu(bits,integer)')"),
}


@pytest.mark.parametrize('kind', list(REPLACED))
def test_what_to_use_instead(kind, tmp_path):
    build, remedy = REPLACED[kind]
    with pytest.raises(ConversionError, match=f'there is no exact hardware for layers of class {kind}. ') as error:
        convert(branches((6, 6, 4), {'a': build(keras)}), tmp_path / 'p')
    assert error.value.remedy.startswith(remedy)


def test_attention_of_keras(tmp_path):
    inputs = keras.Input((4, 6))
    x = QActivation(INPUT, name='q')(inputs)
    model = keras.Model(inputs, keras.layers.MultiHeadAttention(1, 2, name='mha')(x, x))
    with pytest.raises(ConversionError, match='class MultiHeadAttention. Use hls4ml_ext.MultiHeadSelfAttention2D'):
        convert(model, tmp_path / 'p')


def test_classes_of_ones_own_have_no_replacement(tmp_path):
    class Conv2D(keras.layers.Conv2D):
        pass

    with pytest.raises(ConversionError, match='layers of class Conv2D. Use one of Activation, .* docs/extend.md'):
        convert(branches((6, 6, 4), {'a': Conv2D(2, 3)}), tmp_path / 'p')


def test_replacements_exist():
    """Every class that is named for a replacement is one that converts."""
    from hls4ml_ext.layers.core.builder import REPLACEMENTS
    from hls4ml_ext.registry import lowerings

    known = {name.rsplit('.', 1)[-1] for name in lowerings()}
    named = {w.strip('.,()').split('(')[0] for text in REPLACEMENTS.values() for w in text.replace('.Q', ' Q').split()}
    assert {w for w in named if w.startswith('Q')} <= known


STEPS = [
    (1e30, 8, 'too large: 1.00026e+30. Use a smaller step_size'),
    (np.float64(2.0**40), None, 'too large: 1.09951e+12. Use a smaller step_size'),
    (-1e-30, 8, 'too small: 9.98402e-31. Use a larger step_size'),
    (0.1, None, 'too fine: 0.1 needs 55 fractional bits. Set coefficient_bits, for instance to 8'),
    (0.1, 30, 'too fine: 0.1 needs 33 fractional bits. Use fewer coefficient_bits'),
]


@pytest.mark.parametrize(('step_size', 'bits', 'message'), STEPS)
def test_step_sizes(step_size, bits, message, tmp_path):
    dynamics = [QActivation(INPUT), QConv2D(1, 1, kernel_quantizer=W, bias_quantizer=B), QActivation(INPUT)]
    block = hls4ml_ext.ODEBlock(dynamics, 1, step_size=step_size, state_quantizer=STATE, coefficient_bits=bits, name='ode')
    with pytest.raises(ConversionError) as error:
        convert(branches((3, 3, 1), {'ode': block}), tmp_path / 'p')
    assert str(error.value) == f"layer 'ode': a coefficient of the solver is {message}"


def test_coefficients_that_are_far_apart(tmp_path):
    a = 2.0**20
    solver = hls4ml_ext.Solver('far', a=((), (a,)), b=(1 - 2.0**-20, 2.0**-20), c=(0.0, a), order=1)
    dynamics = [QActivation(INPUT), QConv2D(1, 1, kernel_quantizer=W, bias_quantizer=B), QActivation(INPUT)]
    block = hls4ml_ext.ODEBlock(dynamics, 1, solver=solver, state_quantizer=STATE, name='ode')
    message = 'too fine: 9.53674e-07 needs 20 fractional bits beside 1.04858e[+]06. Use fewer coefficient_bits'
    with pytest.raises(ConversionError, match=message):
        convert(branches((3, 3, 1), {'ode': block}), tmp_path / 'p')


def test_no_numpy_in_messages():
    with pytest.raises(hls4ml_ext.ExtError) as error:
        hls4ml_ext.fixed.fraction_bits(np.array([1e-300]))
    assert str(error.value) == '1e-300 is not a fixed-point number'
    with pytest.raises(ValueError, match='step_size is nan. Use a finite number other than 0'):
        hls4ml_ext.ODEBlock([keras.layers.Identity()], 1, step_size=np.float64('nan'), name='ode')
    with pytest.raises(ValueError, match='n_steps is 0.5. Use an integer'):
        hls4ml_ext.ODEBlock([keras.layers.Identity()], np.float64(0.5), name='ode')
    with pytest.raises(ValueError, match='logit_scale is 0.3. Use a power of two'):
        hls4ml_ext.MultiHeadSelfAttention2D(1, 2, logit_scale=np.float64(0.3))
    with pytest.raises(ValueError, match='epsilon is -1.0. Use a positive number'):
        hls4ml_ext.QLayerNormalization(epsilon=np.float64(-1))
