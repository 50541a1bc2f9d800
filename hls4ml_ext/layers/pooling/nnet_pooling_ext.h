#ifndef NNET_EXT_POOLING_H_
#define NNET_EXT_POOLING_H_

// Pooling. An average is a sum times a fixed-point number, CONFIG_T::scale (stored integer with scale_frac fractional bits):
// 1 / pool_size where that is a power of two, else what the model's average quantizer makes of it. The sum is exact; the
// product is rounded once, by the type of the result.
//
//   pool2d         on a stream of pixels: cycles n_positions, n_chan multipliers unless the scale is a power of two,
//                  storage (filt_height - 1) * in_width pixels in the line buffer
//   global_pool2d  on a stream of beats: cycles (n_pixels + 1) * n_chan / lanes, the last n_chan / lanes of them for the
//                  results; one multiplier a lane unless the scale is a power of two; storage n_chan sums in a shift
//                  register. Feedback from one cycle to the next is one addition or comparison.

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

// Moves the words of a shift register up by one; the last one is free then.
template <class T, int WORDS, int LANES> inline void move_up(T words[WORDS][LANES]) {
    #pragma HLS INLINE
    for (int k = 0; k < WORDS - 1; k++) {
        #pragma HLS UNROLL
        for (int c = 0; c < LANES; c++) {
            #pragma HLS UNROLL
            words[k][c] = words[k + 1][c];
        }
    }
}

template <class data_T, class res_T, typename CONFIG_T>
void global_pool2d(hls::stream<data_T> &data, hls::stream<res_T> &res) {
    typedef typename data_T::value_type in_T;
    typedef int_t<CONFIG_T::sum_width> sum_T;
    typedef int_t<CONFIG_T::acc_width> acc_T;
    const int lanes = CONFIG_T::lanes;
    const int words = CONFIG_T::n_chan / lanes; // of a pixel
    const int frac = fixed_traits<in_T>::frac + CONFIG_T::scale_frac;
    const int_t<CONFIG_T::scale_width, false> scale = CONFIG_T::scale;

    sum_T sums[words][lanes]; // those of the beat that comes next are the first word
    #pragma HLS ARRAY_PARTITION variable=sums complete dim=0

global_pool2d_pixels:
    for (int t = 0; t < CONFIG_T::n_pixels * words; t++) {
        #pragma HLS PIPELINE II=1 style=flp
        const data_T beat = data.read();
        sum_T sum[lanes];
        #pragma HLS ARRAY_PARTITION variable=sum complete
        for (int c = 0; c < lanes; c++) {
            #pragma HLS UNROLL
            const sum_T x = to_stored(beat[c]);
            if (t < words) // the first pixel
                sum[c] = x;
            else if (CONFIG_T::op == pool_average)
                sum[c] = sums[0][c] + x;
            else
                sum[c] = x > sums[0][c] ? x : sums[0][c];
        }
        move_up<sum_T, words, lanes>(sums);
        for (int c = 0; c < lanes; c++) {
            #pragma HLS UNROLL
            sums[words - 1][c] = sum[c];
        }
    }

global_pool2d_results:
    for (int t = 0; t < words; t++) {
        #pragma HLS PIPELINE II=1 style=flp
        res_T beat_out;
        for (int c = 0; c < lanes; c++) {
            #pragma HLS UNROLL
            const acc_T scaled = multiply<CONFIG_T::acc_width, mult_auto>::call(sums[0][c], scale);
            beat_out[c] = requantize<typename res_T::value_type, CONFIG_T::acc_width, frac>(scaled);
        }
        res.write(beat_out);
        move_up<sum_T, words, lanes>(sums);
    }
}

} // namespace ext
} // namespace nnet

#endif
