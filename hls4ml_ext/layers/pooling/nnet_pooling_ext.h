#ifndef NNET_EXT_POOLING_H_
#define NNET_EXT_POOLING_H_

// Pooling on a stream of pixels. An average is a sum times a fixed-point number, CONFIG_T::scale (stored integer with
// scale_frac fractional bits): 1 / pool_size where that is a power of two, else what the model's average quantizer makes
// of it. The sum is exact; the product is rounded once, by the type of the result.
//
//   pool_taps      behind a window: cycles one for each tap of each output beat, one multiplier a lane unless the scale is a
//                  power of two; storage one accumulator a lane
//   global_pool2d  cycles n_pixels, n_chan multipliers likewise, storage n_chan accumulators

#include "nnet_window_ext.h"

namespace nnet {
namespace ext {

enum pool_op { pool_max, pool_average };

// The taps of a window come one by one, groups of lanes one after the other.
template <class data_T, class res_T, typename CONFIG_T> void pool_taps(hls::stream<data_T> &data, hls::stream<res_T> &res) {
    typedef typename data_T::value_type in_T;
    typedef int_t<CONFIG_T::acc_width> acc_T;
    const int lanes = res_T::size;
    acc_T acc[lanes];
    #pragma HLS ARRAY_PARTITION variable=acc complete
    int tap = 0;

pool_taps_cycles:
    for (int t = 0; t < CONFIG_T::n_outputs * CONFIG_T::pool_taps; t++) {
        #pragma HLS PIPELINE II=1 style=flp
        const data_T beat = data.read();
        res_T beat_out;
        for (int c = 0; c < lanes; c++) {
            #pragma HLS UNROLL
            const acc_T x = to_stored(beat[c]);
            if (tap == 0)
                acc[c] = x;
            else if (CONFIG_T::op == pool_average)
                acc[c] = acc[c] + x;
            else
                acc[c] = x > acc[c] ? x : acc[c];
            beat_out[c] =
                requantize<typename res_T::value_type, CONFIG_T::acc_width, fixed_traits<in_T>::frac + CONFIG_T::scale_frac>(
                    acc_T(acc[c] * CONFIG_T::scale));
        }
        if (tap == CONFIG_T::pool_taps - 1)
            res.write(beat_out);
        tap = tap == CONFIG_T::pool_taps - 1 ? 0 : tap + 1;
    }
}

template <class data_T, class res_T, typename CONFIG_T>
void global_pool2d(hls::stream<data_T> &data, hls::stream<res_T> &res) {
    typedef typename data_T::value_type in_T;
    typedef int_t<CONFIG_T::acc_width> acc_T;

    acc_T acc[CONFIG_T::n_chan];
    #pragma HLS ARRAY_PARTITION variable=acc complete
    res_T result;

global_pool2d_pixels:
    for (int i = 0; i < CONFIG_T::n_pixels; i++) {
        #pragma HLS PIPELINE II=1
        data_T pixel = data.read();
        for (int c = 0; c < CONFIG_T::n_chan; c++) {
            #pragma HLS UNROLL
            const acc_T x = to_stored(pixel[c]);
            if (i == 0)
                acc[c] = x;
            else if (CONFIG_T::op == pool_average)
                acc[c] = acc[c] + x;
            else
                acc[c] = x > acc[c] ? x : acc[c];
            result[c] =
                requantize<typename res_T::value_type, CONFIG_T::acc_width, fixed_traits<in_T>::frac + CONFIG_T::scale_frac>(
                    acc_T(acc[c] * CONFIG_T::scale));
        }
    }
    res.write(result);
}

} // namespace ext
} // namespace nnet

#endif
