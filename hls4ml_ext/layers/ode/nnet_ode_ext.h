#ifndef NNET_EXT_ODE_H_
#define NNET_EXT_ODE_H_

// Neural-ODE block: integrates dz/dt = dynamics(z) with an explicit Runge-Kutta solver.
//
// The state z, the input x of the stage and the slopes k are in on-chip buffers. A stage streams x through the dynamics
// into the buffer `slope` (a dataflow region), then one pipelined loop combines slopes into the next x or the next z. The
// dynamics is called at one place, so there is one copy of its hardware and its weights for any number of steps; nothing
// is fed back through a FIFO, so nothing can deadlock.
//
//   cycles       2 * n_pixels + n_steps * n_stages * (latency of the dynamics + n_pixels), plus pipeline depths; the latency
//                of the dynamics is n_pixels * II_max + fill, II_max cycles a pixel of its slowest kernel
//   multipliers  those of the dynamics, and n_chan * n_stages for coefficients that are no powers of two
//   storage      x, z (only with more than one stage) and n_stages slopes, n_pixels words of n_chan numbers each, in
//                URAM or BRAM as the caller binds them; a ROM of n_steps * n_stages times with a time channel
//
// CONFIG_T holds the dynamics as a static function of two streams, and the tableau as stored integers: h * a and h * b with
// coefficient_frac fractional bits.

#include "nnet_ext.h"

