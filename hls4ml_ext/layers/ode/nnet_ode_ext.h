#ifndef NNET_ODE_EXT_H_
#define NNET_ODE_EXT_H_

// The two ends of an evaluation of a Neural-ODE block, which integrates dz/dt = dynamics(z) with an explicit Runge-Kutta
// solver: the process that reads the state, and the one that updates it with the slopes that come out of the dynamics.
//
// One evaluation is one dataflow region, written by the converter for each block:
//
//     ode_read (x) -> the layers of the dynamics -> ode_update (z + h * sum_j a_j * k_j) -> y
//
// It is called for (x, y) and (y, x) in turn. In a dataflow region an array has one process that writes it and one that reads
// it, and the reader may not come before the writer; so the state can't be updated in place, and the two buffers change roles
// from call to call instead. The calls are sequential and share one instance of the region (ALLOCATION limit=1): one copy of
// the dynamics and of its weights for any number of steps. The first evaluation takes the block's input, the last gives its
// output: no pass of its own loads or stores an image. Nothing is fed back through a FIFO, so nothing can deadlock.
//
// The update needs z, the state at the beginning of the step, word by word as slopes arrive. In the first stage of a step that
// is what ode_read reads: it goes along the FIFO `held`, as deep as the dynamics takes to give its first slope. Later stages
// find it in the buffer z, and earlier slopes in `earlier`; both are touched by ode_update alone.
//
//   cycles       n_steps * n_stages * (latency of the dynamics), the latency of one evaluation from the first word that is read
//                to the last that is updated
//   multipliers  those of the dynamics, and n_lanes for each slope with a coefficient that is no power of two
//   storage      words of n_lanes numbers, n_words = n_pixels * n_chan / n_lanes of them; one read and one write a cycle:
//                  x, y     the state, read and written in turn; none with a single evaluation
//                  z        the state at the beginning of the step, with more than one stage
//                  earlier  the slopes that a later stage of the step needs again, a buffer for each
//                with a time channel two pixels in registers, and a ROM of n_evaluations times
//
// CONFIG_T holds the tableau as stored integers: h * a and, in the last row, h * b, with coefficient_frac fractional bits.

#include "nnet_ext.h"
#include "nnet_record_ext.h"

