#ifndef NNET_EXT_POOLING_H_
#define NNET_EXT_POOLING_H_

// Pooling. An average is a sum times a fixed-point number, CONFIG_T::scale (stored integer with scale_frac fractional bits):
// 1 / pool_size where that is a power of two, else what the model's average quantizer makes of it. The sum is exact; the
// product is rounded once, by the type of the result.
//
//   pool_taps      behind a window: cycles one for each tap of each output beat; one multiplier a lane unless the scale is a
//                  power of two; storage one sum a lane
//   global_pool2d  on a stream of beats: cycles (n_pixels + 1) * n_chan / lanes, the last n_chan / lanes of them for the
//                  results; one multiplier a lane unless the scale is a power of two; storage sums: n_chan / lanes words of
//                  lanes sums, one read and one write a cycle. Feedback is one addition or comparison.

#include "nnet_window_ext.h"

namespace nnet {
namespace ext {

enum pool_op { pool_max, pool_average };

// scale * sum, rounded to the type of the result.
template <class res_T, typename CONFIG_T> inline res_T scaled(const int_t<CONFIG_T::sum_width> &sum) {
    #pragma HLS INLINE
    const int_t<CONFIG_T::scale_width, false> scale = CONFIG_T::scale;
    const int_t<CONFIG_T::acc_width> product = multiply<CONFIG_T::acc_width, CONFIG_T::multiplier>::call(sum, scale);
    return requantize<res_T, CONFIG_T::acc_width, CONFIG_T::acc_frac>(product);
}

// The taps of a window come one by one, groups of lanes one after the other.
template <class data_T, class res_T, typename CONFIG_T> void pool_taps(hls::stream<data_T> &data, hls::stream<res_T> &res) {
    typedef int_t<CONFIG_T::sum_width> sum_T;
    const int lanes = res_T::size;
    sum_T sums[lanes];
    #pragma HLS ARRAY_PARTITION variable=sums complete
    int tap = 0;

pool_taps_cycles:
    for (int t = 0; t < CONFIG_T::n_outputs * CONFIG_T::n_taps; t++) {
        #pragma HLS PIPELINE II=1 style=flp
        const data_T beat = data.read();
        for (int c = 0; c < lanes; c++) {
            #pragma HLS UNROLL
            const sum_T x = lane_of(beat, c);
            if (tap == 0)
                sums[c] = x;
            else if (CONFIG_T::op == pool_average)
                sums[c] = sums[c] + x;
            else
                sums[c] = x > sums[c] ? x : sums[c];
        }
        if (tap == CONFIG_T::n_taps - 1) {
            res_T beat_out;
            for (int c = 0; c < lanes; c++) {
                #pragma HLS UNROLL
                beat_out[c] = scaled<typename res_T::value_type, CONFIG_T>(sums[c]);
            }
            res.write(beat_out);
        }
        tap = tap == CONFIG_T::n_taps - 1 ? 0 : tap + 1;
    }
}

template <class data_T, class res_T, typename CONFIG_T>
void global_pool2d(hls::stream<data_T> &data, hls::stream<res_T> &res,
                   int_t<CONFIG_T::sum_width> sums[CONFIG_T::n_chan / CONFIG_T::lanes][CONFIG_T::lanes]) {
    typedef int_t<CONFIG_T::sum_width> sum_T;
    const int lanes = CONFIG_T::lanes;
    const int words = CONFIG_T::n_chan / lanes; // of a pixel
    // The sums of a word are read again for the next pixel.
    #pragma HLS DEPENDENCE variable=sums inter RAW distance=words true
    int pixel = 0, word = 0;

global_pool2d_pixels:
    for (int t = 0; t < CONFIG_T::n_pixels * words; t++) {
        #pragma HLS PIPELINE II=1 style=flp
        const data_T beat = data.read();
        for (int c = 0; c < lanes; c++) {
            #pragma HLS UNROLL
            const sum_T x = lane_of(beat, c);
            sum_T sum = x;
            if (pixel > 0) {
                const sum_T before = sums[word][c];
                if (CONFIG_T::op == pool_average)
                    sum = before + x;
                else
                    sum = x > before ? x : before;
            }
            sums[word][c] = sum;
        }
        pixel = word == words - 1 ? pixel + 1 : pixel;
        word = word == words - 1 ? 0 : word + 1;
    }

global_pool2d_results:
    for (int t = 0; t < words; t++) {
        #pragma HLS PIPELINE II=1 style=flp
        res_T beat_out;
        for (int c = 0; c < lanes; c++) {
            #pragma HLS UNROLL
            beat_out[c] = scaled<typename res_T::value_type, CONFIG_T>(sums[t][c]);
        }
        res.write(beat_out);
    }
}

} // namespace ext
} // namespace nnet

#endif