namespace nnet {
namespace ext {

// The input of a stage, and with a time channel the time as one more channel.
template <typename CONFIG_T>
void ode_read_state(typename CONFIG_T::state_t x[CONFIG_T::n_pixels][CONFIG_T::n_chan], int evaluation,
                    hls::stream<typename CONFIG_T::dynamics_in_t> &res) {
ode_read_pixels:
    for (int i = 0; i < CONFIG_T::n_pixels; i++) {
        #pragma HLS PIPELINE II=1
        typename CONFIG_T::dynamics_in_t pixel;
        for (int c = 0; c < CONFIG_T::n_chan; c++) {
            #pragma HLS UNROLL
            pixel[c] = x[i][c];
        }
        if (CONFIG_T::time_channel)
            pixel[CONFIG_T::dynamics_in_t::size - 1] = from_stored<typename CONFIG_T::state_t>(CONFIG_T::time(evaluation));
        res.write(pixel);
    }
}

template <typename CONFIG_T>
void ode_write_slope(hls::stream<typename CONFIG_T::dynamics_out_t> &data,
                     typename CONFIG_T::slope_t slope[CONFIG_T::n_pixels][CONFIG_T::n_chan]) {
ode_write_pixels:
    for (int i = 0; i < CONFIG_T::n_pixels; i++) {
        #pragma HLS PIPELINE II=1
        typename CONFIG_T::dynamics_out_t pixel = data.read();
        for (int c = 0; c < CONFIG_T::n_chan; c++) {
            #pragma HLS UNROLL
            slope[i][c] = pixel[c];
        }
    }
}

// One evaluation of the dynamics on a whole image.
template <typename CONFIG_T>
void ode_evaluate(typename CONFIG_T::state_t x[CONFIG_T::n_pixels][CONFIG_T::n_chan], int evaluation,
                  typename CONFIG_T::slope_t slope[CONFIG_T::n_pixels][CONFIG_T::n_chan]) {
    #pragma HLS INLINE off
    #pragma HLS DATAFLOW
    hls::stream<typename CONFIG_T::dynamics_in_t> x_stream("ode_x");
    #pragma HLS STREAM variable=x_stream depth=2
    hls::stream<typename CONFIG_T::dynamics_out_t> k_stream("ode_k");
    #pragma HLS STREAM variable=k_stream depth=2
    ode_read_state<CONFIG_T>(x, evaluation, x_stream);
    CONFIG_T::dynamics(x_stream, k_stream);
    ode_write_slope<CONFIG_T>(k_stream, slope);
}

// res = Q(z + sum_j row[j] * k_j) for one pixel; k_stage is the slope that has just been computed.
template <typename CONFIG_T>
typename CONFIG_T::state_t ode_combine(const typename CONFIG_T::state_t &z,
                                       const typename CONFIG_T::slope_t k[CONFIG_T::n_stages], int row) {
    #pragma HLS INLINE
    typedef int_t<CONFIG_T::acc_width> acc_T;
    const int state_frac = fixed_traits<typename CONFIG_T::state_t>::frac;
    const int product_frac = fixed_traits<typename CONFIG_T::slope_t>::frac + CONFIG_T::coefficient_frac;
    const int acc_frac = max_of(state_frac, product_frac);
    acc_T acc = align<acc_T, acc_frac - state_frac>(to_stored(z));
    for (int j = 0; j < CONFIG_T::n_stages; j++) {
        #pragma HLS UNROLL
        const acc_T product = acc_T(to_stored(k[j])) * acc_T(CONFIG_T::coefficient(row, j));
        acc = acc + align<acc_T, acc_frac - product_frac>(product);
    }
    return requantize<typename CONFIG_T::state_t, CONFIG_T::acc_width, acc_frac>(acc);
}

template <class data_T, class res_T, typename CONFIG_T>
void ode_block(hls::stream<data_T> &data, hls::stream<res_T> &res,
               typename CONFIG_T::state_t z[CONFIG_T::n_pixels][CONFIG_T::n_chan],
               typename CONFIG_T::state_t x[CONFIG_T::n_pixels][CONFIG_T::n_chan],
               typename CONFIG_T::slope_t slope[CONFIG_T::n_pixels][CONFIG_T::n_chan],
               typename CONFIG_T::slope_t earlier[CONFIG_T::n_earlier][CONFIG_T::n_pixels][CONFIG_T::n_chan]) {
    #pragma HLS INLINE
ode_load:
    for (int i = 0; i < CONFIG_T::n_pixels; i++) {
        #pragma HLS PIPELINE II=1
        data_T pixel = data.read();
        for (int c = 0; c < CONFIG_T::n_chan; c++) {
            #pragma HLS UNROLL
            z[i][c] = pixel[c];
            x[i][c] = pixel[c];
        }
    }

ode_steps:
    for (int step = 0; step < CONFIG_T::n_steps; step++) {
    ode_stages:
        for (int stage = 0; stage < CONFIG_T::n_stages; stage++) {
            ode_evaluate<CONFIG_T>(x, step * CONFIG_T::n_stages + stage, slope);
        ode_update:
            for (int i = 0; i < CONFIG_T::n_pixels; i++) {
                #pragma HLS PIPELINE II=1
                for (int c = 0; c < CONFIG_T::n_chan; c++) {
                    #pragma HLS UNROLL
                    typename CONFIG_T::slope_t k[CONFIG_T::n_stages];
                    #pragma HLS ARRAY_PARTITION variable=k complete
                    for (int j = 0; j < CONFIG_T::n_stages; j++) {
                        #pragma HLS UNROLL
                        // Coefficients of slopes yet to come are zero.
                        k[j] = j < stage ? earlier[j < CONFIG_T::n_earlier ? j : 0][i][c] : slope[i][c];
                    }
                    // With one stage x is z all the time, and needs no second buffer.
                    const typename CONFIG_T::state_t start = CONFIG_T::n_stages == 1 ? x[i][c] : z[i][c];
                    const typename CONFIG_T::state_t next = ode_combine<CONFIG_T>(start, k, stage);
                    x[i][c] = next;
                    if (stage == CONFIG_T::n_stages - 1)
                        z[i][c] = next;
                    else
                        earlier[stage < CONFIG_T::n_earlier ? stage : 0][i][c] = slope[i][c];
                }
            }
        }
    }

ode_store:
    for (int i = 0; i < CONFIG_T::n_pixels; i++) {
        #pragma HLS PIPELINE II=1
        res_T pixel;
        for (int c = 0; c < CONFIG_T::n_chan; c++) {
            #pragma HLS UNROLL
            pixel[c] = requantize<typename res_T::value_type, fixed_traits<typename CONFIG_T::state_t>::width + 1,
                                  fixed_traits<typename CONFIG_T::state_t>::frac>(
                int_t<fixed_traits<typename CONFIG_T::state_t>::width + 1>(to_stored(x[i][c])));
        }
        res.write(pixel);
    }
}

} // namespace ext
} // namespace nnet

#endif
