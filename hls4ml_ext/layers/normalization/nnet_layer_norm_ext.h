#ifndef NNET_EXT_LAYER_NORM_H_
#define NNET_EXT_LAYER_NORM_H_

// Layer normalization over the channels of each pixel of a stream: y = (x - mean) / sqrt(variance + epsilon) * gamma + beta,
// in the integers of hls4ml_ext/layers/normalization/tables.py:
//
//   d_c = C x_c - sum(x),  v = C sum(x^2) - sum(x)^2 + epsilon,  y_c = round(d_c * rsqrt(v)),  rsqrt(v) from a table
//
// Each cycle handles a beat of SIMD channels. While the statistics of a pixel are summed up, the pixel before it is
// normalized: it waits in a RAM, where each of its words makes room for one of the pixel that comes.
//
//   cycles       (n_pixels + 1) * n_chan / SIMD, plus the depth of the pipeline; no idle cycle between pixels
//   multipliers  3 * SIMD + 1: squares, normalization, gamma; the square of the sum
//   storage      table: ROM of n_table words of 12 bits, one read a pixel; gamma and beta: ROMs of n_chan / SIMD words;
//                pixel: RAM of n_chan / SIMD words
//
// Feedback from one cycle to the next is one integer addition for each of the two sums.

#include "nnet_ext.h"

namespace nnet {
namespace ext {

template <class T, int N> using rom_of = rom_word<N, fixed_traits<T>::width, fixed_traits<T>::is_signed>;

// 1/sqrt(v) with 26 fractional bits: v * 4^shift has its leading one at bit 28 or 29; the bits from there on address the table.
template <typename CONFIG_T>
inline int_t<CONFIG_T::scale_width, false> rsqrt_of(const int_t<CONFIG_T::variance_width> &v,
                                                    const rom_of<typename CONFIG_T::table_t, 1> table[CONFIG_T::n_table]) {
    #pragma HLS INLINE
    typedef int_t<CONFIG_T::variance_width> v_T;
    int_t<5, false> shift = 0;
rsqrt_leading_one:
    for (int k = 1; k <= CONFIG_T::normal_bits / 2; k++) {
        #pragma HLS UNROLL
        if (v < (v_T(1) << (2 * k)))
            shift++;
    }
    const v_T normal = v_T(v << (2 * shift));
    const int index = int(normal >> (CONFIG_T::normal_bits - CONFIG_T::index_bits)) - (1 << CONFIG_T::index_bits);
    const int_t<CONFIG_T::scale_width, false> entry =
        rom_lane<1, fixed_traits<typename CONFIG_T::table_t>::width, false>(table[index], 0);
    return int_t<CONFIG_T::scale_width, false>(entry << shift);
}

template <class data_T, class res_T, typename CONFIG_T>
void layer_norm(hls::stream<data_T> &data, hls::stream<res_T> &res,
                const rom_of<typename CONFIG_T::table_t, 1> table[CONFIG_T::n_table],
                const rom_of<typename CONFIG_T::gamma_t, CONFIG_T::simd> gamma[CONFIG_T::n_gamma],
                const rom_of<typename CONFIG_T::beta_t, CONFIG_T::simd> beta[CONFIG_T::n_beta],
                int_t<CONFIG_T::x_width> pixel[CONFIG_T::n_chan / CONFIG_T::simd][CONFIG_T::simd]) {
    typedef typename CONFIG_T::normal_t normal_T;
    typedef rom_of<typename CONFIG_T::gamma_t, CONFIG_T::simd> gamma_word;
    typedef rom_of<typename CONFIG_T::beta_t, CONFIG_T::simd> beta_word;
    typedef fixed_traits<typename CONFIG_T::gamma_t> gamma_traits;
    typedef fixed_traits<typename CONFIG_T::beta_t> beta_traits;
    typedef int_t<CONFIG_T::x_width> x_T;
    typedef int_t<CONFIG_T::sum_width> sum_T;
    typedef int_t<CONFIG_T::square_width> square_T;
    typedef int_t<CONFIG_T::variance_width> variance_T;
    typedef int_t<CONFIG_T::deviation_width> deviation_T;
    typedef int_t<CONFIG_T::acc_width> acc_T;

    const int simd = CONFIG_T::simd;
    const int words = CONFIG_T::n_chan / simd; // of a pixel
    const int n_beats = CONFIG_T::n_pixels * words;
    const int scaled_frac = fixed_traits<normal_T>::frac + gamma_traits::frac;
    const int acc_frac = max_of(scaled_frac, beta_traits::frac);
    // A word is written where it was read; the next access to that address is a pixel later.
    #pragma HLS DEPENDENCE variable=pixel inter RAW distance=words true

    sum_T sum = 0, previous_sum = 0;
    square_T squares = 0;
    int_t<CONFIG_T::scale_width, false> scale = 0;
    int word = 0; // of the pixel

layer_norm_cycles:
    for (int t = 0; t < n_beats + words; t++) {
        #pragma HLS PIPELINE II=1 style=flp
        if (word == 0) { // a pixel is complete
            const variance_T spread = variance_T(CONFIG_T::n_chan * variance_T(squares)) -
                                      multiply<CONFIG_T::variance_width, CONFIG_T::sum_impl>::call(sum, sum);
            scale = rsqrt_of<CONFIG_T>(spread + CONFIG_T::epsilon, table);
            previous_sum = sum;
            sum = 0;
            squares = 0;
        }

        if (t >= words) { // normalize the pixel before
            const gamma_word &gammas = gamma[CONFIG_T::n_gamma == 1 ? 0 : word];
            const beta_word &betas = beta[CONFIG_T::n_beta == 1 ? 0 : word];
            res_T beat_out;
            for (int c = 0; c < simd; c++) {
                #pragma HLS UNROLL
                const deviation_T deviation = deviation_T(CONFIG_T::n_chan * deviation_T(pixel[word][c])) - previous_sum;
                const int_t<CONFIG_T::product_width> product =
                    multiply<CONFIG_T::product_width, CONFIG_T::scale_impl>::call(deviation, scale);
                const normal_T y = requantize<normal_T, CONFIG_T::product_width, CONFIG_T::scale_frac>(product);
                const acc_T scaled = multiply<CONFIG_T::acc_width, CONFIG_T::gamma_impl>::call(
                    to_stored(y), rom_lane<simd, gamma_traits::width, gamma_traits::is_signed>(gammas, c));
                const acc_T offset = rom_lane<simd, beta_traits::width, beta_traits::is_signed>(betas, c);
                const acc_T acc =
                    align<acc_T, acc_frac - scaled_frac>(scaled) + align<acc_T, acc_frac - beta_traits::frac>(offset);
                beat_out[c] = requantize<typename res_T::value_type, CONFIG_T::acc_width, acc_frac>(acc);
            }
            res.write(beat_out);
        }

        if (t < n_beats) { // sum up the one that comes
            const data_T beat = data.read();
            sum_T part_sum = 0;
            square_T part_squares = 0;
            for (int c = 0; c < simd; c++) {
                #pragma HLS UNROLL
                const x_T x = x_T(to_stored(beat[c]) - CONFIG_T::offset);
                pixel[word][c] = x;
                part_sum += x;
                part_squares += multiply<CONFIG_T::square_width, CONFIG_T::square_impl>::call(x, x);
            }
            sum += part_sum;
            squares += part_squares;
        }
        word = word == words - 1 ? 0 : word + 1;
    }
}

} // namespace ext
} // namespace nnet

#endif
