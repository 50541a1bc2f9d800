"""What a written project says otherwise than hls4ml's templates: flags of the vendor's compiler, conversions of numbers."""

import re

import cpp
import pytest
from exactness import branches, convert, quietly
from qkeras import QActivation

from hls4ml_ext.errors import ExtError
from hls4ml_ext.layers.core import ExactLayer
from hls4ml_ext.passes.templates import Bridge


@pytest.mark.parametrize('backend', ['Vitis', 'Vivado'])
def test_flags_of_the_vendors_compiler(backend, tmp_path):
    hls_model = convert(
        branches((2, 2, 2), {'a': QActivation('quantized_relu(4,1)', name='a')}), tmp_path / 'p', backend=backend
    )
    assert any(isinstance(n, ExactLayer) for n in hls_model.get_layers())
    quietly(hls_model.write)
    flags = re.findall(r'-cflags "(.*?)"', (tmp_path / 'p' / 'build_prj.tcl').read_text())
    assert len(flags) == 3
    assert all(flag.startswith('-std=c++14 -DHLS4ML_EXT_AP_INT') for flag in flags)
    bridge = (tmp_path / 'p' / 'myproject_bridge.cpp').read_text()
    assert 'nnet::ext::convert_data<float, input_t' in bridge
    assert 'nnet::convert_data' not in bridge


def test_a_template_without_it_is_refused(tmp_path, monkeypatch):
    """Another version of hls4ml may write something else: that is said, not passed over."""
    monkeypatch.setattr(Bridge, 'changes', (('nnet::cast_data<', 'nnet::ext::convert_data<'),))
    hls_model = convert(branches((2, 2, 2), {'a': QActivation('quantized_relu(4,1)', name='a')}), tmp_path / 'p')
    with pytest.raises(ExtError, match="myproject_bridge.cpp.*lacks 'nnet::cast_data<'.*Install the version of hls4ml"):
        quietly(hls_model.write)


NUMBERS = r"""
#include "nnet_bridge_ext.h"
#include <cstdio>
#include <random>

template <class T, class number_T> int differences(number_T x) {
    const T expected(x);
    const T is = nnet::ext::from_number<T>(x);
    const bool back = number_T(expected) == nnet::ext::to_number<number_T>(expected);
    if (!(is == expected) || !back)
        std::printf("%a: %a, expected %a\n", double(x), double(is), double(expected));
    return !(is == expected) || !back;
}

template <class T> int check() {
    std::mt19937_64 random(1);
    const double unit = 1 / double(T(1).to_double() == 0 ? 1 : 16);
    int wrong = 0;
    for (int i = 0; i < 3000; i++) { // whole, half and quarter steps around zero and both ends, and what is just beside
        const double x = (i - 1500) * unit / 64;
        for (double y : {x, std::nextafter(x, 1e9), std::nextafter(x, -1e9)})
            wrong += differences<T>(y) + differences<T>(float(y));
    }
    for (int i = 0; i < 3000; i++) {
        const double x = std::ldexp(double(int64_t(random())), int(random() % 60) - 80);
        wrong += differences<T>(x) + differences<T>(float(x));
    }
    for (double x : {0., -0., 1e300, -1e300, 1e-300, -1e-300, 2147483648., -2147483649., 0.49999999999999994, 1e18})
        wrong += differences<T>(x) + differences<T>(float(x));
    return wrong;
}

template <int W, int I> int modes() {
    return check<ap_fixed<W, I, AP_TRN, AP_SAT>>() + check<ap_fixed<W, I, AP_RND, AP_SAT>>() +
           check<ap_fixed<W, I, AP_RND_CONV, AP_SAT>>() + check<ap_fixed<W, I, AP_RND_CONV, AP_SAT_SYM>>() +
           check<ap_fixed<W, I, AP_TRN, AP_WRAP>>() + check<ap_fixed<W, I, AP_RND_ZERO, AP_SAT>>() +
           check<ap_ufixed<W, I, AP_TRN, AP_SAT>>() + check<ap_ufixed<W, I, AP_RND, AP_SAT>>() +
           check<ap_ufixed<W, I, AP_RND_CONV, AP_SAT>>();
}

int main() {
    const int wrong = modes<8, 1>() + modes<4, 4>() + modes<1, 1>() + modes<12, 14>() + modes<16, -3>() + modes<33, 7>();
    std::printf("%d differences\n", wrong);
    return 0;
}
"""


@pytest.mark.parametrize('flags', [(), (cpp.HARDWARE_INTEGERS,)], ids=['native', 'hardware'])
def test_conversions_equal_those_of_ap_fixed(flags, precompiled, tmp_path):
    """Of every rounding and saturation mode, at ties, ends and the numbers beside them; and back to Python."""
    source = tmp_path / 'numbers.cpp'
    source.write_text(NUMBERS)
    project = tmp_path / 'p'
    quietly(convert(branches((2, 2, 2), {'a': QActivation('quantized_relu(4,1)', name='a')}), project).write)
    folders = [f'-I{project / "firmware/nnet_utils"}', f'-I{cpp.ap_types()}']
    cpp.run(['g++', *cpp.FLAGS, '-include', precompiled, *flags, *folders, source, '-o', tmp_path / 'numbers'])
    assert cpp.run([tmp_path / 'numbers']) == '0 differences\n'
