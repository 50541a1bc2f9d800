#ifndef NNET_EXT_QUANTIZE_H_
#define NNET_EXT_QUANTIZE_H_

// An activation quantizer that no kernel before it could absorb: rounds each element to the type of the result. A ReLU is
// the same thing, into an unsigned saturating type.
//
//   cycles n_beats; no multipliers; no storage

#include "nnet_ext.h"

namespace nnet {
namespace ext {

template <class data_T, class res_T, typename CONFIG_T> void quantize(hls::stream<data_T> &data, hls::stream<res_T> &res) {
    typedef fixed_traits<typename data_T::value_type> in;
    const int width = in::width + !in::is_signed;

quantize_beats:
    for (int i = 0; i < CONFIG_T::n_beats; i++) {
        #pragma HLS PIPELINE II=1 style=flp
        const data_T beat = data.read();
        res_T beat_out;
        for (unsigned c = 0; c < res_T::size; c++) {
            #pragma HLS UNROLL
            beat_out[c] = requantize<typename res_T::value_type, width, in::frac>(int_t<width>(to_stored(beat[c])));
        }
        res.write(beat_out);
    }
}

} // namespace ext
} // namespace nnet

#endif
