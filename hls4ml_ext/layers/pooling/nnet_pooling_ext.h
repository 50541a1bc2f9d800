#ifndef NNET_EXT_POOLING_H_
#define NNET_EXT_POOLING_H_

// Pooling on a stream of pixels. An average is a sum times a fixed-point number, CONFIG_T::scale (stored integer with
// scale_frac fractional bits): 1 / pool_size where that is a power of two, else what the model's average quantizer makes
// of it. The sum is exact; the product is rounded once, by the type of the result.
//
//   pool2d         cycles n_positions, n_chan multipliers unless the scale is a power of two,
//                  storage (filt_height - 1) * in_width pixels in the line buffer
//   global_pool2d  cycles n_pixels, n_chan multipliers likewise, storage n_chan accumulators

#include "nnet_sliding_window.h"

namespace nnet {
namespace ext {

enum pool_op { pool_max, pool_average };

template <class data_T, class res_T, typename CONFIG_T> void pool2d(hls::stream<data_T> &data, hls::stream<res_T> &res) {
    typedef sliding_window<CONFIG_T> slide;
    typedef typename data_T::value_type in_T;
    typedef stored_t<in_T> x_T;
    typedef int_t<CONFIG_T::acc_width> acc_T;

    x_T line[slide::n_lines][CONFIG_T::in_width][CONFIG_T::n_chan];
    #pragma HLS ARRAY_PARTITION variable=line complete dim=1
    #pragma HLS ARRAY_RESHAPE variable=line complete dim=3
    // A pixel is written where it was read; the next access to that address is a row later.
    const int line_distance = CONFIG_T::in_width;
    #pragma HLS DEPENDENCE variable=line inter RAW distance=line_distance true
    (void)line_distance; // only the pragma uses it
    x_T window[CONFIG_T::filt_height][CONFIG_T::filt_width][CONFIG_T::n_chan];
    #pragma HLS ARRAY_PARTITION variable=window complete dim=0

    int col_in = 0;
    next_output<CONFIG_T> output;

pool2d_positions:
    for (int pos = 0; pos < slide::n_positions; pos++) {
        #pragma HLS PIPELINE II=1
        enter_pixel<x_T, CONFIG_T>(data, line, window, pos, col_in);
        col_in = col_in == CONFIG_T::in_width - 1 ? 0 : col_in + 1;

        if (output.ready(pos)) {
            res_T pixel_out;
            for (int c = 0; c < CONFIG_T::n_chan; c++) {
                #pragma HLS UNROLL
                acc_T acc = 0;
                bool first = true;
                for (int k = 0; k < CONFIG_T::filt_height; k++) {
                    #pragma HLS UNROLL
                    for (int j = 0; j < CONFIG_T::filt_width; j++) {
                        #pragma HLS UNROLL
                        if (slide::inside(output.row, output.col, k, j)) {
                            const acc_T x = window[k][j][c];
                            if (CONFIG_T::op == pool_average)
                                acc = acc + x;
                            else
                                acc = first || x > acc ? x : acc;
                            first = false;
                        }
                    }
                }
                pixel_out[c] = requantize<typename res_T::value_type, CONFIG_T::acc_width,
                                          fixed_traits<in_T>::frac + CONFIG_T::scale_frac>(acc_T(acc * CONFIG_T::scale));
            }
            res.write(pixel_out);
            output.advance();
        }
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