namespace nnet {
namespace ext {

// A word of the state: from the block's input in the first evaluation, then from x.
template <class data_T, typename CONFIG_T>
typename CONFIG_T::state_beat ode_read_word(hls::stream<data_T> &data,
                                            const typename CONFIG_T::state_int x[CONFIG_T::n_stored][CONFIG_T::n_lanes],
                                            int evaluation, int word) {
    #pragma HLS INLINE
    typedef typename CONFIG_T::state_t state_T;
    typename CONFIG_T::state_beat state;
    if (CONFIG_T::n_evaluations == 1 || evaluation == 0) {
        const data_T beat = data.read();
        for (int c = 0; c < CONFIG_T::n_lanes; c++) {
            #pragma HLS UNROLL
            state[c] = from_stored<state_T>(to_stored(beat[c]));
        }
    } else {
        for (int c = 0; c < CONFIG_T::n_lanes; c++) {
            #pragma HLS UNROLL
            state[c] = from_stored<state_T>(x[word][c]);
        }
    }
    return state;
}

// The input of an evaluation.
template <class data_T, class res_T, typename CONFIG_T>
void ode_read(hls::stream<data_T> &data, const typename CONFIG_T::state_int x[CONFIG_T::n_stored][CONFIG_T::n_lanes],
              int evaluation, int stage, hls::stream<res_T> &res, hls::stream<typename CONFIG_T::state_beat> &held) {
ode_read_words:
    for (int i = 0; i < CONFIG_T::n_words; i++) {
        #pragma HLS PIPELINE II=1 style=flp
        const typename CONFIG_T::state_beat state = ode_read_word<data_T, CONFIG_T>(data, x, evaluation, i);
        res_T beat;
        for (int c = 0; c < CONFIG_T::n_lanes; c++) {
            #pragma HLS UNROLL
            beat[c] = state[c];
        }
        res.write(beat);
        if (stage == 0)
            held.write(state);
    }
}

// The input of an evaluation with the time as one more channel. The words of a pixel are shifted into a register; while those
// of the next pixel follow, it goes out, in beats whose lanes divide n_chan + 1.
template <class data_T, class res_T, typename CONFIG_T>
void ode_read_time(hls::stream<data_T> &data, const typename CONFIG_T::state_int x[CONFIG_T::n_stored][CONFIG_T::n_lanes],
                   int evaluation, int stage, hls::stream<res_T> &res, hls::stream<typename CONFIG_T::state_beat> &held) {
    typedef typename CONFIG_T::state_t state_T;
    const int words = CONFIG_T::n_chan / CONFIG_T::n_lanes; // of a pixel
    const int lanes_out = res_T::size;
    const int beats = (CONFIG_T::n_chan + 1) / lanes_out;
    const int cycles = max_of(words, beats);

    state_T comes[CONFIG_T::n_chan], goes[CONFIG_T::n_chan + 1];
    #pragma HLS ARRAY_PARTITION variable=comes complete
    #pragma HLS ARRAY_PARTITION variable=goes complete
    const state_T time = from_stored<state_T>(CONFIG_T::time(evaluation));
    int pixel = 0, slot = 0, word = 0;

ode_read_time_slots:
    for (int t = 0; t < (CONFIG_T::n_pixels + 1) * cycles; t++) {
        #pragma HLS PIPELINE II=1 style=flp
        if (pixel > 0 && slot < beats) {
            res_T beat;
            for (int c = 0; c < lanes_out; c++) {
                #pragma HLS UNROLL
                beat[c] = goes[c];
            }
            res.write(beat);
            for (int c = 0; c < CONFIG_T::n_chan + 1 - lanes_out; c++) {
                #pragma HLS UNROLL
                goes[c] = goes[c + lanes_out];
            }
        }
        if (pixel < CONFIG_T::n_pixels && slot < words) {
            const typename CONFIG_T::state_beat state = ode_read_word<data_T, CONFIG_T>(data, x, evaluation, word);
            if (stage == 0)
                held.write(state);
            for (int c = 0; c < CONFIG_T::n_chan - CONFIG_T::n_lanes; c++) {
                #pragma HLS UNROLL
                comes[c] = comes[c + CONFIG_T::n_lanes];
            }
            for (int c = 0; c < CONFIG_T::n_lanes; c++) {
                #pragma HLS UNROLL
                comes[CONFIG_T::n_chan - CONFIG_T::n_lanes + c] = state[c];
            }
            word++;
        }
        if (slot == cycles - 1) {
            for (int c = 0; c < CONFIG_T::n_chan; c++) {
                #pragma HLS UNROLL
                goes[c] = comes[c];
            }
            goes[CONFIG_T::n_chan] = time;
            pixel++;
        }
        slot = slot == cycles - 1 ? 0 : slot + 1;
    }
}

// Q(z + sum_j coefficient(stage, j) * k_j), word by word. Coefficients of slopes that are yet to come are zero.
template <typename CONFIG_T>
typename CONFIG_T::state_beat ode_next(const typename CONFIG_T::state_beat &z,
                                       const typename CONFIG_T::slope_int k[CONFIG_T::n_stages][CONFIG_T::n_lanes],
                                       int stage) {
    #pragma HLS INLINE
    typedef int_t<CONFIG_T::acc_width> acc_T;
    typedef int_t<CONFIG_T::coefficient_width> coefficient_T;
    const int state_frac = fixed_traits<typename CONFIG_T::state_t>::frac;
    const int product_frac = CONFIG_T::slope_frac + CONFIG_T::coefficient_frac;
    const int acc_frac = max_of(state_frac, product_frac);

    acc_T acc[CONFIG_T::n_lanes];
    #pragma HLS ARRAY_PARTITION variable=acc complete
    for (int c = 0; c < CONFIG_T::n_lanes; c++) {
        #pragma HLS UNROLL
        acc[c] = align<acc_T, acc_frac - state_frac>(to_stored(z[c]));
    }
    for (int j = 0; j < CONFIG_T::n_stages; j++) {
        #pragma HLS UNROLL
        if (CONFIG_T::is_shift(j)) { // a product with a power of two is a shift, and each row has its own
            for (int c = 0; c < CONFIG_T::n_lanes; c++) {
                #pragma HLS UNROLL
                acc_T product = 0;
                for (int row = 0; row < CONFIG_T::n_stages; row++) {
                    #pragma HLS UNROLL
                    const acc_T shifted = acc_T(k[j][c]) * acc_T(CONFIG_T::coefficient(row, j));
                    product = row == stage ? shifted : product;
                }
                acc[c] = acc[c] + align<acc_T, acc_frac - product_frac>(product);
            }
        } else {
            const coefficient_T coefficient = CONFIG_T::coefficient(stage, j);
            for (int c = 0; c < CONFIG_T::n_lanes; c++) {
                #pragma HLS UNROLL
                const acc_T product = multiply<CONFIG_T::acc_width, mult_auto>::call(k[j][c], coefficient);
                acc[c] = acc[c] + align<acc_T, acc_frac - product_frac>(product);
            }
        }
    }
    typename CONFIG_T::state_beat next;
    for (int c = 0; c < CONFIG_T::n_lanes; c++) {
        #pragma HLS UNROLL
        next[c] = requantize<typename CONFIG_T::state_t, CONFIG_T::acc_width, acc_frac>(acc[c]);
    }
    return next;
}

// Writes a word of the next state: to the block's output in the last evaluation, else to y.
template <class res_T, typename CONFIG_T>
void ode_write_word(const typename CONFIG_T::state_beat &next, int evaluation, int word,
                    typename CONFIG_T::state_int y[CONFIG_T::n_stored][CONFIG_T::n_lanes], hls::stream<res_T> &res) {
    #pragma HLS INLINE
    typedef fixed_traits<typename CONFIG_T::state_t> state;
    if (CONFIG_T::n_evaluations == 1 || evaluation == CONFIG_T::n_evaluations - 1) {
        res_T beat;
        for (int c = 0; c < CONFIG_T::n_lanes; c++) {
            #pragma HLS UNROLL
            const int_t<state::width + 1> value = to_stored(next[c]);
            beat[c] = requantize<typename res_T::value_type, state::width + 1, state::frac>(value);
        }
        res.write(beat);
    } else {
        for (int c = 0; c < CONFIG_T::n_lanes; c++) {
            #pragma HLS UNROLL
            y[word][c] = to_stored(next[c]);
        }
    }
}

// The update of a solver of one stage.
template <class slope_T, class res_T, typename CONFIG_T>
void ode_update(hls::stream<slope_T> &slopes, hls::stream<typename CONFIG_T::state_beat> &held, int evaluation,
                typename CONFIG_T::state_int y[CONFIG_T::n_stored][CONFIG_T::n_lanes], hls::stream<res_T> &res) {
ode_update_words:
    for (int i = 0; i < CONFIG_T::n_words; i++) {
        #pragma HLS PIPELINE II=1 style=flp
        const slope_T slope = slopes.read();
        typename CONFIG_T::slope_int k[1][CONFIG_T::n_lanes];
        #pragma HLS ARRAY_PARTITION variable=k complete dim=0
        for (int c = 0; c < CONFIG_T::n_lanes; c++) {
            #pragma HLS UNROLL
            k[0][c] = to_stored(slope[c]);
        }
        const typename CONFIG_T::state_beat z = held.read();
        ode_write_word<res_T, CONFIG_T>(ode_next<CONFIG_T>(z, k, 0), evaluation, i, y, res);
    }
}

// The state at the beginning of the step, which the first stage keeps for the others.
template <typename CONFIG_T>
typename CONFIG_T::state_beat ode_start(hls::stream<typename CONFIG_T::state_beat> &held, int stage, int word,
                                        typename CONFIG_T::state_int z[CONFIG_T::n_words][CONFIG_T::n_lanes]) {
    #pragma HLS INLINE
    typename CONFIG_T::state_beat start;
    if (stage == 0) {
        start = held.read();
        for (int c = 0; c < CONFIG_T::n_lanes; c++) {
            #pragma HLS UNROLL
            z[word][c] = to_stored(start[c]);
        }
    } else {
        for (int c = 0; c < CONFIG_T::n_lanes; c++) {
            #pragma HLS UNROLL
            start[c] = from_stored<typename CONFIG_T::state_t>(z[word][c]);
        }
    }
    return start;
}

// The update of a solver of several stages of which each needs only the slope before it.
template <class slope_T, class res_T, typename CONFIG_T>
void ode_update(hls::stream<slope_T> &slopes, hls::stream<typename CONFIG_T::state_beat> &held, int evaluation, int stage,
                typename CONFIG_T::state_int z[CONFIG_T::n_words][CONFIG_T::n_lanes],
                typename CONFIG_T::state_int y[CONFIG_T::n_stored][CONFIG_T::n_lanes], hls::stream<res_T> &res) {
ode_update_words:
    for (int i = 0; i < CONFIG_T::n_words; i++) {
        #pragma HLS PIPELINE II=1 style=flp
        const slope_T slope = slopes.read();
        typename CONFIG_T::slope_int k[CONFIG_T::n_stages][CONFIG_T::n_lanes];
        #pragma HLS ARRAY_PARTITION variable=k complete dim=0
        for (int j = 0; j < CONFIG_T::n_stages; j++) {
            #pragma HLS UNROLL
            for (int c = 0; c < CONFIG_T::n_lanes; c++) {
                #pragma HLS UNROLL
                k[j][c] = to_stored(slope[c]);
            }
        }
        const typename CONFIG_T::state_beat start = ode_start<CONFIG_T>(held, stage, i, z);
        ode_write_word<res_T, CONFIG_T>(ode_next<CONFIG_T>(start, k, stage), evaluation, i, y, res);
    }
}

// The update of a solver of several stages that needs slopes again.
template <class slope_T, class res_T, typename CONFIG_T>
void ode_update(hls::stream<slope_T> &slopes, hls::stream<typename CONFIG_T::state_beat> &held, int evaluation, int stage,
                typename CONFIG_T::state_int z[CONFIG_T::n_words][CONFIG_T::n_lanes],
                typename CONFIG_T::slope_int earlier[CONFIG_T::n_earlier][CONFIG_T::n_words][CONFIG_T::n_lanes],
                typename CONFIG_T::state_int y[CONFIG_T::n_stored][CONFIG_T::n_lanes], hls::stream<res_T> &res) {
ode_update_words:
    for (int i = 0; i < CONFIG_T::n_words; i++) {
        #pragma HLS PIPELINE II=1 style=flp
        const slope_T slope = slopes.read();
        typename CONFIG_T::slope_int k[CONFIG_T::n_stages][CONFIG_T::n_lanes];
        #pragma HLS ARRAY_PARTITION variable=k complete dim=0
        for (int j = 0; j < CONFIG_T::n_stages; j++) {
            #pragma HLS UNROLL
            for (int c = 0; c < CONFIG_T::n_lanes; c++) {
                #pragma HLS UNROLL
                if (CONFIG_T::bank(j) >= 0 && j < stage)
                    k[j][c] = earlier[CONFIG_T::bank(j)][i][c];
                else
                    k[j][c] = to_stored(slope[c]);
                if (CONFIG_T::bank(j) >= 0 && j == stage)
                    earlier[CONFIG_T::bank(j)][i][c] = k[j][c];
            }
        }
        const typename CONFIG_T::state_beat start = ode_start<CONFIG_T>(held, stage, i, z);
        ode_write_word<res_T, CONFIG_T>(ode_next<CONFIG_T>(start, k, stage), evaluation, i, y, res);
    }
}

} // namespace ext
} // namespace nnet

#endif
